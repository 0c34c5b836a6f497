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

from wire import GUEST_MAC, Wire

PR_SET_PDEATHSIG = 1
MEMORY_MIB = 1536


class MachineError(Exception):
    """The machine died, hung or answered nonsense: not what a lane is there to find out."""


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    BOOT_SECONDS = 180

    def __init__(self, kit, name, nvdimms=(), *, kernel=None, virtio_pmem=None, disk=None, network=False,
                 caches_persist=False):
        """Boot `kernel`, or the distribution's. `nvdimms`: backing files, in the order of the guest's regions.
        `virtio_pmem`: backing file of a virtio-pmem device, which looks like persistent memory and is none. `disk`:
        backing file of /dev/vda. `network`: the guest has eth0, and `wire` is the other end of its cable.
        `caches_persist`: the platform tells the guest that a power cut spares the CPU's caches (eADR), else only
        what reached the controller (ADR)."""
        self.name = name
        self.console = kit.run_dir / f"{name}.console"
        self._socket, guest = socket.socketpair()
        arguments = self._arguments(kit, kernel or kit.kernel, guest.fileno())
        arguments += self._memory(nvdimms, virtio_pmem, caches_persist)
        if disk:
            arguments += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
        passed = [guest]
        self.wire = None
        if network:
            near, far = socket.socketpair()
            self.wire = Wire(near)
            passed.append(far)
            arguments += self._network(far.fileno())
        with open(kit.run_dir / f"{name}.qemu", "wb") as messages:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                                             pass_fds=[end.fileno() for end in passed],
                                             preexec_fn=_die_with_parent)
        for end in passed:
            end.close()
        self._received = b""
        started = time.monotonic()
        self._answer(self.BOOT_SECONDS, "boot")
        self.boot_seconds = time.monotonic() - started

    def _arguments(self, kit, kernel, control_fd):
        return [
            "qemu-system-x86_64", "-cpu", "max,la57=off", "-smp", "2", "-m", f"{MEMORY_MIB}M,slots=8,maxmem=8G",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(kernel.image), "-initrd", str(kit.initramfs(kernel)),
            "-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off audit=0 net.ifnames=0",
            "-serial", f"file:{self.console}",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=control,fd={control_fd}",
            "-device", "virtserialport,chardev=control,name=paste.control",
            "-virtfs", f"local,path={kit.share_dir},mount_tag=host,security_model=none",
        ]

    @staticmethod
    def _memory(nvdimms, virtio_pmem, caches_persist):
        domain = "cpu" if caches_persist else "mem-ctrl"
        arguments = ["-machine", f"q35,accel=tcg,nvdimm=on,nvdimm-persistence={domain}"]
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
        return arguments

    @staticmethod
    def _network(fd):
        # iommu_platform: the driver maps what the device may reach, as for a real one; without, no zero-copy.
        return [
            "-netdev", f"socket,id=cable,fd={fd}",
            "-device", f"virtio-net-pci,netdev=cable,mac={GUEST_MAC},disable-legacy=on,iommu_platform=on",
        ]

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
        """SIGKILL for the emulator: the machine loses power now. What it sent before is still on the wire. Safe to
        call again."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.kill()
        if self.wire:
            self.wire.close()

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
