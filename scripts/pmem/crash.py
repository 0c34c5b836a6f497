# SPDX-License-Identifier: BSD-2-Clause
"""A region on an NVDIMM, served, loaded, its machine killed; booted, verified, loaded and killed again; booted,
verified, closed and checked."""

from machine import Machine
from region import URL, created, info, load_and_kill, not_verified, serve, sound, stop, verified

NVDIMM_MIB = 256
REGION_SIZE = "160M"
TRACE_BYTES = 20_000  # how much the load must have written down before the machine is killed
LOAD_SECONDS = 5
DEATHS = 2


class DeviceDax:
    """A region that is a character device: the whole namespace, no file system."""

    name = "device-dax"
    path = "/dev/dax0.0"
    backing = "device DAX"
    control_path = "/dev/dax1.0"  # where a second NVDIMM, a copy taken before the load, shows up

    @staticmethod
    def prepare(lane, machine):
        lane.succeeds(machine, "ndctl create-namespace -f -e namespace0.0 -m devdax",
                      "ndctl turns the NVDIMM into a device-DAX namespace", 120)
        lane.refused(machine, f"pst create {DeviceDax.path} --size 1G", "a region larger than the device is refused")

    @staticmethod
    def attach(lane, machine):
        lane.succeeds(machine, "ndctl list -n namespace0.0 | grep -q devdax && test -c /dev/dax0.0",
                      "after the boot the namespace is device DAX as before")


class FileDax:
    """A region that is a file of an ext4 mounted with DAX, so that MAP_SYNC works."""

    name = "fs-dax"
    path = "/mnt/region"
    backing = "DAX file"
    control_path = None

    @staticmethod
    def prepare(lane, machine):
        lane.succeeds(machine, "ndctl create-namespace -f -e namespace0.0 -m fsdax",
                      "ndctl turns the NVDIMM into an fsdax namespace", 120)
        lane.succeeds(machine, "mkfs.ext4 -q -b 4096 /dev/pmem0", "mkfs.ext4 on it", 120)
        FileDax._mount(lane, machine)
        lane.refused(machine, f"pst create {FileDax.path} --size 1G",
                     "a region larger than the file system is refused")
        lane.succeeds(machine, "test \"$(ls /mnt)\" = lost+found", "and nothing is left behind")

    @staticmethod
    def attach(lane, machine):
        FileDax._mount(lane, machine)
        # Nobody called sync: that the file has its name, size and blocks is the work of pst create.
        lane.succeeds(machine, f"test -f {FileDax.path}", "the region's file has its name after the crash")

    @staticmethod
    def _mount(lane, machine):
        lane.succeeds(machine, "mount -t ext4 -o dax=always /dev/pmem0 /mnt", "ext4 mounts with DAX")


def run(lane, kit, medium):
    nvdimm = kit.sparse_file(f"{medium.name}.nvdimm", NVDIMM_MIB)
    control = kit.run_dir / f"{medium.name}.before-load" if medium.control_path else None
    trace = kit.share_dir / f"{medium.name}.trace"
    witness = kit.share_dir / "witness"
    witness.write_bytes(bytes(range(256)) * 37)

    with Machine(kit, f"{medium.name}-1", [nvdimm]) as machine:
        medium.prepare(lane, machine)
        _create(lane, machine, medium)
        if control:
            _copy_sparse(nvdimm, control)
        serve(lane, machine, medium.path)
        lane.refused(machine, f"pst serve {medium.path} --http 127.0.0.1:8081", "a second writer is refused",
                     r"process \d+ on")
        lane.succeeds(machine, f"pst check {medium.path}", "pst check finds the running service, which answers for it")
        lane.succeeds(machine, _witness_writes(), "curl writes, replaces and deletes keys, appends to a stream")
        load_and_kill(lane, machine, trace, TRACE_BYTES, LOAD_SECONDS)

    for death in range(1, DEATHS + 1):
        last = death == DEATHS
        nvdimms = [nvdimm, control] if last and control else [nvdimm]
        with Machine(kit, f"{medium.name}-{death + 1}", nvdimms) as machine:
            _recover(lane, machine, medium, trace, death)
            if last:
                _close(lane, machine, medium)
                if control:
                    serve(lane, machine, medium.control_path)
                    not_verified(lane, machine, trace)
            else:
                load_and_kill(lane, machine, trace, TRACE_BYTES, LOAD_SECONDS)


