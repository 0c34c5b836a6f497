# SPDX-License-Identifier: BSD-2-Clause
"""A disk that fails, is full, stands still or is slow, under a whole service on a `file` region.

test_disk_faults.py PST PST-FAULTY. The second is `pst` with disk_layer.c between the medium and the disk, so that this
needs no privileges and no device-mapper. The disk has a cache that a failing sync and the end of the process lose.
"""
import errno
import os
import signal
import sys
import time
import unittest

from disk import Disk
from running import (Bench, NotReady, Service, check, create, folder_on, info, main, parse_metrics, prove, request,
                     run, take_pst, wait_until)

PST = take_pst()
FAULTY = os.path.abspath(sys.argv.pop(1))
LOAD = ('-c', 16, '--size', '0-65536', '--keys', 300, '--mix', '60:15:10:15')


class Faults(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(folder_on('file'))
        self.region = create(PST, self.folder / 'region', '24M', 'file')
        self.ledger = self.folder / 'acknowledged'
        self.disk = Disk(self.folder / 'disk', cache=True)

    def serve(self):
        return self.enterContext(Service(FAULTY, self.region, "--no-seccomp", env=self.disk.env))

    def load(self, service, *args, seconds=1.5):
        bench = Bench(PST, service, *LOAD, '--streams', 3, '--verify', self.ledger,
                      *(args or ('-d', seconds)))
        self.addCleanup(bench.kill)
        return bench

    def everything_is_there(self):
        """On a disk that works again."""
        check(PST, self.region)
        with Service(PST, self.region) as service:
            found = prove(PST, service, self.ledger)
            self.assertEqual(service.end(), 0, service.said())
        check(PST, self.region)
        return found['checked']

    def expect_failed(self, service, error):
        """From now on nothing is stored, and everybody is told; what was durable is served."""
        for n in range(20):
            for method, path in ('PUT', f'/kv/after{n}'), ('POST', '/log/after'), ('DELETE', '/kv/before'):
                with service.client() as c:
                    reply = c.ask(method, path, b'x' * 100 * n)
                    self.assertEqual((reply.status, reply.fields['connection']), (503, 'close'))
                    self.assertTrue(c.is_closed())
        with service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/before').body, b'before')
            self.assertNotEqual(c.ask('GET', '/kv/after1').status, 200)
        with service.client() as c:
            metrics = parse_metrics(c.ask('GET', '/metrics').body.decode())
            self.assertEqual(metrics['paste_medium_failed'], 1)
            self.assertNotIn('paste_store_puts_total', metrics)
        self.assertIn('the medium has failed: ' + os.strerror(error), service.said())
        self.assertEqual(service.said().count('the medium has failed'), 1, service.said())

    def fails_under_load(self, what, error, **how):
        with self.serve() as service:
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/before', b'before').status, 201)
            bench = self.load(service)
            time.sleep(.7)
            self.disk.fail(what, error, **how)
            wait_until(lambda: 'failed' in service.said(), 'the failure is told')
            status, found = bench.result()
            self.assertIn(status, (1, 3), found)
            self.assertGreater(found['acknowledged'], 50)
            self.assertEqual((found['lost'], found['wrong']), (0, 0), found)
            self.assertGreater(self.disk.get('injected'), 0)
            self.expect_failed(service, error)
            if how.get('times'):
                self.assertEqual(self.disk.get('injected'), how['times'])  # it works again, and is not believed
            self.assertEqual(service.end(), 1)
        self.assertFalse(info(PST, self.region)['clean'])
        self.disk.work()
        self.assertGreater(self.everything_is_there(), 20)

    def test_a_write_fails_once(self):
        for after in 0, 7, 30:
            with self.subTest(after=after):
                self.fails_under_load('write fails', errno.EIO, after=after, times=1)
                self.setUp()

    def test_all_writes_fail(self):
        self.fails_under_load('write fails', errno.EIO)

    def test_the_device_is_full(self):
        self.fails_under_load('write fails', errno.ENOSPC, after=3)

    def test_a_sync_fails_once_and_what_it_should_have_kept_is_gone(self):
        for after in 0, 5:
            with self.subTest(after=after):
                self.fails_under_load('sync fails', errno.EIO, after=after, times=1)
                self.setUp()

    def test_all_syncs_fail(self):
        self.fails_under_load('sync fails', errno.EIO)

    def test_a_region_outlives_one_failure_after_another(self):
        for n, (what, error) in enumerate((('write fails', errno.EIO), ('sync fails', errno.EIO),
                                           ('write fails', errno.ENOSPC)) * 2):
            with self.serve() as service:
                if self.ledger.exists():
                    prove(PST, service, self.ledger)
                bench = self.load(service)
                time.sleep(.4)
                self.disk.fail(what, error, after=n * 11, times=1)
                wait_until(lambda: 'failed' in service.said(), 'the failure is told')
                self.assertIn(bench.result()[0], (1, 3))
                service.end(signal.SIGKILL if n % 2 else signal.SIGTERM)
            self.disk.work()
        self.everything_is_there()

    def test_it_fails_while_starting(self):
        with self.serve() as service:
            self.load(service, '-n', 2000).result()
            service.end(signal.SIGKILL)
        failed = 0
        for what in 'write fails', 'sync fails':
            for after in range(8):
                self.disk.fail(what, errno.EIO, after=after, times=1)
                try:
                    with Service(FAULTY, self.region, "--no-seccomp", env=self.disk.env) as service:
                        # It got by: a later request of it may still have failed.
                        service.end(signal.SIGKILL)
                except NotReady as e:
                    self.assertEqual(e.status, 1)
                    self.assertIn(os.strerror(errno.EIO), e.said)
                    failed += 1
                self.disk.work()
                check(PST, self.region)
        self.assertGreater(failed, 4)
        self.everything_is_there()

    def test_it_fails_while_closing(self):
        for what, after in (('write fails', 0), ('sync fails', 0), ('write fails', 3), ('sync fails', 1)):
            with self.serve() as service:
                status, found = self.load(service, '-n', 1500).result()
                self.assertEqual(status, 0, found)
                self.disk.fail(what, errno.EIO, after=after)
                status = service.end()
                if self.disk.get('injected'):
                    self.assertEqual(status, 1)
                    self.assertIn(os.strerror(errno.EIO), service.said())
                    # The last of its steps is to write the second copy of a superblock that says clean.
                    self.assertTrue(after or not info(PST, self.region)['clean'])
                self.disk.work()
            self.everything_is_there()

    def test_a_region_cannot_be_made_on_a_disk_that_fails(self):
        for what, error in (('write fails', errno.EIO), ('sync fails', errno.EIO), ('write fails', errno.ENOSPC)):
            for after in 0, 3:
                path = self.folder / 'new'
                self.disk.fail(what, error, after=after)
                before = sorted(os.listdir(self.folder))
                r = run('env', *(f'{k}={v}' for k, v in self.disk.env.items()), FAULTY, 'create', path, '--size', '16M')
                if not self.disk.get('injected'):
                    path.unlink()
                    continue
                self.assertEqual((r.returncode, r.stdout), (1, ''))
                self.assertIn(os.strerror(error), r.stderr)
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    # --- a disk that takes its time ---

    def test_a_stall_delays_replies_and_loses_nothing(self):
        service = self.serve()
        with service.client() as c:
            self.assertEqual(c.ask('PUT', '/kv/before', b'before').status, 201)
        bench = self.load(service, seconds=3.5)
        time.sleep(.7)
        self.disk.stall()
        time.sleep(.3)
        with service.client(timeout=.7) as writer, service.client(timeout=5) as reader:
            writer.send(request('PUT', '/kv/stalled', b'x'))
            with self.assertRaises(TimeoutError):
                writer.reply()
            # Meanwhile what is durable is served, and what is not is not told of.
            self.assertEqual(reader.ask('GET', '/kv/before').body, b'before')
            reader.socket.settimeout(.3)
            reader.send(request('GET', '/kv/stalled'))
            with self.assertRaises(TimeoutError):
                reader.reply()
        self.assertGreater(self.disk.get('held'), 0)
        self.disk.work()
        status, found = bench.result()
        self.assertEqual(status, 0, found)
        self.assertGreater(found['latency_us']['max'], 1e6, 'nobody waited for the stalled disk')
        with service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/stalled').body, b'x')
        prove(PST, service, self.ledger)
        self.assertEqual(service.end(), 0, service.said())
        self.everything_is_there()

    def test_killed_during_a_stall(self):
        for _ in range(3):
            with self.serve() as service:
                bench = self.load(service)
                time.sleep(.4)
                self.disk.stall()
                time.sleep(.2)
                service.end(signal.SIGKILL)
                self.assertEqual(bench.result()[0], 3)
            self.disk.work()
            self.everything_is_there()

    def test_told_to_end_during_a_stall(self):
        with self.serve() as service:
            bench = self.load(service)
            time.sleep(.4)
            self.disk.stall()
            time.sleep(.2)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(.5)
            self.assertIsNone(service.process.poll(), 'it ended without waiting for its disk')
            self.disk.work()
            self.assertEqual(service.end(), 0, service.said())
            self.assertIn(bench.result()[0], (1, 3))
        self.assertTrue(info(PST, self.region)['clean'])
        self.everything_is_there()

    def test_a_stall_that_ends_in_an_error(self):
        with self.serve() as service:
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/before', b'before').status, 201)
            bench = self.load(service)
            time.sleep(.4)
            self.disk.stall()
            time.sleep(.5)
            self.disk.fail('write fails', errno.EIO)
            self.assertIn(bench.result()[0], (1, 3))
            self.expect_failed(service, errno.EIO)
            self.assertEqual(service.end(), 1)
        self.disk.work()
        self.everything_is_there()

    def test_a_slow_disk_serves_many_with_one_sync(self):
        service = self.serve()
        self.disk.slow(20000)
        before = self.disk.get('syncs'), self.disk.get('writes')
        status, found = Bench(PST, service, '-c', 64, '--size', 1000, '--mix', '100:0:0', '--verify', self.ledger,
                              '-d', 2).result()
        self.assertEqual(status, 0, found)
        commits = max(self.disk.get('syncs') - before[0], 1)
        # One at a time could do 2 s / 20 ms; what waits shares.
        self.assertGreater(found['acknowledged'], 64 * 5)
        self.assertGreater(found['acknowledged'] / commits, 4)
        self.assertGreater(found['latency_us']['p50'], 20000)
        self.disk.work()
        self.assertEqual(service.end(), 0, service.said())
        self.everything_is_there()


if __name__ == '__main__':
    print('the disk that fails: an interposed I/O layer (disk_layer.c)')
    main()
