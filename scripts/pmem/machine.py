# SPDX-License-Identifier: BSD-2-Clause
"""A virtual machine with emulated NVDIMMs that can be made to die.

The NVDIMM is a file of the host mapped shared into the machine, so every store of the guest is in the host's
page cache at once and stays there when the emulator is killed: the machine has the persistence of eADR. The
guest's page cache, its unwritten file-system metadata and its processes are gone, as after a power failure.

One Machine is one boot. Commands go over a virtio-serial port (see `init`); everything has a deadline; whatever
ends a Machine also ends its emulator, by its own process id, also when this program is killed.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1


class MachineError(Exception):
    """The machine died, hung or answered nonsense: not what a lane is there to find out."""


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    BOOT_SECONDS = 180

    def __init__(self, kit, name, nvdimms=(), virtio_pmem=None, disk=None, caches_persist=False):
        """Boot. `nvdimms`: backing files, in the order of the guest's regions. `virtio_pmem`: backing file of a
        virtio-pmem device, which looks like persistent memory and is none. `disk`: backing file of /dev/vda.
        `caches_persist`: the platform tells the guest that a power cut spares the CPU's caches (eADR), else only
        what reached the controller (ADR)."""
        self.name = name
        self.console = kit.run_dir / f"{name}.console"
        host, guest = socket.socketpair()
        domain = "cpu" if caches_persist else "mem-ctrl"
        arguments = self._arguments(kit, guest.fileno(), domain, nvdimms, virtio_pmem, disk)
        with open(kit.run_dir / f"{name}.qemu", "wb") as messages:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                                             pass_fds=[guest.fileno()], preexec_fn=_die_with_parent)
        guest.close()
        self._socket = host
        self._received = b""
        started = time.monotonic()
        self._answer(self.BOOT_SECONDS, "boot")
        self.boot_seconds = time.monotonic() - started

    def _arguments(self, kit, control_fd, domain, nvdimms, virtio_pmem, disk):
        memory_mib = 1536
        arguments = [
            "qemu-system-x86_64", "-machine", f"q35,accel=tcg,nvdimm=on,nvdimm-persistence={domain}",
            "-cpu", "max,la57=off", "-smp", "2", "-m", f"{memory_mib}M,slots=8,maxmem=8G",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(kit.kernel), "-initrd", str(kit.initramfs),
            "-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off audit=0",
            "-serial", f"file:{self.console}",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=control,fd={control_fd}",
            "-device", "virtserialport,chardev=control,name=paste.control",
            "-virtfs", f"local,path={kit.share_dir},mount_tag=host,security_model=none",
        ]
        for number, path in enumerate(nvdimms):
            size = os.path.getsize(path)
            arguments += [
                "-object", f"memory-backend-file,id=mem{number},mem-path={path},share=on,size={size}",
                "-device", f"nvdimm,id=nvdimm{number},memdev=mem{number}",
            ]
        if virtio_pmem:
            size = os.path.getsize(virtio_pmem)
            arguments += [
                "-object", f"memory-backend-file,id=vmem,mem-path={virtio_pmem},share=on,size={size}",
                "-device", "virtio-pmem-pci,memdev=vmem,id=vpmem",
            ]
        if disk:
            arguments += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
        return arguments

    def run(self, command, timeout=60):
        """Run one line of shell in the guest: (exit status, what it printed). A command that is not done after
        `timeout` seconds takes the machine down with it."""
        assert "\n" not in command
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise MachineError(f"{self.name}: the machine is gone: {error}") from error
        return self._answer(timeout, command)

    def kill(self):
        """SIGKILL for the emulator: the machine loses power now. Safe to call again."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.kill()

    def _answer(self, timeout, what):
        deadline = time.monotonic() + timeout
        try:
            while b"\n" not in self._received:
                self._receive(deadline)
            head, self._received = self._received.split(b"\n", 1)
            status, length = (int(word) for word in head.split())
            while len(self._received) < length:
                self._receive(deadline)
        except (MachineError, ValueError) as error:
            self.kill()
            raise MachineError(f"{self.name}: {error} ({what}); console: {self.console}") from error
        text, self._received = self._received[:length], self._received[length:]
        return status, text.decode(errors="replace")

    def _receive(self, deadline):
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            piece = self._socket.recv(65536)
        except TimeoutError as error:
            raise MachineError("no answer in time") from error
        except OSError as error:
            raise MachineError(f"the machine died: {error}") from error
        if not piece:
            raise MachineError("the machine died")
        self._received += piece