def _create(lane, machine, medium):
    created(lane, machine, medium.path, REGION_SIZE)
    told = info(lane, machine, medium.path)
    lane.promise((told["medium"], told["backing"], told["survives"]) == ("pmem", medium.backing, "power loss"),
                 f"its medium is pmem ({medium.backing}), it survives power loss", str(told))
    # The emulated CPU offers clwb, and the platform says that its caches do not survive.
    lane.promise(told["instruction"] == "clwb", "lines are written back by clwb", str(told))
    lane.refused(machine, f"pst create {medium.path} --size {REGION_SIZE}", "it is not overwritten without --force")


def _recover(lane, machine, medium, trace, death):
    medium.attach(lane, machine)
    told = info(lane, machine, medium.path)
    lane.promise(told["clean"] is False and told["medium"] == "pmem", "it is known to have crashed", str(told))
    sound(lane, machine, medium.path, f"after death {death}, before recovery")
    seconds = serve(lane, machine, medium.path)
    lane.note(f"ready {seconds:.1f} s after the start of pst serve, on an emulated processor")
    verified(lane, machine, trace)
    lane.succeeds(machine, _witness_reads(death), "curl finds its keys and stream as they were; the stream goes on")


def _close(lane, machine, medium):
    stop(lane, machine)
    sound(lane, machine, medium.path, "after the close")
    told = info(lane, machine, medium.path)
    lane.promise(told["clean"] is True, "it is known to have been closed", str(told))


def _witness_writes():
    """Writes by a client that is none of ours, each of which must have its promised status."""
    def request(method, path, status, *rest):
        return (f'[ "$(curl -sS -o /run/reply -w %{{http_code}} -X {method} {" ".join(rest)} {URL}{path})" = {status} ]'
                f" || {{ echo {method} {path}: not {status}; cat /run/reply; exit 1; }}")

    body = "--data-binary @/host/witness"
    return "; ".join([
        request("PUT", "/kv/witness", 201, "--data-binary old"),
        request("PUT", "/kv/witness", 204, body),
        request("PUT", "/kv/gone", 201, body),
        request("DELETE", "/kv/gone", 204),
        request("POST", "/log/witness", 201, "--data-binary first"),
        request("POST", "/log/witness", 201, body),
    ])


def _witness_reads(death):
    """What the same client must find after a death; it appends one entry more each time."""
    def same(path, expected):
        return (f"curl -sS --fail -o /run/reply {URL}{path} || exit 1; "
                f"cmp /run/reply {expected} || {{ echo {path} differs; exit 1; }}")

    sequence = 2 + death
    return "; ".join([
        "printf first >/run/first",
        same("/kv/witness", "/host/witness"),
        f'[ "$(curl -sS -o /run/reply -w %{{http_code}} {URL}/kv/gone)" = 404 ] || {{ echo gone is back; exit 1; }}',
        same("/log/witness/1", "/run/first"),
        *(same(f"/log/witness/{number}", "/host/witness") for number in range(2, sequence)),
        f"curl -sS --fail -X POST --data-binary @/host/witness -o /run/reply {URL}/log/witness || exit 1",
        f"""grep -q '"seq": *{sequence}[^0-9]' /run/reply || {{ cat /run/reply; exit 1; }}""",
    ])


def _copy_sparse(source, target):
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while piece := reader.read(1 << 20):
            if piece.count(0) == len(piece):
                writer.seek(len(piece), 1)
            else:
                writer.write(piece)
        writer.truncate()
