# SPDX-License-Identifier: BSD-2-Clause
"""The lanes: what is done in the machines and what it proves. Each is a function of (lane, kit), see LANES."""

import crash
import packets
import units
from crash import DeviceDax, FileDax
from machine import Machine
from region import created, info

NVDIMM_MIB = 128


def platform(lane, kit):
    """What the kernel says about the memory decides what a region may promise: eADR, no DAX, no MAP_SYNC."""
    nvdimms = [kit.sparse_file(f"platform.nvdimm{number}", NVDIMM_MIB) for number in range(2)]
    virtual = kit.sparse_file("platform.virtio-pmem", NVDIMM_MIB)
    with Machine(kit, "platform", nvdimms, virtio_pmem=virtual, caches_persist=True) as machine:
        lane.succeeds(machine, "ndctl create-namespace -f -e namespace0.0 -m devdax",
                      "a device-DAX namespace on a platform with eADR", 120)
        created(lane, machine, "/dev/dax0.0", "64M")
        told = info(lane, machine, "/dev/dax0.0")
        lane.promise(told["instruction"].startswith("none (eADR"), "no cache line is written back there", str(told))

        lane.succeeds(machine, "ndctl create-namespace -f -e namespace1.0 -m fsdax && "
                      "mkfs.ext4 -q -b 4096 /dev/pmem1 && mount -t ext4 -o dax=never /dev/pmem1 /mnt",
                      "an NVDIMM with ext4, mounted without DAX", 120)
        _no_pmem(lane, machine, "/mnt/region", "ext4 without DAX")
        machine.run("umount /mnt")
        lane.succeeds(machine, "mkfs.ext4 -q -b 4096 /dev/pmem2 && mount -t ext4 -o dax=always /dev/pmem2 /mnt",
                      "a virtio-pmem device with ext4, mounted with DAX", 120)
        _no_pmem(lane, machine, "/mnt/region", "virtio-pmem (DAX, but the kernel refuses MAP_SYNC)")


def _no_pmem(lane, machine, path, where):
    lane.refused(machine, f"pst create {path} --size 64M --medium pmem", f"pst create --medium pmem on {where}")
    lane.succeeds(machine, f"test -z \"$(find {path}* 2>/dev/null)\"", "and nothing is left behind")
    created(lane, machine, path, "64M")
    told = info(lane, machine, path)
    lane.promise(told["medium"] == "file", f"without --medium it is a file: {told['instruction']}", str(told))


LANES = {  # name: (title, function)
    "device-dax": ("region on a device-DAX character device", lambda lane, kit: crash.run(lane, kit, DeviceDax)),
    "fs-dax": ("region in a file of ext4 mounted with -o dax=always", lambda lane, kit: crash.run(lane, kit, FileDax)),
    "platform": ("what is no ADR memory is not taken for it", platform),
    "xdp-copy": ("packets received into device DAX, copied by the kernel",
                 lambda lane, kit: packets.run(lane, kit, kit.kernel, "copy")),
    "xdp-zero-copy": ("packets received into device DAX by the device's own DMA",
                      lambda lane, kit: packets.run(lane, kit, kit.newer_kernel(), "zero-copy")),
    "unit": ("unit tests on the distribution's kernel", units.run),
}
