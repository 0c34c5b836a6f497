# SPDX-License-Identifier: BSD-2-Clause
"""Packets received straight into an NVDIMM: `pst serve --xdp --udp` on a device-DAX region, datagrams from outside,
found in the backing file by where and what they are; the machine killed under load, booted, every datagram that was
acknowledged read back; and the refusal of a region that cannot be such memory.
"""

import hashlib
import mmap
import os
import time

from machine import Machine
from region import URL, created, last_line, serve, sound, stop
from wire import GUEST_ADDRESS, HEADER_BYTES, datagram, datagram_from

NVDIMM_MIB = 256
REGION_SIZE = "160M"
REGION = "/dev/dax0.0"
BUFFER_BYTES = 2048
IN_BUFFER = 256 + 62 + HEADER_BYTES  # where a payload begins: the kernel's headroom, ours, and the headers
PORT, OTHER_PORT = 7000, 7001
STREAM = "packets"
PAYLOAD_BYTES = 1000      # too large to be packed into a record
FIRST_SOURCE_PORT = 1024  # each datagram has a source port of its own: the answer tells which it is for
AT_ONCE = 16
CALM, LOAD, AFTERWARDS = 300, 600, 50  # datagrams: before the look into the file, acknowledged before death, after it
MARK = b"paste-datagram-"
ANSWER_SECONDS = 10


class Client:
    """Sends datagrams and writes down what came back for which."""

    def __init__(self, wire):
        self.wire = wire
        self.sent = 0
        self.waiting = set()
        self.sequence = {}  # datagram: what it was told
        self.refused = {}

    def plug_into(self, wire):
        """Another boot: what was not answered never will be."""
        self.wire = wire
        self.waiting.clear()

    def acknowledged(self, count, seconds):
        """Keep AT_ONCE datagrams under way until `count` more have been acknowledged. False: too slow."""
        enough = len(self.sequence) + count
        deadline = time.monotonic() + seconds
        while len(self.sequence) < enough and not self.refused:
            if time.monotonic() > deadline:
                return False
            while len(self.waiting) < min(AT_ONCE, enough - len(self.sequence)):
                self.wire.send(datagram(FIRST_SOURCE_PORT + self.sent, PORT, payload(self.sent)))
                self.waiting.add(self.sent)
                self.sent += 1
            self.listen(ANSWER_SECONDS)
        return not self.refused

    def burst(self, count):
        """Send without waiting for answers."""
        for number in range(self.sent, self.sent + count):
            self.wire.send(datagram(FIRST_SOURCE_PORT + number, PORT, payload(number)))
            self.waiting.add(number)
        self.sent += count

    def listen(self, seconds):
        """Take one frame off the cable. False: there was none."""
        frame = self.wire.receive(seconds)
        found = frame and datagram_from(frame)
        if found and found[0] == PORT and len(found[2]) == 8:
            number, answer = found[1] - FIRST_SOURCE_PORT, int.from_bytes(found[2], "big")
            self.waiting.discard(number)
            (self.refused if answer >> 63 else self.sequence)[number] = answer
        return frame is not None


def payload(number, length=PAYLOAD_BYTES):
    """Bytes that nothing but this datagram has."""
    head = MARK + b"%08d-" % number
    return head + hashlib.shake_128(head).digest(length - len(head))


def run(lane, kit, kernel, mode):
    nvdimm = kit.sparse_file(f"{lane.name}.nvdimm", NVDIMM_MIB)
    file_dax = kit.sparse_file(f"{lane.name}.fs-dax", NVDIMM_MIB)
    with Machine(kit, f"{lane.name}-1", [nvdimm, file_dax], kernel=kernel, network=True) as machine:
        lane.succeeds(machine, "ndctl create-namespace -f -e namespace0.0 -m devdax",
                      f"Linux {kernel.release}: a device-DAX namespace", 120)
        created(lane, machine, REGION, REGION_SIZE)
        _bring_up(lane, machine)
        _refuses_file_dax(lane, machine)
        _serve(lane, machine, mode)
        client = Client(machine.wire)
        lane.promise(client.acknowledged(CALM, 120), f"{CALM} datagrams are acknowledged", _told(client))
        _found_from_outside(lane, nvdimm, client)
        _who_wrote(lane, machine, nvdimm, mode)
        _killed_under_load(lane, machine, client)
    with Machine(kit, f"{lane.name}-2", [nvdimm], kernel=kernel, network=True) as machine:
        sound(lane, machine, REGION, "after death, before recovery")
        _bring_up(lane, machine)
        _serve(lane, machine, mode)
        _all_there(lane, kit, machine, client)
        client.plug_into(machine.wire)
        highest = max(client.sequence.values())
        lane.promise(client.acknowledged(AFTERWARDS, 120), f"{AFTERWARDS} more are acknowledged", _told(client))
        lane.promise(sorted(client.sequence.values())[-AFTERWARDS] > highest, "their numbers go on from there",
                     _told(client))
        stop(lane, machine)
        sound(lane, machine, REGION, "after the close")


def _bring_up(lane, machine):
    lane.succeeds(machine, f"ip addr add {GUEST_ADDRESS}/24 dev eth0 && ip link set eth0 up", "eth0 is up")
    text = lane.succeeds(machine, f"pst port eth0 --region {REGION}", "pst port finds nothing in the way")
    lane.note(f"pst port: {', '.join(' '.join(line.split()) for line in text.splitlines()[:8])}")


