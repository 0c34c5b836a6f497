#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""http [--full] [--json] [--only TEXT] [--seconds S] [--repeat N]: the HTTP service beside the classical server.

`pst serve` and bench/baseline, each on core 1, blocking and spinning, under `pst bench --spin` on core 0. A point is
measured in turns (pst, baseline, pst, baseline ...) on a fresh region and log each, and the median is told. Servers:

    pst       pst serve
    xdp       pst serve --xdp: our own TCP on packet buffers, instead of the kernel's
    classic   epoll, read, the same parser, record, checksum and index; memcpy into a log, one flush a round of sockets
    request   the same, one flush a request
    memory    the same, no flush: what the rest costs
    bare      memcpy and one flush a round; no record, checksum or index
    nothing   parses and answers, keeps nothing

`bound by` says who was: server (its core is full and the client's is not), client, or latency (neither is: too few
requests are under way). Only points bound by the server tell the cost of a server; the others are told, not judged.
A server that spins is always busy: there `server` only means that the client was not full.

Points with `our client` are driven by `pst bench --xdp`: a client over the kernel's TCP costs about as much as a fast
server, and then shows the client. Points with the server `xdp` need root and namespaces.

--full takes all sizes, connections and mixes: some 40 minutes. --only keeps the points whose name has the TEXT.
"""
import argparse
import json
import os
import sys

import kit

KEYS = 2000
STREAMS = 8
CLASSIC = {
    "classic": ["--keep", "all", "--flush", "round"],
    "request": ["--keep", "all", "--flush", "request"],
    "memory": ["--keep", "all", "--flush", "never"],
    "bare": ["--keep", "bytes", "--flush", "round"],
    "nothing": ["--keep", "nothing"],
}
MIXES = {"POST": "0:0:1", "GET": "0:1:0", "50/50": "1:1:0"}
DISTURBED = 0.03
MEMORY_MAX = 3 << 30  # a region or log
NO_WORSE = 1.03       # what two runs of the same program differ by


class Point:
    def __init__(self, medium, mix, size, connections, spin, servers, our_client=False):
        self.medium, self.mix, self.size, self.connections = medium, mix, size, connections
        self.spin, self.servers, self.our_client = spin, servers, our_client

    def name(self):
        return (f"{self.medium} {self.mix} {self.size} x{self.connections} "
                f"{'spinning' if self.spin else 'blocking'}{', our client' if self.our_client else ''}")

    def needs_interfaces(self):
        return self.our_client or "xdp" in self.servers


def points(full):
    """What is measured. The short list has every kind of thing once."""
    both, more = ["pst", "classic"], ["pst", "classic", "request", "memory", "bare", "nothing"]
    for our_client in True, False:
        for connections in (1, 25, 100, 1000) if full else (1, 100):
            for size in (64, 1280, 16384) if full else (1280,):
                yield Point("shm", "POST", size, connections, True, ["xdp", "pst", "classic"], our_client)
    if not full:
        for size in 64, 1280, 16384:
            yield Point("shm", "POST", size, 100, False, more if size == 1280 else both)
        yield Point("shm", "POST", 1280, 1000, False, both)
        yield Point("shm", "GET", 1280, 100, False, both)
        yield Point("shm", "50/50", 1280, 100, False, both)
        yield Point("file", "POST", 1280, 1, False, both)
        yield Point("file", "POST", 1280, 100, False, both)
        return
    for medium in "shm", "file":
        for mix in MIXES:
            for size in 64, 256, 1280, 16384, 65536:
                for connections in 1, 25, 100, 1000:
                    for spin in False, True:
                        extra = medium == "shm" and mix == "POST" and connections == 100
                        yield Point(medium, mix, size, connections, spin, more if extra else both)


def requests_for(p, seconds):
    """How many requests take about so long, as far as a region has room for them; and the region's size."""
    rate = min(300e3, 45e3 * p.connections ** 0.5) / (1 + p.size / 12000)
    if p.medium == "file":
        rate = min(rate, 4e3 * p.connections ** 0.75, 1e9 / max(p.size, 4096) * 0.7)
    if p.mix == "GET":
        return int(rate * seconds), KEYS * (p.size + 4096) * 3 + (64 << 20)
    footprint = max(p.size, 64) * 1.05 + 2300 if p.size > 200 else 512
    if p.medium == "file" and p.connections == 1:
        footprint = p.size + 2 * 4096 + 2048
    n = min(rate * seconds, MEMORY_MAX / footprint * 0.7)
    # The warm-up comes on top of them.
    return int(n), int(n * footprint * 1.35) + KEYS * (p.size + 4096) * 2 + (96 << 20)


