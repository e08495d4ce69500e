"""``python -m model_factory.cli``."""

from __future__ import annotations

import sys

from model_factory.cli import main

sys.exit(main())
