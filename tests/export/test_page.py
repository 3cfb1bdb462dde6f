# SPDX-License-Identifier: MIT
"""The page of --format html, as text: what is put into it.  test_browser.py looks at it.

The sanitised engine has a page in any case: the bare one of web/, if npm was not there to make the other.
"""
import json
import os
import pty
import re
import subprocess

import pytest

import corpses
from built_page import has_page

SANITISED = corpses.ROOT / "build" / "sanitize" / "bin" / "tm"
EVIL_SHOWN = "/tmp/</script><!--;\\u2028\\u202e\\x0a&.py"
BUILT = has_page()


@pytest.fixture
def page(tmp_path):
    """Text of a page."""

    def make(source, *words, tm=SANITISED):
        path = tmp_path / "page.html"
        done = subprocess.run(
            [str(word) for word in (tm, "export", source, "--format", "html", "-o", path, "--force", *words)],
            env=corpses.clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert done.returncode == 0 and not done.stderr, done
        return path.read_text()

    return make


def data_of(text):
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert len(found) == 1
    return json.loads(found[0])


def stacks_of(data, side=0, words=2):
    """{newest-first frames: [size, count]}, a frame being the first words of file, line, function; what was folded has None
    for its newest frame."""
    stacks = {}
    paths = [()]
    for i, (parent, place, *own) in enumerate(data["nodes"]):
        assert parent <= i
        if i:
            paths.append((tuple(data["places"][place][:words]) if place >= 0 else None, *paths[parent]))
        size, count = own[2 * side : 2 * side + 2]
        if size or count:
            stacks[paths[i]] = [size, count]
    return stacks


def test_every_stack_is_there(core, top, page):
    """THEN the tree's nodes are top's tracebacks, to the byte; of several functions on one line each has its name."""
    data = data_of(page(core))
    assert data["folded"] == 0 and len(data["sides"]) == 1
    total = top["total"]
    assert data["sides"][0]["total"] == total and data["sides"][0]["frame_limit"] == 25

    def shown(text):
        return re.sub("[\n\u2028\u202e\udcff]", lambda one: "\\x0a" if one[0] == "\n" else "\\u%04x" % ord(one[0]), text)

    expected = {
        tuple((shown(frame["filename"]), frame["lineno"], frame["name"]) for frame in stat["traceback"]): [stat["size"], stat["count"]]
        for stat in top["stats"]
    }
    assert any(a[:2] == b[:2] and a != b for stack in expected for a, b in zip(stack, stack[1:]))
    assert stacks_of(data, words=3) == expected


def test_names_cannot_leave_the_data(core, page):
    """GIVEN a file whose name ends a script and begins a comment, THEN the page has as many scripts as without."""
    text = page(core)
    raw = re.search(r'id="data">(.*?)</script>', text, re.S)[1]
    assert not set(raw) & set("<>&\u2028\u2029")
    assert EVIL_SHOWN in {place[0] for place in data_of(text)["places"]}
    assert text.count("</script>") == 2 and text.count("<script") == 2


def test_source_lines(core, page):
    places = data_of(page(core))["places"]
    leak = [place for place in places if place[0].endswith("program.py") and len(place) > 3 and "# the leak" in place[3]]
    assert leak and leak[0][2].endswith("remember"), places[:5]
    assert not [place for place in data_of(page(core, "--no-source"))["places"] if len(place) > 3]


def test_baseline(newest, cores, core, top, page):
    """GIVEN two sources, THEN the tree has the numbers of both."""
    old = cores(newest, leak=20)
    data = data_of(page(core, "--baseline", old))
    assert [side["total"]["size"] for side in data["sides"]] == [
        top["total"]["size"],
        corpses.cli(old, "info", "--json").json()["total"]["size"],
    ]
    for side in (0, 1):
        stacks = stacks_of(data, side)
        assert sum(size for size, _ in stacks.values()) == data["sides"][side]["total"]["size"]
        assert sum(count for _, count in stacks.values()) == data["sides"][side]["total"]["count"]
    now, before = stacks_of(data, 0), stacks_of(data, 1)
    grown = max((now[stack][1] - before.get(stack, [0, 0])[1], stack) for stack in now if stack[0] and stack[0][0].endswith("program.py"))
    assert grown[0] >= 40
    answer = corpses.cli(core, "diff", "x")
    assert answer.status == 2


def test_filters_and_incomplete_baseline(newest, cores, core, page):
    data = data_of(page(core, "--baseline", cores(newest, leak=20), "--include", "*/export/program.py"))
    for side in (0, 1):
        assert sum(size for size, _ in stacks_of(data, side).values()) == data["sides"][side]["selected"]["size"]


def test_many_stacks_are_folded(newest, tmp_path, page):
    """GIVEN more frames than a browser can draw, THEN the small ones are added up, and nothing is lost."""
    lines = "\n".join("def f%d(): return [bytes(100), g()]" % i for i in range(220))
    program = tmp_path / "many.py"
    program.write_text(
        "import sys\n%s\n" % "\n".join("def a%d(f): return f()" % i for i in range(120))
        + "def g(): return bytearray(64)\n"
        + lines
        + "\nkeep = [a(f) for a in [globals()['a%d' % i] for i in range(120)] for f in [globals()['f%d' % i] for i in range(220)]]\n"
        + "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    core = corpses.gcore_core(corpses.traced(newest, program), tmp_path)
    data = data_of(page(core))
    core.unlink()
    assert data["folded"] > 1000
    assert len(data["nodes"]) <= 2 * 20000
    assert -sum(node[1] for node in data["nodes"] if node[1] < 0) == data["folded"]
    assert sum(node[2] for node in data["nodes"]) == data["sides"][0]["total"]["size"]
    assert sum(node[3] for node in data["nodes"]) == data["sides"][0]["total"]["count"]


def test_deep_stacks_are_folded(newest, tmp_path, page):
    """GIVEN 3000 frames on top of one another, THEN no more are drawn than a browser can, and nothing is lost."""
    program = "import sys; sys.setrecursionlimit(9999)\ndef f(n): return [bytes(1000), n and f(n - 1)]\nx = f(3000)\nprint('ready', flush=True); sys.stdin.read()"
    core = corpses.gcore_core(corpses.traced(newest, "-c", program, n=5000), tmp_path)
    data = data_of(page(core))
    core.unlink()
    depths = [0]
    for parent, *_ in data["nodes"][1:]:
        depths.append(depths[parent] + 1)
    assert max(depths) == 1001 and data["folded"] > 1900
    assert sum(node[2] for node in data["nodes"]) == data["sides"][0]["total"]["size"]


def test_not_for_terminals(core):
    for tm in (corpses.TM, str(SANITISED)):
        reader, terminal = pty.openpty()
        done = subprocess.run([tm, "export", str(core), "--format", "html"], stdout=terminal, stderr=subprocess.PIPE, text=True)
        os.close(terminal)
        os.close(reader)
        expected = "-o tm.html" if BUILT or tm != corpses.TM else "make web"
        assert done.returncode == 2 and expected in done.stderr, done


@pytest.mark.skipif(not BUILT, reason="no page in this build, only the bare one: make web")
class TestTheWholePage:
    def test_nothing_is_loaded(self, core, page):
        text = page(core, tm=corpses.TM)
        assert not re.search(r"<(link|img|iframe|object|embed|base)\b", text)
        assert not re.search(r"\b(src|href|action)\s*=\s*[\"']?(https?:)?//", text)
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy

    def test_licences(self, core, page):
        text = page(core, tm=corpses.TM)
        assert "d3-flame-graph 5" in text and "Apache License" in text and "Mike Bostock" in text

    def test_same_page_in_a_debugger(self, core, page, tmp_path):
        text = page(core, tm=corpses.TM)
        answer = corpses.gdb(core, "export", "--format", "html", "-o", tmp_path / "gdb.html")
        assert (tmp_path / "gdb.html").read_text() == text, answer


def test_without_the_page(core):
    """GIVEN a build without npm, THEN one sentence says how to get the page."""
    if BUILT:
        return
    answer = corpses.cli(core, "export", "--format", "html", "-o", "/nowhere/a.html")
    assert answer.status == 2 and "make web" in answer.err, answer


def test_the_lock_file_names_no_host():
    """npm takes packages from wherever it is told to."""
    text = (corpses.ROOT / "web" / "package-lock.json").read_text()
    assert "resolved" not in text and "://" not in re.sub(r'"url": "[^"]*"', "", text)
