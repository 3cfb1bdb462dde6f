# SPDX-License-Identifier: MIT
"""Tables: written as CSV, read, converted, grouped, pivoted."""
import csv
import io
from collections import defaultdict

REPEAT = 5


def run():
    for _ in range(4):
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["day", "city", "amount", "note"])
        for i in range(5000):
            writer.writerow([i % 365, "city %d" % (i % 40), i * 1.25, 'a "quoted", note' if i % 9 == 0 else ""])
        out.seek(0)
        groups = defaultdict(list)
        for row in csv.DictReader(out):
            groups[row["city"], int(row["day"]) // 30].append(float(row["amount"]))
        table = {key: (sum(values), min(values), max(values)) for key, values in groups.items()}
        assert len(sorted(table.items(), key=lambda item: item[1])) > 400
