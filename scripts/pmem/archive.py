# SPDX-License-Identifier: BSD-2-Clause
"""The archive that a kernel unpacks as its first file system."""

import os
import pathlib
import re
import stat
import subprocess


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

    def write(self, path, append=False):
        """Several archives in one file are unpacked one after another."""
        with open(path, "ab" if append else "wb") as out:
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
