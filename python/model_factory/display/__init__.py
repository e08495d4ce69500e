"""What notebooks and the demo's page show: documents and runs as HTML with inline SVG.

Nothing here needs a library, a server or a network; the HTML reads well on light and on dark. Every value is
escaped.
"""

from __future__ import annotations

from model_factory.display.bundle import bundle_html
from model_factory.display.dataset import dataset_html
from model_factory.display.markup import page
from model_factory.display.receipt import receipt_html
from model_factory.display.report import report_html
from model_factory.display.run import run_html

__all__ = ["bundle_html", "dataset_html", "page", "receipt_html", "report_html", "run_html"]
