#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""beside [--full] [--json] [--only TEXT] [--seconds S]: pst serve beside what people run, on the same medium, in the same run.

    redis always, redis no   redis-server, appendfsync, under redis-benchmark SET of 1 KiB
    nginx                    answers a POST of 1 KiB with an empty 201 and stores nothing, under pst bench --spin
    pst                      pst serve, POST of 1 KiB, under pst bench --spin, blocking like the others
    pst --xdp                the same over our own TCP, spinning, under the same client, which is the kernel's
    ..., our client          and under pst bench --xdp: what a server does whose clients cost little

`bound by`, `server us`, `client us`: as in http.py. redis-benchmark sleeps where it has nothing to do; its CPU time a request is from its whole run.

Servers on core 1, clients on core 0, in turns; the better client of each is its own. What is not installed is left out
and said (`scripts/deps bench`).
"""
import argparse
import json
import os
import resource
import shutil
import sys

import kit

SIZE = 1024
PORT = 8090
NGINX = """daemon off; master_process off; pid {dir}/pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 100000000; client_body_buffer_size 64k;
  server {{ listen {address}:{port}; location / {{ return 201; }} }}
}}
"""


def directory_on(medium):
    return kit.scratch(kit.SHM if medium == "shm" else kit.DISK)


def children_cpu():
    """Seconds of CPU time of all children that have ended: between two calls only a client does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def redis(net, medium, sync, connections, seconds):
    directory = directory_on(medium)
    command = ["redis-server", "--bind", net.address, "--port", PORT, "--protected-mode", "no", "--save", "",
               "--appendonly", "yes", "--appendfsync", sync, "--dir", directory, "--auto-aof-rewrite-percentage", 0]
    rate = {"shm": 13e3, "file": 3.5e3}[medium] if connections == 1 else 80e3 if medium == "shm" else 45e3
    n = int(rate * seconds)
    with kit.Server(net, command, ready=PORT, directory=directory) as server:
        before = children_cpu()
        watch = server.watch()
        out = kit.client(["redis-benchmark", "-h", net.address, "-p", PORT, "-t", "set", "-d", SIZE, "-c", connections,
                          "-n", n, "-r", 10000, "--csv"])
        watch.end()
        used = (watch.samples[-1][1] - watch.samples[0][1]) / 1e3
        client = children_cpu() - before
    # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    fields = [f.strip('"') for f in out.strip().splitlines()[-1].split(",")]
    rate = float(fields[1])
    return {"rate": rate, "cpu": used / n, "p50": float(fields[4]) * 1e3, "p99": float(fields[6]) * 1e3,
            "busy": min(1, used / n * rate / 1e6), "client": min(1, client / n * rate), "client cpu": client * 1e6 / n}


def http(server, url, connections, n, *options):
    out = kit.pst_bench(server, url, "-c", connections, "-n", n, "--size", SIZE, "--mix", "0:0:1", *options)
    if out["full"] or out["errors"]:
        raise RuntimeError(f"{url}: full {out['full']}, errors {out['errors']}")
    return {"rate": out["requests_per_second"], "cpu": out["server_cpu"] * 1e6 / out["requests"],
            "p50": out["latency_us"]["p50"], "p99": out["latency_us"]["p99"], "busy": out["server_cpu"] / out["seconds"],
            "client": out["client_busy"], "client cpu": out["client_cpu_us_per_request"]}


def count(connections, seconds):
    return int((30e3 if connections == 1 else 150e3) * seconds)


def pst(net, medium, connections, seconds, xdp=False, our_client=False):
    directory = directory_on(medium)
    region = os.path.join(directory, "region")
    n = count(connections, seconds) // (1 if medium == "shm" else 2 if connections > 1 else 6)
    kit.client([kit.PST, "create", region, "--size", (n * (13000 if medium == "file" and connections == 1 else 4600)
                                                      + (128 << 20)) >> 22 << 22])
    options = ["--public"] if net.server_ns is not None else []
    if xdp:
        options += ["--xdp", net.server_interface, "--spin"]
    with kit.Server(net, [kit.PST, "serve", region, "--http", f"{net.address}:{PORT}", *options],
                    directory=directory) as server:
        return http(server, f"http://{net.address}:{PORT}", connections, n,
                    *(["--xdp", net.client_interface] if our_client else []))


def nginx(net, connections, seconds):
    directory = directory_on("shm")
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w") as f:
        f.write(NGINX.format(dir=directory, address=net.address, port=PORT))
    with kit.Server(net, ["nginx", "-p", directory, "-c", path], ready=PORT, directory=directory) as server:
        return http(server, f"http://{net.address}:{PORT}", connections, count(connections, seconds))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name has the TEXT: shm x1, file x100 ...")
    parser.add_argument("--seconds", type=float, default=1.0)
    o = parser.parse_args()
    net = kit.Net()
    rows, bounds, notes = [], [], [f"{net.name}; server on core {kit.SERVER_CORE}, client on core {kit.CLIENT_CORE}"]
    has = {"redis": shutil.which("redis-server") and shutil.which("redis-benchmark"), "nginx": shutil.which("nginx")}
    notes += [f"{name} is not installed: left out" for name, there in has.items() if not there]
    for medium in "shm", "file":
        for connections in (1, 50, 100) if o.full else (1, 100):
            if o.only not in f"{medium} x{connections}":
                continue
            cases = {"pst": lambda: pst(net, medium, connections, o.seconds)}
            if net.server_ns is not None:
                cases["pst --xdp"] = lambda: pst(net, medium, connections, o.seconds, True)
                cases["pst --xdp, our client"] = lambda: pst(net, medium, connections, o.seconds, True, True)
            if has["redis"]:
                for sync in "always", "no":
                    cases[f"redis {sync}"] = lambda sync=sync: redis(net, medium, sync, connections, o.seconds)
            if has["nginx"] and medium == "shm":
                cases["nginx, stores nothing"] = lambda: nginx(net, connections, o.seconds)
            kit.say(f"  {medium} x{connections}")
            runs = {name: [] for name in cases}
            for turn in range(3 if o.full else 2):
                for name in cases if turn % 2 == 0 else reversed(list(cases)):
                    try:
                        runs[name].append(cases[name]())
                    except RuntimeError as error:
                        notes.append(str(error))
            result = {name: {k: kit.middle([r[k] for r in rs]) for k in rs[0]} for name, rs in runs.items() if rs}
            rows += [{"case": f"{medium} 1 KiB x{connections}", "server": name, "requests/s": m["rate"],
                      "server us": round(m["cpu"], 2), "server busy": round(m["busy"], 2), "p50 us": m["p50"],
                      "p99 us": m["p99"], "client us": round(m["client cpu"], 2), "client busy": round(m["client"], 2),
                      "bound by": kit.bottleneck(m["busy"], m["client"], connections)}
                     for name, m in result.items()]
            for name in ("pst", "pst --xdp") if connections == 100 and "redis always" in result else ():
                if name in result:
                    bounds.append(kit.at_least(f"{medium} x100: {name} / redis always, requests/s",
                                               result[name]["rate"] / result["redis always"]["rate"],
                                               2.3 if medium == "shm" else 4))
    print(json.dumps({"title": "Beside Redis and nginx", "rows": rows, "bounds": bounds, "notes": notes}))
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
