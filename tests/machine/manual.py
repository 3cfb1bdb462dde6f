# SPDX-License-Identifier: MIT
"""docs/getting-evidence.md as a script: its files are written where they say, its commands run as they stand."""
import re
import subprocess
import time
from pathlib import Path

import corpses

# The program of all these tests leaks some megabytes a second; or keeps what it has and waits, or ends with a core.
APP = """\
import os, sys, time

how = sys.argv[1] if sys.argv[1:] else "leak"
if os.path.exists("/evidence/app.1.tm.2"):
    how = os.environ.get("SECOND_LIFE", how)
keep = []
while True:
    keep.append([bytes(4000 + i % 7) for i in range(1000)])
    time.sleep(0.1)
    if len(keep) == 5 and how == "abort":
        os.abort()
    if len(keep) == 5 and how == "wait":
        time.sleep(100000)
"""
LEAK = "app.py:8"
PAGE = corpses.ROOT / "docs" / "getting-evidence.md"


def read_sections():
    """{heading: [(kind, text)]}, of the blocks that are for a machine."""
    sections, heading, block = {}, "", None
    for line in PAGE.read_text().splitlines(keepends=True):
        if line.startswith("```"):
            kind = line[3:].strip()
            if block is None:
                block = (kind, [])
            else:
                if block[0] in ("sh machine", "ini", "yaml"):
                    sections.setdefault(heading, []).append((block[0], "".join(block[1])))
                block = None
        elif block:
            block[1].append(line)
        elif line.startswith("#"):
            heading = line.strip("# \n")
    return sections


SECTIONS = read_sections()


def commands_of(text):
    """Each "# " begins one; what is indented goes on with it."""
    return [command.strip() for command in re.split(r"^# ", text, flags=re.M) if command.strip()]


def run(command, folder="/srv", timeout=900):
    """What it printed; it must end well."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=str(folder),
        env=corpses.clean_environment(SYSTEMD_PAGER="", SYSTEMD_COLORS="0", KUBECONFIG="/etc/kubernetes/kubeconfig"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    assert done.returncode == 0, "%s\nexit status %d\n%s" % (command, done.returncode, done.stdout)
    return done.stdout


def write_file(text, folder="/"):
    """Its first line says where; an absolute path stays as it is."""
    path = Path(folder) / text.split("\n", 1)[0].strip("# ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def perform(heading, folder, **before):
    """Does all that the section says, in order: [(command, what it printed)].  `before` has what must have come about
    before a command in which that word stands, as no reader would type before."""
    said = []
    for kind, text in SECTIONS[heading]:
        if kind != "sh machine":
            write_file(text, folder)
            continue
        for command in commands_of(text):
            for word, wait in before.items():
                if word in command:
                    wait()
            said.append((command, run(command, folder)))
    return said


def all_answers_name(said, line):
    """Each answer about where memory went names that line of the program."""
    asked = [(command, answer) for command, answer in said if "tm top" in command]
    assert asked
    for command, answer in asked:
        assert line in answer, (command, answer)


def wait_for(condition, seconds=300):
    """What it says, once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError("it did not come about: %s" % condition.__name__)
