# SPDX-License-Identifier: MIT
"""Regular expressions: log lines taken apart, words replaced, patterns compiled."""
import re

REPEAT = 4

LINE = re.compile(r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<verb>\w+) (?P<path>\S+)" '
                  r"(?P<status>\d{3}) (?P<size>\d+)")


def run():
    lines = ['10.0.%d.%d - user%d [12/Mar/2026:10:%02d:00] "GET /a/%d/b?c=%d" 200 %d' % (
        i % 256, i % 13, i % 50, i % 60, i, i * 3, i * 17) for i in range(3000)]
    for _ in range(5):
        sizes = {}
        for line in lines:
            match = LINE.match(line)
            fields = match.groupdict()
            sizes[fields["user"]] = sizes.get(fields["user"], 0) + int(fields["size"])
        text = "\n".join(lines)
        text = re.sub(r"\d+", lambda number: str(int(number.group()) + 1), text[:60000])
        assert len(re.findall(r"[a-z]+", text)) > 1000
    for i in range(60):
        re.purge()
        re.compile(r"(a%d|b+)*c{2,%d}[d-f]?(?:x|y|z)(?P<name>\d+)" % (i, i + 3))
