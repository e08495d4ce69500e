"""The command line ``model-factory``: the Python interface for operators and scripts.

Every verb prints text for people, or with ``--json`` one JSON object on standard output and nothing else.
Exit statuses: 0 done; 1 unexpected; 2 usage; 10 INPUT_ADMISSION, 11 RESOLUTION, 12 LEAKAGE, 13 EVIDENCE,
14 IMMUTABILITY, 15 EXECUTION, 16 PUBLISH, 17 REGISTRY; 130 interrupted.
"""

from __future__ import annotations

from model_factory.cli.main import main

__all__ = ["main"]
