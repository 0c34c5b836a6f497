# SPDX-License-Identifier: BSD-2-Clause
"""test_bench.py PST BASELINE: the classical server keeps what it acknowledges, and the drivers' arithmetic is right.

A baseline that answered without storing would look fast and be compared with in vain.
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kit  # noqa: E402

PST, BASELINE = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))


class Here(kit.Net):
    """Loopback, whoever runs the test."""

    def __init__(self):
        self.server_ns, self.address, self.name = None, "127.0.0.1", "loopback"


def bench(*args):
    done = subprocess.run([PST, "bench", *map(str, args)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


ENDING = signal.SIGTERM, signal.SIGHUP, signal.SIGINT


def heed_signals():
    """Who runs in the background, or under nohup, ignores some, and so would what it starts."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


class Ended(unittest.TestCase):
    def test_a_driver_ended_by_a_signal_leaves_nothing(self):
        for number in ENDING:
            script = ("import kit, sys, time, types\n"
                      "directory = kit.scratch(kit.SHM)\n"
                      "net = types.SimpleNamespace(server_ns=None, address='127.0.0.1', enter=lambda: None)\n"
                      "server = kit.Server(net, ['sh', '-c', 'echo ready; exec sleep 60'])\n"
                      "print(directory, server.process.pid, flush=True)\n"
                      "time.sleep(60)\n")
            with subprocess.Popen([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, cwd=os.path.dirname(kit.__file__),
                                  preexec_fn=heed_signals) as driver:
                directory, pid = driver.stdout.readline().split()
                self.assertTrue(os.path.isdir(directory))
                driver.send_signal(number)
                self.assertNotEqual(driver.wait(20), 0)
            self.assertFalse(os.path.exists(directory), number)
            self.assertFalse(os.path.exists(f"/proc/{pid}"), number)


class Baseline(unittest.TestCase):
    def serve(self, directory, *options):
        path = os.path.join(tempfile.mkdtemp(prefix="paste-test.", dir=directory), "log")
        server = kit.Server(Here(), [BASELINE, path, "--http", "127.0.0.1:0", *options],
                            directory=os.path.dirname(path))
        self.addCleanup(server.stop)
        return server, "http://" + server.line.split("http=")[1].strip()

    def test_what_it_acknowledges_can_be_read_back(self):
        for directory in kit.SHM, os.getcwd():
            for flush in "round", "request", "never":
                with self.subTest(directory=directory, flush=flush), tempfile.TemporaryDirectory() as scratch:
                    _, url = self.serve(directory, "--size", 64 << 20, "--flush", flush)
                    trace = os.path.join(scratch, "trace")
                    status, text = bench(url, "-c", 8, "-n", 400, "--mix", "3:3:3:1", "--size", "1-70000",
                                         "--keys", 50, "--verify", trace)
                    self.assertEqual(status, 0, text)
                    status, text = bench(url, "--check", trace)
                    self.assertEqual(status, 0, text)

    def test_a_full_log_is_an_answer(self):
        _, url = self.serve(kit.SHM, "--size", 4 << 20)
        status, text = bench(url, "-c", 4, "-n", 2000, "--mix", "0:0:1", "--size", 4096, "--json")
        self.assertIn('"507"', text)
        self.assertEqual(status, 0, text)

    def test_keeping_nothing_answers_appends(self):
        _, url = self.serve(kit.SHM, "--size", 4 << 20, "--keep", "nothing")
        status, text = bench(url, "-c", 4, "-n", 2000, "--mix", "0:0:1", "--size", 16384)
        self.assertEqual(status, 0, text)


class Arithmetic(unittest.TestCase):
    def test_cpu_time_is_told_for_the_time_between(self):
        watch = kit.CpuWatch(os.getpid(), every=0.005)
        began = time.monotonic()
        threading.Event().wait(0.2)  # asleep
        middle = time.monotonic()
        used = time.thread_time()
        while time.thread_time() - used < 0.2:
            pass
        ended = time.monotonic()
        watch.end()
        asleep, _ = watch.between(began, middle)
        awake, waited = watch.between(middle, ended)
        self.assertLess(asleep, 0.08)
        self.assertAlmostEqual(awake, 0.2, delta=0.06)
        self.assertGreaterEqual(waited, 0)

    def test_who_limits(self):
        for server, client, connections, who in ((0.99, 0.5, 100, "server"), (0.99, 0.99, 100, "client"),
                                                 (0.5, 0.99, 100, "client"), (0.6, 0.6, 100, "latency"),
                                                 (1.0, 0.3, 1, "latency")):
            self.assertEqual(kit.bottleneck(server, client, connections), who)


if __name__ == "__main__":
    unittest.main()
