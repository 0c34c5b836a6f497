#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""workers [--full] [--json] [--seconds S] [--repeat N]: `pst serve` with one worker and with more, in turns.

The client is pinned to a core, the server is not, so they share that one. On two cores the client needs one of them, so a
second worker can only cost there; what is to be learned is what turns take of a request (docs/workers.md), as their
sum is what no number of workers can go beyond. --full takes four workers as well, and other requests.
"""
import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys

import kit

CONNECTIONS = 100


def metrics_of(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


def seconds_of(name, metrics):
    return sum(float(value) for value in re.findall(rf"^paste_worker_{name}_seconds_total\{{.*\}} (\S+)$", metrics, re.M))


def measure(workers, size, mix, seconds):
    directory = kit.scratch(kit.SHM)
    path = os.path.join(directory, "region")
    kit.client([kit.PST, "create", path, "--size", "2G"])
    server = subprocess.Popen([kit.PST, "serve", path, "--http", "127.0.0.1:0", "--scrub", "0", "--workers", str(workers)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = "http://" + server.stdout.readline().split("http=")[1].split()[0]
        before = kit.cpu_ns(server.pid)[0]
        out = json.loads(kit.client([kit.PST, "bench", url, "-c", str(CONNECTIONS), "-d", str(seconds), "--size", str(size),
                                     "--mix", mix, "--json"]))
        used = kit.cpu_ns(server.pid)[0] - before
        metrics = metrics_of(url)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        server.stdout.close()
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    n = float(re.search(r"^paste_http_requests_total (\d+)", metrics, re.M)[1])  # with those of the warm-up
    turn, waited = seconds_of("turn", metrics), seconds_of("waited", metrics)
    return {"rate": out["requests_per_second"], "server us": used / n / 1e3,
            "turn us": turn * 1e6 / n if workers > 1 else None, "waited us": waited * 1e6 / n if workers > 1 else None,
            "p99 us": out["latency_us"]["p99"], "client busy": out["client_busy"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    rows = []
    for name, size, mix in [("POST", 1280, "0:0:1"), *([("50/50", 1280, "1:1:0"), ("POST", 64, "0:0:1")] if args.full else [])]:
        runs = {workers: [] for workers in ((1, 2, 4) if args.full else (1, 2))}
        for _ in range(args.repeat):
            for workers, of in runs.items():
                of.append(measure(workers, size, mix, args.seconds))
                print(f"{name} {size}, {workers} workers: {of[-1]['rate']:,.0f}/s", file=sys.stderr)
        for workers, of in runs.items():
            rows.append({"case": f"shm {name} {size} x{CONNECTIONS}", "workers": workers,
                         **{key: kit.middle([run[key] for run in of]) if of[0][key] is not None else None for key in of[0]}})
    result = {"title": "several workers", "rows": rows,
              "notes": [f"{os.cpu_count()} cores, of which the client takes one: more workers than the rest can only cost"]}
    if args.json:
        print(json.dumps(result))
    else:
        for row in rows:
            print("  ".join(f"{key} {value:,.2f}" if isinstance(value, float) else f"{key} {value}"
                            for key, value in row.items() if value is not None))


if __name__ == "__main__":
    main()
