#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""echo.py [--full] [--json] [--only TEXT] [--seconds S] [--repeat N]: round trips of small messages over TCP.

    epoll   a spinning server, read and write on kernel sockets (bench/echo_server.c)
    ours    examples/echo.c, spinning, over AF_XDP and our own TCP

Each under two clients, on another core: `kernel`, `pst bench --echo` over kernel sockets, which costs about as much as
a fast server, and `our`, the same with --xdp. `bound by` says who limits: a server that spins is always busy, so
`server` only means that the client was not full. Needs root and namespaces.
"""
import argparse
import json
import os
import sys

import kit

ECHO = kit.ROOT / "build/bench/echo_server"
OURS = kit.ROOT / "build/examples/example_echo"
PORT = 7
DISTURBED = 0.03


def start(net, kind):
    if kind == "epoll":
        return kit.Server(net, [ECHO, f"{net.address}:{PORT}"])
    directory = kit.scratch(kit.SHM)
    path = os.path.join(directory, "region")
    kit.client([kit.PST, "create", path, "--size", "128M"])
    return kit.Server(net, [OURS, path, net.server_interface, f"{net.address}:{PORT}", "spin"], directory=directory)


def measure(net, client, kind, size, connections, seconds):
    with start(net, kind) as server:
        options = ["-c", connections, "-d", seconds, "--warmup", seconds / 4, "--size", size]
        if client == "our":
            options += ["--xdp", net.client_interface]
        watch = server.watch()
        out = json.loads(kit.client([kit.PST, "bench", "--echo", f"{net.address}:{PORT}", "--spin", "--json", *options]))
        watch.end()
    cpu, waited = watch.between(out["began"], out["began"] + out["seconds"])
    return {"rate": out["requests_per_second"], "p50": out["latency_us"]["p50"], "p99": out["latency_us"]["p99"],
            "client": out["client_busy"], "busy": cpu / out["seconds"], "waited": waited / out["seconds"]}


def in_turns(net, client, size, connections, seconds, repeat):
    runs = {kind: [] for kind in ("epoll", "ours")}
    for turn in range(repeat):
        for kind in list(runs) if turn % 2 == 0 else reversed(list(runs)):
            runs[kind].append(measure(net, client, kind, size, connections, seconds))
    return {kind: {column: kit.middle([r[column] for r in rows]) for column in rows[0]} for kind, rows in runs.items()}


def judge(client, size, connections, result):
    ours, epoll = result["ours"], result["epoll"]
    name = f"{size} B x{connections}, {client} client"
    if connections == 1 and client == "kernel":
        yield kit.at_most(f"{name}: p50 / epoll's", ours["p50"] / epoll["p50"], 0.8)
    if connections == 100:
        rate = ours["rate"] / epoll["rate"]
        if client == "kernel":
            yield kit.at_least(f"{name}: rate / epoll's", rate, 1.3 if size == 64 else 1.0)
        else:
            # Another TCP over AF_XDP, iip, was seen at 1.85 (64 B) and 1.36 (1 KiB) times such a server's rate.
            yield kit.at_least(f"{name}: rate / epoll's", rate, 2.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=0)
    o = parser.parse_args()
    net = kit.Net()
    rows, bounds, disturbed = [], [], 0
    notes = [f"{net.name}; server on core {kit.SERVER_CORE}, client on core {kit.CLIENT_CORE}"
             + ("" if kit.cores() > 1 else "; ONE core only: nothing here can be compared")]
    if net.server_ns is None:
        notes.append("nothing was measured: needs root and namespaces")
    for client in ("kernel", "our") if net.server_ns is not None else ():
        for size in 64, 1024:
            for connections in (1, 32, 100) if o.full else (1, 100):
                name = f"{size} B x{connections}, {client} client"
                if o.only not in name:
                    continue
                kit.say(f"  {name}")
                result = in_turns(net, client, size, connections, o.seconds, o.repeat or (5 if o.full else 2))
                disturbed += sum(m["waited"] > DISTURBED for m in result.values())
                rows += [{"case": name, "server": kind, "round trips/s": m["rate"], "p50 us": m["p50"], "p99 us": m["p99"],
                          "client busy": round(m["client"], 2),
                          "bound by": kit.bottleneck(m["busy"], m["client"], connections)}
                         for kind, m in result.items()]
                bounds += judge(client, size, connections, result)
    if disturbed:
        notes.append(f"DISTURBED: at {disturbed} of {len(rows)} points something else had the server's core for more than "
                     f"{DISTURBED:.0%} of the time; measure again on a quiet machine")
    out = {"title": "Echo over TCP", "rows": rows, "bounds": bounds, "notes": notes}
    print(json.dumps(out, indent=None if o.json else 1))


if __name__ == "__main__":
    sys.exit(main())
