# SPDX-License-Identifier: MIT
"""A small reporting service that leaks: its page cache is keyed by the full URL, and never evicts.

    GET /report?customer=N      a customer's orders as an HTML page
    GET /health                 how many pages and sessions there are

Nothing here is made for tm.  Start it below a memory limit, put load.py on it, and it dies of a MemoryError the way
services do: a line in the log, and a core.  A reader should find that one line of Site.page holds nearly all memory.

    usage: leaky_server.py [PORT]       (0, the default: any free port; the first line of output tells which)
"""
import collections
import html
import http.server
import os
import resource
import subprocess
import sys
import threading
import time
import urllib.parse

PRODUCTS = ["anvil", "bobbin & thread", "candle", "dibber", "egg <large>", "funnel", "gimlet", "hinge"]
SESSION_SECONDS = 30


class Sessions:
    """Who is there: forgotten SESSION_SECONDS after the last request, as it should be."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = collections.OrderedDict()

    def touch(self, token):
        now = time.monotonic()
        with self.lock:
            self.seen[token] = now
            self.seen.move_to_end(token)
            while next(iter(self.seen.values())) < now - SESSION_SECONDS:
                self.seen.popitem(last=False)


def orders_of(customer):
    """What a data base would answer."""
    for i in range(400):
        product = PRODUCTS[(customer * 7 + i * 3) % len(PRODUCTS)]
        yield i, product, (customer + i) % 19 + 1, (customer * 31 + i * 17) % 9000 + 99


def render(customer):
    rows = []
    total = 0
    for number, product, count, cents in orders_of(customer):
        total += count * cents
        rows.append(
            f"<tr><td>{customer:06}-{number:04}<td>{html.escape(product)}<td class=n>{count}"
            f"<td class=n>{cents / 100:.2f}<td class=n>{count * cents / 100:.2f}</tr>"
        )
    return (
        f"<!doctype html><title>Orders of customer {customer}</title><table><tr><th>Order<th>Product<th>Count"
        f"<th>Price<th>Sum</tr>{''.join(rows)}</table><p>Total {total / 100:.2f}"
    )


class Site:
    def __init__(self):
        self.sessions = Sessions()
        self.pages = {}

    def page(self, url):
        """A page that was rendered before need not be rendered again."""
        if url not in self.pages:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
            text = render(int(query["customer"][0]))
            # The leak: the URL carries the session, so that no URL ever comes twice, and nothing ever leaves.
            self.pages[url] = text.encode()
        return self.pages[url]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site = Site()

    def do_GET(self):
        try:
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/report":
                self.site.sessions.touch(urllib.parse.parse_qs(url.query).get("session", ["?"])[0])
                self.answer(200, "text/html; charset=utf-8", self.site.page(self.path))
            elif url.path == "/health":
                counts = f"pages {len(self.site.pages)}, sessions {len(self.site.sessions.seen)}\n"
                self.answer(200, "text/plain; charset=utf-8", counts.encode())
            else:
                self.answer(404, "text/plain; charset=utf-8", b"There is /report?customer=N and /health.\n")
        except MemoryError:
            die_of_memory()

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if isinstance(sys.exc_info()[1], MemoryError):
            die_of_memory()
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


# Given back before the last words are spoken, since those take memory, too.
reserve = bytearray(4 << 20)
dying = threading.Lock()


def die_of_memory():
    """A line in the log and a core.  Where the kernel hands cores to a program that may throw them away (core_pattern
    is a pipe, or leads elsewhere), gcore writes one to this directory first."""
    global reserve
    with dying:
        reserve = None
        os.write(2, b"MemoryError: out of memory below the limit; leaving a core\n")
        with open("/proc/sys/kernel/core_pattern") as file:
            pattern = file.read()
        if pattern.startswith("|") or "/" in pattern:
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            # Neither the debugger nor its Python is to be traced.
            clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("PYTHON")}
            subprocess.run(["gcore", "-o", "core", str(os.getpid())], stdout=subprocess.DEVNULL, env=clean)
        os.abort()


def main():
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
