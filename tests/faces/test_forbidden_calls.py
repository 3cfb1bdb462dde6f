# SPDX-License-Identifier: MIT
"""Where a system call is forbidden or missing: containers' seccomp filters, kernels without it."""
import ctypes
import errno
import platform
import struct
import subprocess
import time
from pathlib import Path

import pytest

import corpses

PROCESS_VM_READV = {"x86_64": 310, "aarch64": 270}.get(platform.machine())
# Stops itself, so that nothing of it changes between two answers.
PROGRAM = "import os; keep = [bytes(1000 + i % 7) for i in range(20000)]; print('ready', flush=True); os.kill(os.getpid(), 19)"


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def forbid(number, code):
    """For preexec_fn: from now on this call fails with that code (seccomp(2))."""
    instructions = b"".join(
        struct.pack("HBBI", *words)
        for words in (
            (0x20, 0, 0, 0),  # load the number of the call
            (0x15, 0, 1, number),  # another one: jump over
            (0x06, 0, 0, 0x00050000 | code),  # SECCOMP_RET_ERRNO
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = Filter(len(instructions) // 8, instructions)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):  # NO_NEW_PRIVS, SECCOMP
        raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.skipif(not PROCESS_VM_READV, reason="the call's number is not known for this machine")
@pytest.mark.parametrize("code", (errno.EPERM, errno.ENOSYS))
def test_process_vm_readv(code, newest, tmp_path):
    """GIVEN that process_vm_readv(2) is not to be had, as below Docker's filter, THEN /proc/PID/mem says the same."""
    process = corpses.start(corpses.traced(newest, "-c", PROGRAM), tmp_path)
    try:
        corpses.wait_until_ready(process)
        while Path("/proc/%d/stat" % process.pid).read_text().rsplit(") ", 1)[1][0] != "T":
            time.sleep(0.01)
        words = [corpses.TM, "top", str(process.pid), "--json"]
        wanted = subprocess.run(words, stdout=subprocess.PIPE, env=corpses.clean_environment())
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=corpses.clean_environment(),
            preexec_fn=lambda: forbid(PROCESS_VM_READV, code),
        )
        assert done.returncode == 0 and done.stdout == wanted.stdout and b'"lineno": 1' in done.stdout, done
    finally:
        process.kill()
        process.communicate()
