# SPDX-License-Identifier: MIT
"""Evidence of every kind: its makers are those of tests/e2e."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
