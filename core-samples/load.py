# SPDX-License-Identifier: MIT
"""Customers of leaky_server.py: a few keep-alive connections that ask for reports until the server is gone.

    usage: load.py PORT [THREADS]

Each browser has a session, and each link that it follows a number, so that no URL is asked for twice.
"""
import http.client
import itertools
import sys
import threading

numbers = itertools.count(1)
served = []


def customer(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    count = 0
    try:
        for click in numbers:
            connection.request("GET", f"/report?customer={click % 500}&session={name}&click={click}")
            response = connection.getresponse()
            response.read()
            count += response.status == 200
    except (OSError, http.client.HTTPException):
        pass  # gone
    served.append(count)


def main():
    port = int(sys.argv[1])
    threads = [
        threading.Thread(target=customer, args=(port, f"browser-{i}"))
        for i in range(int(sys.argv[2]) if len(sys.argv) > 2 else 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{sum(served)} reports served before the server was gone")


if __name__ == "__main__":
    main()
