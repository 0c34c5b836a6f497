#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""durability [--full] [--json] [--seconds S] [--turns N]: what durability costs a request, and of what that is made.

POST of 1280 bytes on 100 connections to `pst serve` on shm, blocking, and to `pst serve --no-persist`, which writes
nothing back and fences nothing, in turns on fresh regions: what they differ by in CPU of the server is write-back and
fence. Checksum and record are made by both; what they cost is told by bench/durable_parts, which adds one part after
the other in rounds of as many requests as the server's had.

Two servers of several us that differ by a tenth of one: the difference of the pairs has a wide spread, which is told
(`half of them`: between these the middle half of the pairs lies). The parts alone are the finer measure.
"""
import argparse
import json
import os
import subprocess
import sys

import kit

PARTS = kit.ROOT / "build/bench/durable_parts"
SIZE, CONNECTIONS, PORT = 1280, 100, 8080
MOST_NS = 300


def rounds_of(net):
    done = subprocess.run(["curl", "-s", f"http://{net.address}:{PORT}/metrics"], stdout=subprocess.PIPE, text=True)
    return next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("paste_store_rounds_total "))


def measure(net, options, seconds):
    """(ns of CPU a request, requests a round)"""
    n = int(90e3 * seconds)
    directory = kit.scratch(kit.SHM)
    region = os.path.join(directory, "region")
    size = (n * 4700 + (128 << 20)) >> 22 << 22
    if kit.free_bytes(directory) < size * 1.2:
        os.rmdir(directory)
        raise RuntimeError(f"no room for {size >> 20} MiB in {directory}")
    kit.client([kit.PST, "create", region, "--size", size])
    public = ["--public"] if net.server_ns is not None else []
    command = [kit.PST, "serve", region, "--http", f"{net.address}:{PORT}", *public, *options]
    with kit.Server(net, command, directory=directory) as server:
        before = rounds_of(net)
        out = kit.pst_bench(server, f"http://{net.address}:{PORT}", "-c", CONNECTIONS, "-n", n, "--size", SIZE,
                            "--mix", "0:0:1", "--warmup", seconds / 8)
        rounds = rounds_of(net) - before
    if out["full"] or out["errors"]:
        raise RuntimeError(f"full {out['full']}, errors {out['errors']}: no measurement")
    # The warm-up's rounds are in it, too; it is as long as an eighth.
    return out["server_cpu"] * 1e9 / out["requests"], out["requests"] * 9 / 8 / max(rounds, 1)


def quartiles(values):
    values = sorted(values)
    return values[len(values) // 4], values[-1 - len(values) // 4]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=0)
    o = parser.parse_args()
    net = kit.Net()
    runs = {"durable": [], "no persistence": []}
    ways = [("durable", []), ("no persistence", ["--no-persist"])]
    for turn in range(o.turns or (40 if o.full else 12)):
        kit.say(f"  turn {turn + 1}")
        for name, options in ways if turn % 2 == 0 else reversed(ways):
            runs[name].append(measure(net, options, o.seconds))
    cpu = {name: [ns for ns, _ in rs] for name, rs in runs.items()}
    group = round(kit.middle([n for _, n in runs["durable"]]))
    differences = [a - b for a, b in zip(cpu["durable"], cpu["no persistence"])]
    low, high = quartiles(differences)
    rows = [{"server": name, "server ns": round(kit.middle(rs)), "requests a round": round(kit.middle([n for _, n in runs[name]]))}
            for name, rs in cpu.items()]
    parts = json.loads(kit.client([PARTS, "--json", "--group", min(max(group, 1), 256)]))["rows"][0]
    written = kit.middle(differences)
    made = parts["CRC"] + parts["record"]
    items = [{"part": name, "ns a request": round(parts[name], 1)}
             for name in ("CRC", "write-back", "record", "log write-back", "fence", "all")]
    items += [{"part": "durable less no persistence: all write-back and fence, in the server", "ns a request": round(written),
               "half of them": f"{low:,.0f} to {high:,.0f}"}]
    bounds = [
        kit.at_most("parts alone, ns a request", parts["all"], MOST_NS),
        kit.at_most("in the server, with CRC and record, ns a request", written + made, MOST_NS),
    ]
    notes = [f"{net.name}; server on core {kit.SERVER_CORE}, client on core {kit.CLIENT_CORE}; POST of {SIZE} B, "
             f"{CONNECTIONS} connections, shm, blocking"]
    print(json.dumps({"title": "What durability costs a request", "servers": rows, "parts": items, "bounds": bounds,
                      "notes": notes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
