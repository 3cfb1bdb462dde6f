# SPDX-License-Identifier: MIT
"""runtime/LAYOUT.md's tables against the structs that the compiler made of runtime/layout.h, by way of DWARF."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DUMP = ROOT / "build" / "tests" / "layout" / "dump_layout"
DOCUMENT = ROOT / "runtime" / "LAYOUT.md"


def compiled():
    """{struct: [(offset, size, type, field)...]} and {struct: size}."""
    structs, sizes = {}, {}
    for line in subprocess.check_output([str(DUMP)], text=True).splitlines():
        struct, offset, size, kind, field = line.split()
        if field == "-":
            sizes[struct] = int(size)
            structs[struct] = []
        else:
            structs[struct].append((int(offset), int(size), kind.replace("_tm_", " tm_", 1), field))
    return structs, sizes


def documented():
    """The same of the document: a heading `### struct NAME ...`, then a table `| offset | size | type | field | ...`."""
    structs, struct = {}, None
    for line in DOCUMENT.read_text().splitlines():
        heading = re.match(r"#+ .*?struct (tm_\w+)", line)
        if line.startswith("#"):
            struct = heading.group(1) if heading else None
            continue
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if struct and line.lstrip().startswith("|") and len(cells) >= 4 and re.fullmatch(r"\d+|0x[0-9a-f]+", cells[0]):
            structs.setdefault(struct, []).append((int(cells[0], 0), int(cells[1], 0), cells[2], cells[3]))
    return structs


STRUCTS, SIZES = compiled()


def test_the_dump_sees_every_struct():
    """Or the test below would compare nothing with nothing."""
    header = (ROOT / "runtime" / "layout.h").read_text()
    assert set(STRUCTS) == set(re.findall(r"^struct (tm_\w+) \{", header, re.M))
    assert STRUCTS["tm_root"][0] == (0, 16, "uint8_t[16]", "magic")
    assert SIZES["tm_root"] == int(re.search(r"TM_PIN_SIZE\(tm_root, (\d+)\)", header).group(1))


@pytest.mark.parametrize("struct", sorted(STRUCTS))
def test_document_and_compiler_agree(struct):
    tables = documented()
    assert struct in tables, "LAYOUT.md has no table below a heading 'struct %s'" % struct
    assert tables[struct] == STRUCTS[struct]


def test_no_struct_is_invented():
    assert set(documented()) <= set(STRUCTS)


@pytest.mark.parametrize("constant", re.findall(r"^#define (TM_\w+) (?:UINT\d+_C\()?(?:0x)?\d", (ROOT / "runtime" / "layout.h").read_text(), re.M))
def test_constants_are_documented(constant):
    assert re.search(r"\b%s\b" % constant, DOCUMENT.read_text()), "LAYOUT.md does not mention %s" % constant
