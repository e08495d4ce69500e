"""How results show themselves in a notebook: `display` makes the pages when they are first asked for."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Receipt", "Report", "html"]


def html(page: str, value: Any) -> str:
    """Make the page of this name, such as ``"run_html"``."""
    made: str = getattr(importlib.import_module("model_factory.display"), page)(value)
    return made


class Report(dict[str, Any]):
    """An evaluation report: a dict that a notebook shows with its curves."""

    def _repr_html_(self) -> str:
        return html("report_html", self)


class Receipt(dict[str, Any]):
    """A gate receipt: a dict that a notebook shows criterion by criterion."""

    def _repr_html_(self) -> str:
        return html("receipt_html", self)
