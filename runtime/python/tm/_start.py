# SPDX-License-Identifier: MIT
"""Starts tracing when Python starts, if PYTHONTM says so: imported by tm.pth, which is installed beside the package."""
import os
import sys

import tm


def frames_asked_for(text):
    """PYTHONTM's number of frames; 0: none.  None: it is no such number."""
    try:
        frames = int(text)
    except ValueError:
        return None
    return frames if 0 <= frames <= 65535 else None


def main():
    text = os.environ.get("PYTHONTM", "")
    if not text or sys.flags.ignore_environment or tm.is_tracing():
        return
    frames = frames_asked_for(text)
    if frames is None:
        # A typing error is no reason to keep a service from starting.
        sys.stderr.write("tm: PYTHONTM=%s is not a number of frames from 0 to 65535; not traced\n" % text)
    elif frames:
        tm.start(frames)


main()
