# SPDX-License-Identifier: BSD-2-Clause
"""What the drivers of bench/ share: two namespaces, servers and clients pinned to cores, CPU time, bottlenecks.

      client, core 0               server, core 1
    ┌──────────────────┐         ┌──────────────────┐
    │ pst0 10.9.0.1/24 │═══veth══│ pst1 10.9.0.2/24 │
    └──────────────────┘         └──────────────────┘

The namespaces have no names and no way out, and vanish with this process. Without root, loopback serves. Servers and
scratch directories go with it, too, also when a signal ends it.
"""
import atexit
import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PST = ROOT / "build/src/cli/pst"
BASELINE = ROOT / "build/bench/baseline/baseline"
SHM, DISK = "/dev/shm", str(ROOT / "build")
CLIENT_CORE, SERVER_CORE = 0, 1
SATURATED = 0.95  # of a core
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


running, scratches = [], set()


def end_on_signals():
    """SIGTERM and SIGHUP end this process as SIGINT does: what is under way is left in order."""
    def end(number, _):
        sys.exit(128 + number)

    for number in signal.SIGTERM, signal.SIGHUP:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


@atexit.register
def leave_nothing():
    for server in list(running):
        server.stop()
    for directory in scratches:
        shutil.rmtree(directory, ignore_errors=True)


end_on_signals()


def say(text):
    print(text, file=sys.stderr, flush=True)


class Net:
    """Where servers live (`address`, `enter` to start a process there)."""

    def __init__(self):
        self.server_ns = None
        self.client_interface, self.server_interface = "pst0", "pst1"
        self.address, self.name = "127.0.0.1", "loopback"
        if os.geteuid() != 0 or not shutil.which("ip"):
            return
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"no namespaces here, loopback instead: {error}")

    def _make(self):
        def unshare():
            if libc.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        server = unshare()
        # A process in it gives `ip` a name for the namespace; it ends when this one does.
        self.keeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        unshare()
        self.server_ns = server
        self._ip("link add pst0 type veth peer name pst1")
        self._ip(f"link set pst1 netns {self.keeper.pid}")
        for name, address, there in ("pst0", "10.9.0.1/24", False), ("pst1", "10.9.0.2/24", True):
            self._ip("link set lo up", there)
            self._ip(f"addr add {address} dev {name}", there)
            self._ip(f"link set {name} up", there)
        # One that paces (BBR) would show its timers. Not every kernel lets a namespace have cubic.
        choose = "for name in cubic reno; do sysctl -qw net.ipv4.tcp_congestion_control=$name && exit; done 2>/dev/null"
        for enter in None, self.enter:
            subprocess.run(["sh", "-c", choose], preexec_fn=enter)
        self.address, self.name = "10.9.0.2", "veth, MTU 1500"

    def _ip(self, command, there=False):
        subprocess.run(["ip", *command.split()], check=True, preexec_fn=self.enter if there else None)

    def enter(self):
        if self.server_ns is not None and libc.setns(self.server_ns, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def cores():
    return len(os.sched_getaffinity(0))


def on_disk(directory):
    return directory is not None and os.stat(directory).st_dev != os.stat(SHM).st_dev


def pin(core, alone=True):
    """On its core, and before whatever else wants it: on a machine that is not quiet the figures would be about that.

    Not `alone` beside a disk, whose requests the kernel's own threads complete on that core too."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})
    if alone and os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        # Where the scheduler groups processes by session, the group's priority counts, not the process's.
        os.setsid()
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as f:
            f.write("-20")


def cpu_ns(pid):
    """(CPU time, time it was ready to run and did not) of all threads of the process, ns."""
    used = waited = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                fields = f.read().split()
            used += int(fields[0])
            waited += int(fields[1])
        except FileNotFoundError:
            pass
    return used, waited


class CpuWatch:
    """Samples a process's CPU time, so that it can be told for the time between two moments."""

    def __init__(self, pid, every=0.02):
        self.pid, self.every = pid, every
        self.samples, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while True:
                self.samples.append((time.monotonic(), *cpu_ns(self.pid)))
                if self.stop.wait(self.every):
                    return
        except (FileNotFoundError, ProcessLookupError):
            return

    def end(self):
        self.stop.set()
        self.thread.join()
        self.samples.append((time.monotonic(), *cpu_ns(self.pid)))

    def _at(self, moment, column):
        before = self.samples[0]
        for sample in self.samples:
            if sample[0] >= moment:
                share = (moment - before[0]) / (sample[0] - before[0]) if sample[0] > before[0] else 0
                return before[column] + (sample[column] - before[column]) * share
            before = sample
        return before[column]

    def between(self, began, ended):
        """Seconds of CPU time, and of waiting for a core that somebody else had."""
        return tuple((self._at(ended, column) - self._at(began, column)) / 1e9 for column in (1, 2))


class Server:
    """A server on its core. `ready`: text of the line of stdout that says it serves, or a port to connect to."""

    def __init__(self, net, command, ready="ready", directory=None):
        def start():
            net.enter()
            pin(SERVER_CORE, alone=not on_disk(directory))

        self.directory = directory
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=self.log,
                                        preexec_fn=start)
        running.append(self)
        try:
            self.line = self._wait_line(ready) if isinstance(ready, str) else self._wait_port(net, ready)
        except RuntimeError:
            self.stop()
            raise

    def _fail(self, what):
        self.log.seek(0)
        raise RuntimeError(f"{' '.join(map(str, self.process.args))}: {what}: "
                           f"{self.log.read()[-400:].decode(errors='replace')}")

    def _wait_line(self, ready, seconds=60):
        end = time.monotonic() + seconds
        text = b""
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                got = os.read(self.process.stdout.fileno(), 4096)
                text += got
                if not got:
                    self._fail("ended")
                if ready.encode() in text:
                    return text.decode()
        self._fail("is not ready")

    def _wait_port(self, net, port, seconds=30):
        import socket
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                self._fail("ended")
            try:
                socket.create_connection((net.address, port), 0.2).close()
                return ""
            except OSError:
                time.sleep(0.05)
        self._fail("does not listen")

    def watch(self):
        return CpuWatch(self.process.pid)

    def stop(self):
        if self in running:
            running.remove(self)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def client(command, timeout=120):
    """Run a client on its core; what it printed."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, preexec_fn=lambda: pin(CLIENT_CORE))
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}: "
                           f"{(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def pst_bench(server, url, *options):
    """`pst bench`, spinning: its JSON, and the server's CPU time while it measured."""
    watch = server.watch()
    out = json.loads(client([PST, "bench", url, "--spin", "--json", *options]))
    watch.end()
    out["server_cpu"], out["server_waited"] = watch.between(out["began"], out["began"] + out["seconds"])
    return out


def bottleneck(server_busy, client_busy, connections):
    """Who limits the throughput. With few requests under way nobody's core is full: their way there and back does."""
    if client_busy >= SATURATED:
        return "client"
    if server_busy >= SATURATED and connections > 1:
        return "server"
    return "latency"


def scratch(directory):
    path = tempfile.mkdtemp(prefix="paste-bench.", dir=directory)
    scratches.add(path)
    return path


def free_bytes(directory):
    """Of the file system, and of memory where that is what the file system is made of."""
    free = shutil.disk_usage(directory).free
    with open("/proc/meminfo") as f:
        available = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    return min(free, available)


def middle(values):
    return statistics.median(values)


def at_most(what, value, limit):
    return {"what": what, "value": round(value, 3), "at_most": limit}


def at_least(what, value, limit):
    return {"what": what, "value": round(value, 3), "at_least": limit}
