# SPDX-License-Identifier: BSD-2-Clause
"""Steps on a region in a machine, as promises of a lane: create, look, serve, load, verify, stop, check."""

import json
import re
import time

URL = "http://127.0.0.1:8080"
LOAD = "-c 8 -d 3600 --size 64-4096 --keys 400 --streams 4 --mix 45:25:20:10"


def created(lane, machine, path, size):
    lane.succeeds(machine, f"pst create {path} --size {size}", f"pst create {path}", 120)


def info(lane, machine, path):
    """What `pst info --json` says."""
    status, text = machine.run(f"pst info {path} --json", 120)
    try:
        if status == 0:
            return json.loads(text)
    except ValueError:
        pass
    lane.promise(False, f"pst info {path} --json prints JSON", f"exit status {status}: {text}")
    return {}


def sound(lane, machine, path, when):
    text = lane.succeeds(machine, f"pst check {path}", f"pst check finds nothing wrong {when}", 300)
    lane.note(f"pst check {when}: {last_line(text)}")


def serve(lane, machine, path, options=""):
    """Start a server and wait until it can answer: the seconds that took, as seen from outside."""
    log = f"/host/{machine.name}.{path.split('/')[-1]}.serve"
    command = (f"pst serve {path} --http 127.0.0.1:8080 {options} >{log} 2>&1 & echo $! >/run/serve.pid; "
               f"for i in $(seq 1200); do grep -q '^ready http=' {log} && exit 0; "
               "kill -0 $(cat /run/serve.pid) || break; sleep 0.1; done; "
               f"cat {log}; exit 1")
    started = time.monotonic()
    lane.succeeds(machine, command, "pst serve is ready", 180)
    return time.monotonic() - started


def stop(lane, machine):
    lane.succeeds(machine, "kill -TERM $(cat /run/serve.pid); for i in $(seq 600); do "
                  "kill -0 $(cat /run/serve.pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 1",
                  "SIGTERM ends pst serve", 90)


def load_and_kill(lane, machine, trace, enough_bytes, seconds):
    """Load the server, and kill the machine in the middle. `trace`, in the shared directory, is where the load
    writes down what it was told: a write to it has returned in the guest only when it is in a file of the host,
    which the machine's death does not touch."""
    known = _size(trace)
    machine.run(f"pst bench {URL} {LOAD} --verify /host/{trace.name} >/host/{machine.name}.bench 2>&1 & "
                "echo $! >/run/bench.pid")
    started = time.monotonic()
    while _size(trace) < known + enough_bytes or time.monotonic() < started + seconds:
        if time.monotonic() > started + seconds + 120:
            break
        time.sleep(0.2)
    status, text = machine.run("kill -0 $(cat /run/serve.pid) && kill -0 $(cat /run/bench.pid) || "
                               f"{{ tail -n 5 /host/{machine.name}.*; exit 1; }}")
    before = _size(trace)
    time.sleep(0.5)
    machine.kill()
    after = _size(trace)
    lane.promise(status == 0 and after > before > known + enough_bytes,
                 "the machine is killed in the middle of a load",
                 f"the trace had {known} bytes, then {before}, then {after}; {text}")


def verified(lane, machine, trace):
    """All that the trace says was acknowledged is there."""
    text = lane.succeeds(machine, f"pst bench {URL} --check /host/{trace.name} --json",
                         "every acknowledged write is there with the right bytes, lost 0", 300)
    lane.note(f"pst bench --check: {_short(text)}")


def not_verified(lane, machine, trace):
    text = lane.refused(machine, f"pst bench {URL} --check /host/{trace.name} --json",
                        "control: the same check fails on a copy taken before the load", r"lost\W+[1-9]", 300)
    lane.note(f"control, the same check on the older copy: {_short(text)}")


def last_line(text, most=160):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:most] if lines else "no output"


def _short(text):
    """The counts of a flat JSON object on one line."""
    return ", ".join(f"{name} {value}" for name, value in re.findall(r'"(\w+)": *(\d+)\b', text))[:200]


def _size(path):
    return path.stat().st_size if path.exists() else 0
