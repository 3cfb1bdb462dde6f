# SPDX-License-Identifier: MIT
"""Started from outside: PYTHONTM=N where the package is installed, python -m tm where it is not."""
import os
import subprocess

import pytest

SHOW = "import json, sys, tm; print(json.dumps([tm.is_tracing(), tm.get_traceback_limit(), sys.argv, __name__]))"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = os.path.join(ROOT, "build", "lib", "python")


def run(command, **env):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TM_"))}
    environment.update(PYTHONDONTWRITEBYTECODE="1", **env)
    return subprocess.run(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory, newest):
    """An environment that the package was installed into by pip, without a network."""
    folder = tmp_path_factory.mktemp("environment")
    done = run([newest.executable, "-m", "venv", "--without-pip", folder])
    assert done.returncode == 0, done.stderr
    pip = ["-m", "pip", "install", "--no-index", "--quiet", "--disable-pip-version-check", "--prefix", folder, ROOT]
    done = run([newest.executable, *pip], CFLAGS="-O0")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin" / "python"


def test_installed_starts_at_startup(installed):
    """GIVEN pip install . / WHEN PYTHONTM=7 is set / THEN tracing is on before the program's first line"""
    done = run([installed, "-c", SHOW], PYTHONTM="7")
    assert done.stdout.startswith("[true, 7,") and not done.stderr, done
    done = run([installed, "-c", "import sys, tm; print('tracemalloc' in sys.modules, tm.__file__)"], PYTHONTM="1")
    assert done.stdout.startswith("False ") and str(installed.parent.parent) in done.stdout, done
    snapshot = "import tm; print(tm.take_snapshot().statistics('lineno')[0].size > 0, tm.get_tracemalloc_memory() > 0)"
    assert run([installed, "-c", snapshot], PYTHONTM="25").stdout == "True True\n"


@pytest.mark.parametrize("value", ["", "0"])
def test_installed_leaves_others_alone(installed, value):
    """GIVEN pip install . / WHEN PYTHONTM asks for nothing / THEN nothing of tm is loaded, or nothing starts"""
    assert run([installed, "-c", SHOW], PYTHONTM=value).stdout.startswith("[false, 1,")
    assert run([installed, "-c", "import sys; print('tm' in sys.modules)"]).stdout == "False\n"


@pytest.mark.parametrize("value", ["x", "-1", "65536", "7 frames"])
def test_typing_error(installed, value):
    """GIVEN a PYTHONTM that makes no sense / WHEN a program starts / THEN it runs, untraced, and one line says why"""
    done = run([installed, "-c", SHOW], PYTHONTM=value)
    assert done.returncode == 0 and done.stdout.startswith("[false, 1,")
    assert done.stderr == "tm: PYTHONTM=%s is not a number of frames from 0 to 65535; not traced\n" % value


def test_isolated(installed):
    """GIVEN PYTHONTM=7 / WHEN Python is told to ignore its variables (-E) / THEN it ignores this one, too"""
    assert run([installed, "-E", "-c", SHOW], PYTHONTM="7").stdout.startswith("[false, 1,")


def test_module(program, tmp_path):
    """GIVEN a program, a module, some code / WHEN python -m tm runs it / THEN it is traced, with its own arguments"""
    script = tmp_path / "script.py"
    script.write_text(SHOW + "\nimport sibling\n")
    (tmp_path / "sibling.py").write_text(SHOW)
    python = program.python.executable

    def lines(*words):
        done = run([python, "-m", "tm", *words], PYTHONPATH=PACKAGES + os.pathsep + str(tmp_path))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert lines(script, "-n", "5", "-m") == [
        '[true, 25, ["%s", "-n", "5", "-m"], "__main__"]' % script,
        '[true, 25, ["%s", "-n", "5", "-m"], "sibling"]' % script,
    ]
    assert lines("-n", "3", script)[0] == '[true, 3, ["%s"], "__main__"]' % script
    assert lines("--frames=4", "-m", "sibling", "-c", "x")[0].startswith("[true, 4, [")
    assert lines("-n9", "-c", SHOW, "-x", "--help") == ['[true, 9, ["-c", "-x", "--help"], "__main__"]']
    done = run([python, "-m", "tm", "-c", "raise SystemExit(7)"], PYTHONPATH=PACKAGES)
    assert done.returncode == 7


@pytest.mark.parametrize("words", [[], ["-n", "0", "x.py"], ["-n", "70000", "x.py"], ["-n", "many", "x.py"], ["-m"]])
def test_module_misused(newest, words):
    """GIVEN wrong words / WHEN python -m tm gets them / THEN it says so and exits with 2"""
    done = run([newest.executable, "-m", "tm", *words], PYTHONPATH=PACKAGES)
    assert done.returncode == 2 and "usage: python -m tm" in done.stderr and "Traceback" not in done.stderr


def test_not_built(newest, tmp_path):
    """GIVEN a package without the extension for this interpreter / WHEN it is imported / THEN one sentence says what to do"""
    folder = tmp_path / "tm"
    folder.mkdir()
    for name in ("__init__.py", "_classes.py"):
        (folder / name).write_bytes(open(os.path.join(PACKAGES, "tm", name), "rb").read())
    done = run([newest.executable, "-c", "import tm"], PYTHONPATH=str(tmp_path))
    assert "ImportError: tm was not built for cpython %s" % newest.version in done.stderr, done.stderr
    assert "make PYTHONS=" in done.stderr and len(done.stderr.strip().splitlines()) < 12


def test_no_engine(newest, tmp_path):
    """GIVEN a package without tm._engine / WHEN a snapshot is taken / THEN one sentence says so, and tracing goes on"""
    folder = tmp_path / "tm"
    folder.mkdir()
    for name in ("__init__.py", "_classes.py", "_tm" + newest.suffix):
        os.symlink(os.path.join(PACKAGES, "tm", name), folder / name)
    code = "import tm\ntm.start()\ntry: tm.take_snapshot()\nexcept ImportError as error: print(error)\nprint(tm.is_tracing())"
    done = run([newest.executable, "-c", code], PYTHONPATH=str(tmp_path))
    assert done.stdout.startswith("tm cannot take snapshots: its extension tm._engine is missing"), done
    assert done.stdout.endswith("True\n")
