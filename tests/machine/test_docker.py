# SPDX-License-Identifier: MIT
"""Containers: their limits, their cores, and looking into them from the host and from beside."""
import subprocess
from pathlib import Path

import pytest

import manual
from manual import LEAK


@pytest.fixture
def docker(images):
    yield
    for name in ("app", "idle"):
        subprocess.run(["docker", "rm", "-f", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def has_begun(name):
    """Whether the container has 20 MiB of anonymous memory: its program leaks already."""

    def grown():
        folder = "/sys/fs/cgroup/system.slice/docker-%s.scope" % manual.run("docker inspect -f '{{.Id}}' " + name).strip()
        anonymous = int((Path(folder) / "memory.stat").read_text().split()[1])
        return anonymous > 20 << 20

    return grown


def test_manual(tmp_path, docker):
    """GIVEN the image `app`, THEN each command of the page names the line, about the killed and about the living."""
    said = manual.perform(
        "Docker",
        tmp_path,
        **{
            "docker exec": lambda: manual.wait_for(has_begun("app")),
            "--pid=container": lambda: manual.wait_for(has_begun("idle")),
        },
    )
    manual.all_answers_name(said, LEAK)
    answers = dict(said)
    assert answers["docker inspect --format '{{.State.OOMKilled}}' app"] == "true\n"
    (watched,) = [answer for command, answer in said if "tm watch" in command]
    assert "of 256 MiB" in watched and ": saved tm-" in watched, watched


@pytest.mark.parametrize("pattern, name", [("core", "core"), ("/evidence/core.%e.%P", "core.python3.*")])
def test_cores_of_containers(pattern, name, docker, core_pattern):
    """GIVEN --ulimit core=-1 and a volume, THEN pid 1 of a container leaves its core there, wherever the pattern says."""
    core_pattern.write_text(pattern)
    done = subprocess.run(
        "docker run --name app --ulimit core=-1 -v /var/crash:/evidence -w /evidence app"
        " tm run -n 25 -- python3 /srv/app.py abort".split()
    )
    assert done.returncode == 139  # the kernel spares pid 1 its SIGABRT
    (core,) = Path("/var/crash").glob(name)
    assert LEAK in manual.run("tm top %s 1" % core)


def test_core_pattern(tmp_path, core_pattern):
    (tmp_path / "app.py").write_text(manual.APP)
    manual.all_answers_name(manual.perform("core_pattern", tmp_path), LEAK)
