# SPDX-License-Identifier: BSD-2-Clause
"""The unit tests on the machine's kernel, the oldest one that is supported."""

from machine import Machine
from region import last_line

SLOWER = 15  # than a real processor; a test's own timeout is multiplied by this


def run(lane, kit):
    counts = {"passed": 0, "skipped": 0, "failed": 0}
    with Machine(kit, "unit") as machine:
        for name, command, seconds in kit.unit_tests:
            limit = seconds * SLOWER
            words = " ".join(f"'{word}'" for word in command)
            status, text = machine.run(f"cd /tmp && timeout -s KILL {limit} env {words}", limit + 30)
            result = {0: "passed", 77: "skipped"}.get(status, "failed")
            counts[result] += 1
            log = kit.run_dir / f"unit-{name}.log"
            log.write_text(f"{text}\nexit status {status}\n")
            print(f"check-pmem: unit: {name}: {result}", flush=True)
            if result != "passed":
                lane.note(f"{name} {result} (status {status}): {last_line(text)}; see {log.name}")
    summary = ", ".join(f"{count} {result}" for result, count in counts.items())
    lane.promise(counts["passed"] and not counts["failed"], f"Linux {kit.release}: {summary}")
