# SPDX-License-Identifier: MIT
"""These tests change the machine that they run on, so that they run only on the one that tools/test-machine boots."""
import os
import subprocess
from pathlib import Path

import pytest

import manual

collect_ignore_glob = [] if os.environ.get("TM_MACHINE") else ["test_*.py"]

@pytest.fixture(scope="session", autouse=True)
def app():
    Path("/srv/app.py").write_text(manual.APP)
    Path("/var/crash").mkdir(exist_ok=True)


@pytest.fixture(autouse=True)
def empty_crash_folder(app):
    for path in Path("/var/crash").iterdir():
        path.unlink()


@pytest.fixture
def core_pattern():
    """What it was is put back."""
    path = Path("/proc/sys/kernel/core_pattern")
    before = path.read_text()
    yield path
    path.write_text(before)


@pytest.fixture
def cores(core_pattern):
    """systemd-coredump, and nothing yet in its folder."""
    assert "systemd-coredump" in core_pattern.read_text()
    for path in Path("/var/lib/systemd/coredump").iterdir():
        path.unlink()


@pytest.fixture
def app_service():
    """app.service, without a limit, as its author wrote it: not started."""
    folder = Path("/etc/systemd/system")
    (folder / "app.service").write_text("[Service]\nExecStart=/usr/bin/python3 /srv/app.py\n")
    yield
    subprocess.run(["systemctl", "stop", "app"], check=False)
    subprocess.run(["systemctl", "reset-failed", "app"], check=False)
    for path in Path("/var/lib/app").glob("*"):
        path.unlink()


DOCKERFILE = """\
FROM debian:12 AS app
COPY usr/local /usr/local
COPY app.py /srv/
WORKDIR /srv
FROM app AS calm
ENV SECOND_LIFE=wait
FROM debian:12 AS pause
ENTRYPOINT ["sleep", "infinity"]
"""


@pytest.fixture(scope="session")
def images(app, tmp_path_factory):
    """debian:12, from an archive as there is no registry; app, with tm in it; and what keeps a pod's namespaces."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    manual.run("docker import /opt/debian.tar debian:12")
    manual.run("cp -r --parents /usr/local/bin /usr/local/lib /usr/local/share . && cp /srv/app.py .", folder)
    for target, name in (("app", "app"), ("calm", "app:1"), ("pause", "pause:1")):
        manual.run("docker build --target %s -t %s ." % (target, name), folder)
