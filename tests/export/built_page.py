# SPDX-License-Identifier: MIT
"""Whether there is a page to test."""
from pathlib import Path

import corpses


def has_page():
    """Whether the engine was built with the whole page (make web)."""
    return b"Content-Security-Policy" in Path(corpses.TM).read_bytes()
