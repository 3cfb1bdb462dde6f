# SPDX-License-Identifier: MIT
"""What `pip install .` calls (PEP 517): compiles the two extensions with cc and packs them with the package.

It needs a compiler and the interpreter's headers, and neither setuptools nor wheel nor a network: pip can run it in an
isolated environment that has nothing.  Beside the package goes tm.pth, which starts tracing for PYTHONTM=N.  The command
line and the debugger scripts come from `make install`.
"""
import base64
import hashlib
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "runtime" / "python" / "tm"

# Python runs it at start-up, before the program, in whatever folder of site packages it lies.
START = """import os; os.environ.get("PYTHONTM") and __import__("tm._start")\n"""

COMPILE = ["-std=gnu11", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-ftls-model=initial-exec", "-I", "."]
RUNTIME = sorted(path.relative_to(ROOT) for path in (ROOT / "runtime").glob("*.c") if path.name != "preload.c")
BINDING = sorted(path.relative_to(ROOT) for path in (ROOT / "runtime" / "python" / "engine").glob("*.c"))


def _engine():
    """What tm._engine needs of the engine: the Makefile has the list."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    names = re.search(r"^SNAPSHOT_SOURCES := \$\(patsubst %,reader/%\.c,([^)]*)\)", text, re.MULTILINE).group(1)
    return [Path("reader", name + ".c") for name in names.split()]


def _version():
    return re.search(r'TM_VERSION "([^"]+)"', (ROOT / "runtime" / "runtime.h").read_text()).group(1)


def _compiler():
    return shlex.split(os.environ.get("CC") or "cc")


def _call(command):
    try:
        done = subprocess.run(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        sys.exit("tm: there is no C compiler (%s).  Install one (apt-get install gcc), or name it: CC=clang" % command[0])
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        sys.exit("tm: this failed: %s" % " ".join(map(str, command)))


def _extension(name, sources, folder):
    """Compiles one extension; returns its path."""
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        sys.exit(
            "tm: there is no Python.h in %s.  Install the headers: apt-get install python%d.%d-dev"
            % (include, *sys.version_info[:2])
        )
    objects = [Path(folder, "%s-%d.o" % (name, number)) for number in range(len(sources))]
    flags = [*COMPILE, *shlex.split(os.environ.get("CFLAGS", "")), "-isystem", include, "-c"]
    commands = [[*_compiler(), *flags, source, "-o", out] for source, out in zip(sources, objects)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_call, commands))
    built = Path(folder, name + sysconfig.get_config_var("EXT_SUFFIX"))
    _call([*_compiler(), "-shared", *objects, "-pthread", "-ldl", "-o", built])
    return built


def _tag():
    abi = sysconfig.get_config_var("SOABI").split("-")[1]  # cpython-313t-x86_64-linux-gnu
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return "cp%d%d-cp%s-%s" % (*sys.version_info[:2], abi, platform)


def _metadata():
    return "\n".join(
        [
            "Metadata-Version: 2.1",
            "Name: tm",
            "Version: " + _version(),
            "Summary: tracemalloc you can read from a corpse",
            "License: MIT",
            "Requires-Python: >=3.8",
            "Description-Content-Type: text/markdown",
            "",
            (ROOT / "README.md").read_text(encoding="utf-8"),
        ]
    )


class _Wheel:
    def __init__(self, path):
        self.file = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, content):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self.record.append("%s,sha256=%s,%d" % (name, digest, len(content)))
        self.file.writestr(name, content)

    def close(self, info):
        name = info + "/RECORD"
        self.file.writestr(name, "\n".join([*self.record, name + ",,", ""]))
        self.file.close()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tm-%s-%s.whl" % (_version(), _tag())
    info = "tm-%s.dist-info" % _version()
    wheel = _Wheel(os.path.join(wheel_directory, name))
    with tempfile.TemporaryDirectory() as folder:
        for extension, sources in (("_tm", RUNTIME), ("_engine", BINDING + _engine())):
            built = _extension(extension, sources, folder)
            wheel.add("tm/" + built.name, built.read_bytes())
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix in (".py", ".pyi") or path.name == "py.typed":
            wheel.add("tm/" + path.name, path.read_bytes())
    wheel.add("tm.pth", START.encode())
    wheel.add(info + "/METADATA", _metadata().encode())
    wheel.add(info + "/LICENSE", (ROOT / "LICENSE").read_bytes())
    wheel.add(
        info + "/WHEEL",
        ("Wheel-Version: 1.0\nGenerator: tm\nRoot-Is-Purelib: false\nTag: %s\n" % _tag()).encode(),
    )
    wheel.close(info)
    return name


def build_sdist(sdist_directory, config_settings=None):
    """What a build needs, and no more."""
    base = "tm-" + _version()
    wanted = ["pyproject.toml", "Makefile", "README.md", "LICENSE"]
    for folder, pattern in (("runtime", "**/*"), ("reader", "*.[ch]")):
        wanted += sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).glob(pattern) if path.is_file())
    with tarfile.open(os.path.join(sdist_directory, base + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as file:
        for path in wanted:
            if "__pycache__" not in path:
                file.add(str(ROOT / path), base + "/" + path)
        with tempfile.TemporaryDirectory() as folder:
            info = Path(folder, "PKG-INFO")
            info.write_text(_metadata(), encoding="utf-8")
            file.add(str(info), base + "/PKG-INFO")
    return base + ".tar.gz"
