# SPDX-License-Identifier: BSD-2-Clause
"""The unit tests on the machine's kernel, the oldest one that is supported.

The guest runs two at a time, each from a script in the shared directory, and leaves its output and its exit status
there; the host watches them appear.
"""

import time

from machine import Machine
from region import last_line

DISK_MIB = 2048
SLOWER = 15      # than a real processor; a test's own timeout is multiplied by this
AT_ONCE = 2      # tests, one a processor of the guest
START = """#!/bin/busybox sh
# $1: a test's folder. In the background of the control shell, hence the output to a file.
cd /tmp
sh "$1/command" >"$1/output" 2>&1 </dev/null
echo $? >"$1/status.tmp"
mv "$1/status.tmp" "$1/status"
"""


def run(lane, kit):
    folder = kit.share_dir / "unit"
    folder.mkdir()
    (folder / "start").write_text(START)
    for name, command, seconds in kit.unit_tests:
        words = " ".join(f"'{word}'" for word in command)
        _folder_of(folder, name).mkdir()
        (_folder_of(folder, name) / "command").write_text(f"exec timeout -s KILL {seconds * SLOWER} env {words}\n")
    with Machine(kit, "unit", disk=kit.sparse_file("unit.disk", DISK_MIB)) as machine:
        # A file system that is neither in memory nor DAX, where the tests of the `file` medium look for one.
        lane.succeeds(machine, "mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /var/tmp", "ext4 on a disk", 120)
        machine.run(f"ls -d /host/unit/*/ | xargs -n 1 -P {AT_ONCE} sh /host/unit/start >/dev/null 2>&1 &")
        _watch(lane, kit, machine, folder)
    counts = {word: list(lane.tests.values()).count(word) for word in ("passed", "failed", "skipped")}
    lane.note(f"Linux {kit.kernel.release}: {', '.join(f'{count} {word}' for word, count in counts.items())}")


def _watch(lane, kit, machine, folder):
    """Wait for all tests, and give the lane their results."""
    waiting = {name: seconds for name, _, seconds in kit.unit_tests}
    deadline = time.monotonic() + 60
    while waiting:
        for name in [name for name in waiting if (_folder_of(folder, name) / "status").exists()]:
            del waiting[name]
            lane.tests[name] = _result(lane, folder, name)
            # Whatever is being run now ends, or is killed, within the longest timeout that is left.
            deadline = time.monotonic() + 60 + SLOWER * max(waiting.values(), default=0)
        if time.monotonic() > deadline:
            break
        machine.run("true", 120)  # the machine lives; if it does not, this says so
        time.sleep(0.5)
    lane.promise(not waiting, "every unit test ends", f"never did: {', '.join(waiting)}")


def _result(lane, folder, name):
    place = _folder_of(folder, name)
    status = int((place / "status").read_text())
    result = {0: "passed", 77: "skipped"}.get(status, "failed")
    print(f"check-pmem: unit: {name}: {result}", flush=True)
    if result != "passed":
        told = last_line((place / "output").read_text(errors="replace"))
        lane.note(f"{name} {result} (exit status {status}): {told}; see share/unit/{place.name}/output")
    return result


def _folder_of(folder, name):
    return folder / name.replace(" ", "-")
