# SPDX-License-Identifier: BSD-2-Clause
"""What a test machine is made of: a distribution kernel, unpacked and not installed, and an initramfs with
busybox, the NVDIMM tools, `pst` and the unit tests.

Everything lies under one folder (build/pmem): `kernel/` is kept between runs, `run/` is made anew. Images go when
every promise held, logs stay.
"""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

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
    "virtio_pci", "virtio_console", "virtio_blk", "veth", "9pnet_virtio", "9p", "crc32c_intel", "ext4",
    "nfit", "nd_pmem", "dax_pmem", "device_dax", "virtio_pmem",
]
META_PACKAGE = "linux-image-amd64"  # the "cloud" flavour has no NVDIMM drivers


class CannotRun(Exception):
    """This host cannot run the test at all; nothing was found out about the project."""


class Kit:
    def __init__(self, source, build, work):
        self.source, self.build, self.work = source, build, work
        self.run_dir = work / "run"
        self.share_dir = self.run_dir / "share"
        self.initramfs = self.run_dir / "initramfs"
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.share_dir.mkdir(parents=True)

    def prepare(self):
        install_commands()
        self._fetch_kernel()
        self.unit_tests, self.test_files = self._find_unit_tests()
        self._make_initramfs()

    def _fetch_kernel(self):
        """Find the kernel that the distribution offers and unpack it, unless that has been done."""
        try:
            package = self._kernel_package()
        except CannotRun:  # a fresh machine has no package lists
            update_package_lists()
            package = self._kernel_package()
        self.release = package.removeprefix("linux-image-")
        tree = self.work / "kernel" / self.release
        self.kernel = tree / "boot" / f"vmlinuz-{self.release}"
        self.modules = tree / "lib" / "modules" / self.release
        if (self.modules / "modules.dep").exists():
            return
        shutil.rmtree(self.work / "kernel", ignore_errors=True)
        tree.mkdir(parents=True)
        print(f"check-pmem: downloading {package}", flush=True)
        output(["dpkg-deb", "-x", self._download(package), str(tree)], "unpack the kernel")
        shutil.rmtree(self.work / "deb")
        output(["depmod", "-b", str(tree), self.release], "list the kernel's modules")

    @staticmethod
    def _kernel_package():
        answer = output(["apt-cache", "depends", META_PACKAGE], "find the distribution's kernel")
        found = re.search(r"Depends: (linux-image-\S+)", answer)
        if not found:
            raise CannotRun(f"{META_PACKAGE} names no kernel package: is this Debian?")
        return found.group(1)

    def _download(self, package):
        debs = self.work / "deb"
        shutil.rmtree(debs, ignore_errors=True)
        debs.mkdir()
        fetch = ["apt-get", "-q", "download", package]
        try:
            output(fetch, "download the kernel", cwd=debs)
        except CannotRun:  # the lists may name a package that has been superseded
            update_package_lists()
            output(fetch, "download the kernel", cwd=debs)
        return str(next(debs.glob(f"{package}_*.deb")))

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

    def _make_initramfs(self):
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
        load = self._module_order()
        for path in load:
            archive.file(str(path.relative_to(self.modules.parents[2])), path)
        listing = "".join(f"/{path.relative_to(self.modules.parents[2])}\n" for path in load)
        archive.file("modules.load", content=listing.encode())
        archive.write(self.initramfs)

    def _module_order(self):
        """Paths of MODULES and all they need, each after what it needs. A module that the kernel does not have,
        or has built in, is left out: the lanes say what is missing."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
        by_name = {re.sub(r"\.ko.*$", "", os.path.basename(path)).replace("-", "_"): path for path in needs}
        order = []
        for name in MODULES:
            if name in by_name:
                # modules.dep lists the nearest dependency first.
                for path in reversed([by_name[name]] + needs[by_name[name]]):
                    if path not in order:
                        order.append(path)
        return [self.modules / path for path in order]

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


def install_commands():
    missing = sorted({package for command, package in COMMANDS.items() if not shutil.which(command)})
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotRun(f"not installed, and this is not root on a Debian: {' '.join(missing)}")
    print(f"check-pmem: installing {' '.join(missing)}", flush=True)
    update_package_lists()
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    output(["apt-get", "-q", "install", "-y", "--no-install-recommends"] + missing, "install " + " ".join(missing),
           env=environment)


def update_package_lists():
    output(["apt-get", "-q", "update"], "refresh the package lists")


def output(command, purpose, **options):
    """Run a tool of the host. One that fails means that this host cannot run the test."""
    try:
        return subprocess.run(command, check=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options).stdout
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "output", None) or str(error)).strip()
        raise CannotRun(f"could not {purpose}: {detail}") from error


class Archive:
    """A cpio archive of the "newc" kind, which the kernel unpacks as its first file system. Written by hand
    because it needs a device node, and a name in the guest that is not the one on the host."""

    def __init__(self):
        self._entries = {}

    def file(self, name, path=None, content=None, executable=False):
        if content is None:
            executable = executable or os.access(path, os.X_OK)
            content = pathlib.Path(path).read_bytes()
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def symlink(self, name, target):
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def directory(self, name):
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def device(self, name, major, minor):
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def program(self, name, path):
        """A file and, if it is linked dynamically, the libraries it is linked to."""
        self.file(name, path)
        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return
        found = subprocess.run(["ldd", str(path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               timeout=60).stdout
        for library in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", found, re.MULTILINE):
            self.file(library.lstrip("/"), library)

    def write(self, path):
        with open(path, "wb") as out:
            for number, name in enumerate(sorted(self._entries), 1):
                self._write_entry(out, number, name, *self._entries[name])
            self._write_entry(out, 0, "TRAILER!!!", 0, b"", (0, 0))

    def _add(self, name, mode, content, device=(0, 0)):
        # /bin and the like are links into /usr, as in the distribution.
        if re.match(r"(bin|sbin|lib|lib64)/", name):
            name = "usr/" + name
        for folder in reversed(pathlib.PurePosixPath(name).parents[:-1] if "/" in name else []):
            self._entries.setdefault(str(folder), (stat.S_IFDIR | 0o755, b"", (0, 0)))
        self._entries[name] = (mode, content, device)

    @staticmethod
    def _write_entry(out, number, name, mode, content, device):
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out.write(head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4))
