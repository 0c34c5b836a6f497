# SPDX-License-Identifier: BSD-2-Clause
"""What a test machine is made of: a kernel of the distribution, unpacked and not installed, and an initramfs with
busybox, the NVDIMM tools, `pst` and the unit tests.

Everything lies under one folder (build/pmem): `kernel/` is kept between runs, `run/` is made anew. Images go when
every promise held, logs stay.
"""

import json
import os
import shutil

import kernel
from archive import Archive
from kernel import CannotRun, output

COMMANDS = {  # what must be on the host: command -> package
    "qemu-system-x86_64": "qemu-system-x86",
    "ndctl": "ndctl",
    "mkfs.ext4": "e2fsprogs",
    "depmod": "kmod",
    "busybox": "busybox-static",
    "curl": "curl",
    "ip": "iproute2",
}
GUEST_COMMANDS = ["ndctl", "mkfs.ext4", "curl", "ip"]
MODULES = [  # loaded by the guest in this order, what they depend on before them
    "virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "veth", "9pnet_virtio", "9p", "crc32c_intel", "ext4",
    "nfit", "nd_pmem", "dax_pmem", "device_dax", "virtio_pmem",
]


class Kit:
    def __init__(self, source, build, work):
        self.source, self.build, self.work = source, build, work
        self.run_dir = work / "run"
        self.share_dir = self.run_dir / "share"
        self._programs = self.run_dir / "programs"
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.share_dir.mkdir(parents=True)

    def prepare(self):
        check_commands()
        self.kernel = kernel.distribution(self.work / "kernel" / "distribution")
        self.unit_tests, self.test_files = self._find_unit_tests()
        self._make_programs()

    def newer_kernel(self):
        """A kernel of a later suite. CannotRun: there is none to be had."""
        return kernel.newer(self.work / "kernel" / "newer")

    def _find_unit_tests(self):
        """(name, guest command, seconds) of each test of the suite `unit`, and the files these commands name."""
        listed = json.loads(output(["meson", "introspect", "--tests", str(self.build)], "list the unit tests"))
        tests, files = [], set()
        for test in listed:
            if not any(suite.split(":")[-1] == "unit" for suite in test["suite"]):
                continue
            environment = [f"{name}={value}" for name, value in test["env"].items()]
            files.update(word for word in test["cmd"] if os.path.isfile(word))
            command = [guest_path(word) if os.path.isfile(word) else word for word in test["cmd"]]
            tests.append((test["name"], environment + command, test["timeout"]))
        return sorted(tests), files

    def _make_programs(self):
        """The part of the initramfs that all kernels share."""
        archive = Archive()
        for folder in "bin sbin lib lib64".split():
            archive.directory(f"usr/{folder}")
            archive.symlink(folder, f"usr/{folder}")
        for folder in "dev host mnt proc root run sys tmp".split():
            archive.directory(folder)
        archive.device("dev/console", 5, 1)
        archive.file("bin/busybox", shutil.which("busybox"))
        # Not busybox for what tests run by `sh -c`: it would prefer its own `ip` and the like to the real ones.
        archive.program("bin/sh", os.path.realpath("/bin/sh"))
        archive.file("init", self.source / "scripts" / "pmem" / "init", executable=True)
        archive.file("etc/hosts", content=b"127.0.0.1 localhost\n")
        archive.file("etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\n")
        archive.file("etc/group", content=b"root:x:0:\n")
        archive.symlink("etc/mtab", "/proc/mounts")
        for name in GUEST_COMMANDS:
            archive.program(f"usr/local/bin/{name}", shutil.which(name))
        archive.program("usr/local/bin/pst", self.build / "src" / "cli" / "pst")
        for path in self.test_files:
            archive.program(guest_path(path).lstrip("/"), path)
        archive.write(self._programs)

    def initramfs(self, kernel):
        """The first file system of a machine with this kernel: the programs, and its modules behind them."""
        path = self.run_dir / f"initramfs-{kernel.release}"
        if not path.exists():
            modules = Archive()
            files = kernel.module_files(MODULES)
            for name, content in files:
                modules.file(name, content=content)
            modules.file("modules.load", content="".join(f"/{name}\n" for name, _ in files).encode())
            shutil.copyfile(self._programs, path)
            modules.write(path, append=True)
        return path

    def drop_images(self):
        """Remove what is large. The logs stay."""
        for path in self.run_dir.iterdir():
            if path.is_file() and path.stat().st_size >= 1 << 20:
                path.unlink()

    def sparse_file(self, name, mib):
        """An empty backing file of `mib` MiB."""
        path = self.run_dir / name
        with open(path, "wb") as file:
            file.truncate(mib << 20)
        return path


def guest_path(path):
    """Where a file of the build folder is in the guest: not at its own path, which may be below a mount."""
    return f"/build/{os.path.abspath(path).lstrip('/')}"


def check_commands():
    missing = sorted({package for command, package in COMMANDS.items() if not shutil.which(command)})
    if missing:
        raise CannotRun(f"not installed (scripts/deps pmem): {' '.join(missing)}")