def _refuses_file_dax(lane, machine):
    lane.succeeds(machine, "ndctl create-namespace -f -e namespace1.0 -m fsdax && mkfs.ext4 -q -b 4096 /dev/pmem1 && "
                  "mount -t ext4 -o dax=always /dev/pmem1 /mnt && pst create /mnt/region --size 64M",
                  "beside it, a region in a file of ext4 with DAX", 120)
    text = lane.refused(machine, f"timeout 60 pst serve /mnt/region --http 127.0.0.1:8081 --public "
                        f"--xdp eth0 --udp {PORT}",
                        "packets cannot land in that: refused, with the reason and what to do",
                        "DAX file system.*pins.*devdax", 90)
    lane.note(f"the refusal: {last_line(text, 400)}")
    machine.run("umount /mnt")


def _serve(lane, machine, mode):
    serve(lane, machine, REGION, f"--public --xdp eth0 --udp {PORT}:{STREAM}")
    text = lane.succeeds(machine, f"grep xdp= /host/{machine.name}.*.serve", "pst serve says what it obtained")
    # The server asks the kernel (XDP_OPTIONS): zero-copy is not what was hoped for but what is.
    lane.promise(f"xdp={mode}" in text.split(), f"the kernel says that it is {mode}", text)


def _found_from_outside(lane, nvdimm, client):
    """Each datagram is in the backing file, once, at the place in a buffer where it was received."""
    places = _places(nvdimm)
    wrong = [f"datagram {number} is at {places.get(number)}" for number in client.sequence
             if [place % BUFFER_BYTES for place in places.get(number, [])] != [IN_BUFFER]]
    lane.promise(not wrong, f"{len(client.sequence)} of them are in the NVDIMM's backing file, bit-identical, once, "
                 "where they were received", "; ".join(wrong[:5]))


def _who_wrote(lane, machine, nvdimm, mode):
    """A datagram that is for the kernel: only a device that writes into the region by itself has put it there."""
    stranger = MARK + b"for-the-kernel-" + os.urandom(32).hex().encode()
    machine.wire.send(datagram(FIRST_SOURCE_PORT, OTHER_PORT, stranger))
    # NoPorts of Udp in /proc/net/snmp: the kernel's count of datagrams that nobody was there for.
    lane.succeeds(machine, "for i in $(seq 100); do awk '/^Udp: [0-9]/ { exit $3 == 0 }' /proc/net/snmp && exit 0; "
                  "sleep 0.1; done; exit 1", "a datagram to another port reaches the guest's kernel")
    found = _find(nvdimm, stranger)
    if mode == "zero-copy":
        lane.promise(found, "and is in the NVDIMM too, though nobody put it there: the device's own DMA did")
    else:
        lane.promise(not found, "and is not in the NVDIMM: what is, the kernel copied there")


def _killed_under_load(lane, machine, client):
    lane.promise(client.acknowledged(LOAD, 120), f"{LOAD} more are acknowledged", _told(client))
    client.burst(4 * AT_ONCE)
    known = len(client.sequence)
    while len(client.sequence) < known + AT_ONCE and client.listen(ANSWER_SECONDS):
        pass
    machine.kill()
    while client.listen(1):  # what left the machine while it lived is on the cable
        pass
    lane.promise(len(client.sequence) >= known + AT_ONCE, "the machine is killed in the middle of a load",
                 _told(client))
    lane.note(_told(client))


def _all_there(lane, kit, machine, client):
    folder = kit.share_dir / machine.name
    folder.mkdir()
    entries = client.sent
    # Behind the last entry there are none: curl says so and goes on.
    machine.run(f"curl -sS -w '%{{http_code}} %{{url_effective}}\\n' -o '/host/{machine.name}/#1' "
                f"'{URL}/log/{STREAM}/[1-{entries}]' >/host/{machine.name}.curl 2>&1", 300)
    statuses = [line.split() for line in (kit.share_dir / f"{machine.name}.curl").read_text().splitlines()]
    lane.promise(len(statuses) == entries, f"curl asks for all {entries} of them", str(statuses[-3:]))
    there = {int(url.rsplit("/", 1)[1]): (folder / url.rsplit("/", 1)[1]).read_bytes()
             for status, url in statuses if status == "200"}
    wrong = [f"entry {sequence} is not datagram {number}" for number, sequence in client.sequence.items()
             if there.get(sequence) != payload(number)]
    lane.promise(not wrong, f"all {len(client.sequence)} acknowledged datagrams are there, bit-identical, lost 0",
                 f"{len(wrong)} are not: {'; '.join(wrong[:5])}")
    known = {payload(number): number for number in range(client.sent)}
    torn = [sequence for sequence, content in there.items() if content not in known]
    lane.promise(not torn and sorted(there) == list(range(1, len(there) + 1)),
                 "the others are there whole or not at all, the numbers without a gap", f"torn: {torn[:5]}")
    lane.note(f"{len(there)} entries after the boot, {len(there) - len(client.sequence)} of them never acknowledged")


def _places(nvdimm):
    """{datagram: offsets in the file at which all of its payload is}"""
    places = {}
    with open(nvdimm, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        at = memory.find(MARK)
        while at >= 0:
            word = memory[at + len(MARK):at + len(MARK) + 8]
            if word.isdigit() and memory[at:at + PAYLOAD_BYTES] == payload(int(word)):
                places.setdefault(int(word), []).append(at)
            at = memory.find(MARK, at + 1)
    return places


def _find(nvdimm, content):
    with open(nvdimm, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        return memory.find(content) >= 0


def _told(client):
    return (f"{client.sent} datagrams sent, {len(client.sequence)} acknowledged, {len(client.waiting)} not answered, "
            f"{len(client.refused)} refused")