def start(net, p, kind, size):
    directory = kit.scratch(kit.SHM if p.medium == "shm" else kit.DISK)
    path = os.path.join(directory, "region")
    size = (size + (4 << 20)) // (4 << 20) * (4 << 20)
    spin = ["--spin"] if p.spin else []
    if kit.free_bytes(directory) < size * 1.2:
        os.rmdir(directory)
        raise RuntimeError(f"no room for {size >> 20} MiB in {directory}")
    if kind in ("pst", "xdp"):
        kit.client([kit.PST, "create", path, "--size", size])
        command = [kit.PST, "serve", path, "--http", f"{net.address}:8080", *spin]
        if net.server_ns is not None:
            command.append("--public")
        if kind == "xdp":
            command += ["--xdp", net.server_interface]
    else:
        command = [kit.BASELINE, path, "--size", size, "--http", f"{net.address}:8080", *CLASSIC[kind], *spin]
    return kit.Server(net, command, directory=directory)


def measure(net, p, kind, seconds):
    n, size = requests_for(p, seconds)
    options = ["-c", p.connections, "-n", n, "--size", p.size, "--mix", MIXES[p.mix], "--streams", STREAMS,
               "--keys", KEYS, "--warmup", seconds / 8]
    if p.mix != "POST":
        options.append("--fill")
    if p.our_client:
        options += ["--xdp", net.client_interface]
    with start(net, p, kind, size) as server:
        out = kit.pst_bench(server, f"http://{net.address}:8080", *options)
    if out["full"] or out["errors"] or out["missing"]:
        raise RuntimeError(f"{p.name()}, {kind}: full {out['full']}, errors {out['errors']}, "
                           f"missing {out['missing']}: no measurement")
    return {
        "rate": out["requests_per_second"],
        "cpu": out["server_cpu"] * 1e6 / out["requests"],
        "busy": out["server_cpu"] / out["seconds"],
        "p50": out["latency_us"]["p50"],
        "p99": out["latency_us"]["p99"],
        "client": out["client_busy"],
        "client cpu": out["client_cpu_us_per_request"],
        "waited": out["server_waited"] / out["seconds"],
    }


def in_turns(net, p, seconds, repeat):
    """{server: the median of each column}"""
    runs = {kind: [] for kind in p.servers}
    for turn in range(repeat):
        for kind in p.servers if turn % 2 == 0 else reversed(p.servers):
            runs[kind].append(measure(net, p, kind, seconds))
    return {kind: {column: kit.middle([r[column] for r in rows]) for column in rows[0]}
            for kind, rows in runs.items()}


def row_of(p, kind, m):
    return {
        "case": p.name(),
        "server": kind,
        "requests/s": m["rate"],
        "server us": round(m["cpu"], 2),
        "server busy": round(m["busy"], 2),
        "p50 us": m["p50"],
        "p99 us": m["p99"],
        "client us": round(m["client cpu"], 2),
        "client busy": round(m["client"], 2),
        "bound by": kit.bottleneck(m["busy"], m["client"], p.connections),
    }


def judge(p, result):
    """The bounds at this point: CPU at 100 connections, rate and p99 everywhere."""
    if "xdp" in result:
        yield from judge_xdp(p, result["xdp"], result["classic"])
    if p.our_client:
        return
    ours, theirs = result["pst"], result["classic"]
    bound = {kind: kit.bottleneck(m["busy"], m["client"], p.connections) for kind, m in result.items()}
    if p.connections == 100 and not p.spin:
        yield kit.at_most(f"{p.name()}: server CPU / classic's", ours["cpu"] / theirs["cpu"], 0.85)
    if "client" not in (bound["pst"], bound["classic"]):
        yield kit.at_least(f"{p.name()}: requests/s / classic's", ours["rate"] / theirs["rate"], round(1 / NO_WORSE, 2))
        yield kit.at_most(f"{p.name()}: p99 / classic's", ours["p99"] / theirs["p99"], NO_WORSE)


def judge_xdp(p, ours, theirs):
    """Our own TCP beside the classical server over the kernel's, under the same client."""
    if p.size != 1280:
        return
    if p.connections == 1:
        yield kit.at_most(f"{p.name()}: xdp's p50 / classic's", ours["p50"] / theirs["p50"], 0.75)
    if p.connections == 100:
        yield kit.at_least(f"{p.name()}: xdp's requests/s / classic's", ours["rate"] / theirs["rate"],
                           2.0 if p.our_client else 1.3)


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
    for p in points(o.full):
        if o.only not in p.name():
            continue
        if p.needs_interfaces() and net.server_ns is None:
            notes.append(f"{p.name()}: needs root and namespaces")
            continue
        kit.say(f"  {p.name()}")
        try:
            result = in_turns(net, p, o.seconds, o.repeat or (3 if o.full else 2))
        except RuntimeError as error:
            notes.append(f"{p.name()}: {error}")
            kit.say(f"  {error}")
            continue
        disturbed += sum(m["waited"] > DISTURBED for m in result.values())
        rows += [row_of(p, kind, m) for kind, m in result.items()]
        bounds += judge(p, result)
    if disturbed:
        notes.append(f"DISTURBED: at {disturbed} of {len(rows)} points something else had the server's core for more than "
                     f"{DISTURBED:.0%} of the time; measure again on a quiet machine")
    out = {"title": "HTTP service beside the classical server", "rows": rows, "bounds": bounds, "notes": notes}
    print(json.dumps(out, indent=None if o.json else 1))
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
