# SPDX-License-Identifier: MIT
import os
import subprocess

import pytest


@pytest.fixture
def disk_of(tmp_path):
    """Mounts an empty disk of a size ("24m") and gives its folder; needs root."""
    mounted = []

    def mount(size):
        folder = tmp_path / ("disk-" + size)
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", "size=" + size, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.call(["mount", *options]) != 0:
            pytest.skip("needs root, to mount a small disk")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.call(["umount", "-l", str(folder)])
