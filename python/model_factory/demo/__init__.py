"""The whole line on card payments, in seconds: the module behind ``model-factory demo``.

    payments ──► dataset ──► baseline, model ──► gate ──► publish, promote ──► resolve, score ──► verify

The payments are simulated from a seed, or the handbook's public ones. Done again in the same root, every step
finds what it left behind and the same ids come out.
"""

from __future__ import annotations

from model_factory.demo.line import run
from model_factory.demo.outcome import Outcome
from model_factory.demo.sources import FILES

__all__ = ["FILES", "Outcome", "run"]
