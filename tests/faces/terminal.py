# SPDX-License-Identifier: MIT
"""A program on a terminal of its own, for what happens only there: pager, colours, Ctrl-C, Tab."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, argv, env=None, cwd=None, rows=24, columns=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            cwd=cwd,
            start_new_session=True,
            # the terminal becomes the session's own, so that ^C arrives as SIGINT
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)

    def type(self, text):
        self.text = ""
        os.write(self.master, text.encode())

    def until(self, pattern, seconds=20):
        """Everything since the last type(), once `pattern` is in it."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.master], [], [], left)[0]
            assert ready, "%r did not come, but %r" % (pattern, self.text)
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.text
