# SPDX-License-Identifier: BSD-2-Clause
"""Kernels for the test machine: packages of the distribution, downloaded and unpacked below build/pmem, never
installed.

Two of them: the one that this distribution offers, and a newer one of a later suite of the same mirror, for what the
first cannot do. The machine's own list of sources is read and not changed: the later suite has lists of its own.
"""

import lzma
import os
import re
import shutil
import subprocess

META_PACKAGE = "linux-image-amd64"  # the "cloud" flavour has no NVDIMM drivers
NEWER_SUITES = ["trixie-backports", "testing"]  # which has the newest kernel first; the lists of the second are large
NEWER_LEAST = (7, 3)                # virtio-net has AF_XDP zero-copy, and asks for little else
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class CannotRun(Exception):
    """Something cannot be done on this host; nothing was found out about the project."""


class Kernel:
    """An unpacked kernel: `release` is its `uname -r`."""

    def __init__(self, tree, release):
        self.release = release
        self.modules = tree / "lib" / "modules" / release
        boot = tree / "boot" / f"vmlinuz-{release}"
        self.image = boot if boot.exists() else self.modules / "vmlinuz"

    @property
    def version(self):
        return tuple(int(number) for number in re.match(r"(\d+)\.(\d+)", self.release).groups())

    def module_files(self, names):
        """(name in the guest, content) of the named modules and all they need, each after what it needs. A module that
        the kernel does not have, or has built in, is left out: the lanes say what is missing."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
        by_name = {re.sub(r"\.ko.*$", "", os.path.basename(path)).replace("-", "_"): path for path in needs}
        order = []
        for name in names:
            if name in by_name:
                # modules.dep lists the nearest dependency first.
                for path in reversed([by_name[name]] + needs[by_name[name]]):
                    if path not in order:
                        order.append(path)
        return [(f"lib/modules/{re.sub('[.]xz$', '', path)}", self._read(path)) for path in order]

    def _read(self, path):
        content = (self.modules / path).read_bytes()
        return lzma.decompress(content) if path.endswith(".xz") else content


class Packages:
    """Packages as apt sees them: by the machine's own sources, or those of one suite with lists in `folder`."""

    def __init__(self, suite=None, folder=None):
        self.options = []
        if suite:
            (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
            source = folder / "sources.list"
            source.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
            for name, value in [("Dir::State::lists", folder / "lists"), ("Dir::Cache", folder),
                                ("Dir::Etc::SourceList", source), ("Dir::Etc::SourceParts", "/dev/null"),
                                ("Acquire::Languages", "none")]:
                self.options += ["-o", f"{name}={value}"]

    def update(self):
        command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=60", *self.options, "update"]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)

    def kernel(self):
        """(release, names of its packages): the image, and what it is split into in later suites."""
        found = [name for name in self._depends(META_PACKAGE) if name.startswith("linux-image-")]
        if not found:
            raise CannotRun(f"{META_PACKAGE} names no kernel package: is this Debian?")
        release = found[0].removeprefix("linux-image-")
        parts = [name for name in self._depends(found[0]) if name.endswith(f"-{release}")]
        return release, [found[0], *parts]

    def download(self, packages, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        output(["apt-get", "-q", *self.options, "download", *packages], "download the kernel", cwd=folder)
        return sorted(folder.glob("*.deb"))

    def _depends(self, package):
        answer = output(["apt-cache", *self.options, "depends", package], f"find {package}")
        return re.findall(r"Depends: (\S+)", answer)


def distribution(folder):
    """The kernel that the distribution offers."""
    packages = Packages()
    try:
        release, names = packages.kernel()
    except CannotRun:  # a fresh machine has no package lists
        packages.update()
        release, names = packages.kernel()
    return _unpacked(folder, release) or _fetch(packages, folder, release, names)


def newer(folder):
    """The newest kernel of the later suites. One that was unpacked by an earlier run will do."""
    for tree in folder.glob("*"):
        if kernel := _unpacked(folder, tree.name):
            return kernel
    reasons = []
    for suite in NEWER_SUITES:
        try:
            packages = Packages(suite, folder.parent / "apt" / suite)
            packages.update()
            release, names = packages.kernel()
            if Kernel(folder, release).version >= NEWER_LEAST:
                return _fetch(packages, folder, release, names)
            reasons.append(f"{suite} has {release}")
        except CannotRun as reason:
            reasons.append(f"{suite}: {reason}")
    least = ".".join(map(str, NEWER_LEAST))
    raise CannotRun(f"no kernel {least} or newer to be had from the distribution: {'; '.join(reasons)}")


def _unpacked(folder, release):
    kernel = Kernel(folder / release, release)
    return kernel if (kernel.modules / "modules.dep").exists() else None


def _fetch(packages, folder, release, names):
    shutil.rmtree(folder, ignore_errors=True)
    tree = folder / release
    tree.mkdir(parents=True)
    print(f"check-pmem: downloading Linux {release}", flush=True)
    debs = folder.parent / "deb"
    try:
        files = packages.download(names, debs)
    except CannotRun:  # the lists may name a package that has been superseded
        packages.update()
        files = packages.download(names, debs)
    for file in files:
        output(["dpkg-deb", "-x", str(file), str(tree)], "unpack the kernel")
    shutil.rmtree(debs)
    if not (tree / "lib").exists():
        (tree / "lib").symlink_to("usr/lib")
    output(["depmod", "-b", str(tree), release], "list the kernel's modules")
    return Kernel(tree, release)


def _mirror():
    """The mirror that the machine's own sources name, not one that we know."""
    answer = output(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"],
                    "find the distribution's mirror")
    found = re.search(r"(\S+) Debian$", answer, re.MULTILINE)
    if not found:
        raise CannotRun("the machine's sources name no mirror of Debian")
    return found.group(1)


def output(command, purpose, cwd=None):
    try:
        return subprocess.run(command, check=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL, timeout=900,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "LC_ALL": "C"}).stdout
    except (OSError, subprocess.SubprocessError) as error:
        told = (getattr(error, "stdout", None) or str(error)).strip().splitlines()
        raise CannotRun(f"cannot {purpose}: {command[0]}: {told[-1] if told else error}") from error
