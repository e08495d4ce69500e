"""What all parts of an open factory share."""

from __future__ import annotations

import getpass
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model_factory import _arguments, _arrays, _native

if TYPE_CHECKING:
    from os import PathLike

    from model_factory._progress import Progress

__all__ = ["Context", "Defaults", "Place", "login_user", "threads_of"]


@dataclass(frozen=True)
class Defaults:
    """Everything that the factory fills in for a caller; nothing else is invented.

    Attributes
    ----------
    platform_run_id : str
        Prefix under which everything is stored.
    principal : str
        Who asks for runs and acts on the registry.
    policy_revision, config_revision : str
        Revisions that requests carry.
    code_release_id : str
        Release of the code that runs.
    worker : str
        Name under which runs are claimed.
    """

    platform_run_id: str
    principal: str
    policy_revision: str = "1"
    config_revision: str = "1"
    code_release_id: str = field(default_factory=_native.release)
    worker: str = field(default_factory=lambda: f"local-{os.getpid()}")

    def __post_init__(self) -> None:
        _native.check_platform_run(_arguments.text(self.platform_run_id, "platform_run_id"))
        _arguments.principal(self.principal, "principal")

    def acting(self, actor: str | None, reason: str) -> tuple[str, str]:
        """Take who acts, the principal unless somebody else is named, and why."""
        named = self.principal if actor is None else _arguments.principal(actor, "actor")
        return named, _arguments.text(reason, "reason")

    @property
    def run_config(self) -> str:
        """What jobs name the configuration by that they are for, as JSON."""
        names = ("platform_run_id", "policy_revision", "config_revision", "code_release_id")
        return json.dumps({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Place:
    """Where the parts of a factory stand, from wherever one looks; unnamed ones stand in the root.

    Attributes
    ----------
    root, ledger, keys : path or URL
        As :func:`model_factory.open` takes them; a path is made absolute.
    """

    root: str | PathLike[str]
    ledger: str | PathLike[str] | None
    keys: str | PathLike[str] | None

    def __post_init__(self) -> None:
        _arguments.path(self.root, "root", "a path or a URL")
        if self.ledger is not None:
            _arguments.path(self.ledger, "ledger", "a path or a URL")
        keys = None if self.keys is None else _arguments.path(self.keys, "keys")
        # Unlike Path.is_file this says no where it may not look, which the core tells in its own words.
        if keys is not None and os.path.isfile(keys):  # noqa: PTH113
            raise _native.refusal("PARAMETER_INVALID", "keys", "the folder that holds the keys", "a file")
        for name in ("root", "ledger", "keys"):
            object.__setattr__(self, name, _standing(getattr(self, name)))


def _standing(place: str | PathLike[str] | None) -> str | None:
    """Name a place so that it stays the same one when the working directory changes."""
    if place is None:
        return None
    text = os.fspath(place)
    return text if "://" in text else os.path.abspath(text)  # noqa: PTH100 - a folder that may be a link stays it


@dataclass(frozen=True)
class Context:
    """The native factory with what its callers need not say again."""

    native: _native.Factory
    place: Place
    defaults: Defaults
    progress: Progress
    threads: int | None


def threads_of(threads: int | None) -> int | None:
    """Take the threads of each call; None stays None, one for each core."""
    return None if threads is None else _arrays.whole(threads, "threads", 1, 65_535)


def login_user() -> str:
    """Name of the user who is logged in, as principals are written.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` where the system does not know one.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    safe = re.sub(r"[^A-Za-z0-9_.:@=/-]", "-", name).lstrip("_.:@=/-")[:128]
    if not safe:
        raise _native.refusal(
            "PARAMETER_INVALID", "principal", "a name, as there is no login user", "nothing"
        )
    return safe
