# SPDX-License-Identifier: BSD-2-Clause
"""Asking a running service through its control socket: what it says is exact, and asking harms nobody."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import unittest

import running
from running import ENV, Bench, Service, check, create, folder_on, info, run

PST = running.take_pst()


def ask(place, *lines):
    """The answers to some lines, as (word, bytes)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(place))
        s.sendall(''.join(f'{line}\n' for line in lines).encode())
        with s.makefile('rb') as f:
            answers = []
            for _ in lines:
                word, length = f.readline().decode().split()
                answers.append((word, f.read(int(length))))
            return answers


class Control(unittest.TestCase):
    def setUp(self):
        folder = folder_on('shm')
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.path = create(PST, self.folder / 'region', '64M')
        self.control = pathlib.Path(ENV['PST_CONTROL_DIR'])

    def sockets(self):
        return sorted(self.control.iterdir())

    def test_info_of_a_live_region_is_exact(self):
        with Service(PST, self.path) as service:
            place, = self.sockets()
            self.assertEqual(stat.S_IMODE(place.stat().st_mode), 0o600)
            with service.client() as c:
                for n in range(100):
                    self.assertEqual(c.ask('PUT', f'/kv/{n}', b'x' * 1000).status, 201)
                    found = info(PST, self.path)
                    self.assertEqual((found['keys'], found['live'], found['in_use']), (n + 1, True, True))
            self.assertEqual(found['path'], str(self.path))
            said = run(PST, 'info', self.path)
            self.assertEqual(said.returncode, 0)
            self.assertIn(f'by process {service.pid}', said.stdout)
            self.assertEqual(service.end(), 0)
        self.assertEqual(self.sockets(), [])
        found = info(PST, self.path)
        self.assertEqual((found['live'], found['in_use'], found['clean'], found['keys']), (False, False, True, 100))

    def test_asked_under_load(self):
        for medium in ('shm', 'file'):
            with self.subTest(medium), folder_on(medium) as folder:
                path = create(PST, folder / 'region', '64M', medium)
                with Service(PST, path) as service:
                    place, = self.sockets()
                    bench = Bench(PST, service, '-c', 8, '-d', 1, '--keys', 200)
                    last, asked = 0, 0
                    while bench.process.poll() is None:
                        for word, body in ask(place, 'stats', 'info', 'help', 'info text'):
                            self.assertEqual(word, 'ok')
                        stats = json.loads(ask(place, 'stats')[0][1])
                        self.assertGreaterEqual(stats['http']['requests'], last)
                        last = stats['http']['requests']
                        asked += 1
                    status, found = bench.result()
                    self.assertEqual(status, 0, found)
                    self.assertGreater(asked, 3)
                    self.assertEqual(service.end(), 0)
                check(PST, path)

    def test_connections_are_listed(self):
        with Service(PST, self.path) as service, contextlib.ExitStack() as open_:
            clients = [open_.enter_context(service.client()) for _ in range(150)]  # more than a step lists
            for c in clients:
                self.assertEqual(c.ask('PUT', '/kv/a', b'x' * 5000).status // 100, 2)
            said = json.loads(run(PST, 'ss', self.path, '--json').stdout)
            self.assertEqual((said['transport'], said['connections_now']), ('kernel', 150))
            listed = {c['peer']: c for c in said['connections']}
            self.assertEqual(len(listed), 150)
            for c in clients:
                one = listed['{}:{}'.format(*c.socket.getsockname())]
                self.assertEqual((one['state'], one['local']), ('ESTABLISHED', f'127.0.0.1:{service.port}'))
                self.assertGreater(one['received_bytes'], 5000)
                self.assertGreater(one['sent_bytes'], 20)
                self.assertEqual((one['unsent'], one['held']), (0, 0))
                self.assertTrue(one['rtt_us'] and one['mss'] and one['cwnd'] and one['peer_window'])
            for c in clients[1:]:
                c.close()
            running.wait_until(lambda: len(self.lines()) == 4, 'one connection')
            heading, first, second, last = self.lines()
            self.assertEqual(first.split()[:2], ['ESTABLISHED', f'127.0.0.1:{service.port}'])
            self.assertRegex(second, r'^\t rtt:[\d.]+/[\d.]+ rto:\d+ mss:\d+ cwnd:\d+.* window:\d+ peer_window:\d+ received:5\d+ ')
            self.assertEqual(last, "the kernel's TCP: connections_now:1 accepted:150 closed:149")
            self.assertEqual(service.end(), 0)
        self.assertEqual(run(PST, 'ss', self.path).returncode, 1)

    def lines(self):
        return run(PST, 'ss', self.path).stdout.splitlines()

    def test_a_killed_services_socket_is_replaced(self):
        service = Service(PST, self.path)
        place, = self.sockets()
        service.end(signal.SIGKILL)
        self.assertEqual(self.sockets(), [place])
        self.assertEqual(info(PST, self.path)['live'], False)
        with Service(PST, self.path) as service:
            self.assertEqual(self.sockets(), [place])
            self.assertTrue(info(PST, self.path)['live'])
            self.assertEqual(service.end(), 0)
        self.assertEqual(self.sockets(), [])

    def test_a_copy_is_served_beside_it(self):
        copy = self.folder / 'copy'
        shutil.copy(self.path, copy)
        with Service(PST, self.path) as one, Service(PST, copy) as two:
            self.assertEqual(len(self.sockets()), 2)
            with two.client() as c:
                c.ask('PUT', '/kv/a', b'1')
            self.assertEqual((info(PST, self.path)['keys'], info(PST, copy)['keys']), (0, 1))
            self.assertEqual((one.end(), two.end()), (0, 0))

    def test_no_place_is_no_failure(self):
        os.chmod(self.control, 0o777)
        with Service(PST, self.path) as service:
            self.assertIn('no control socket', service.said())
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/a', b'1').status, 201)
            self.assertEqual(info(PST, self.path)['live'], False)
            self.assertEqual(service.end(), 0)
        os.chmod(self.control, 0o700)


if __name__ == '__main__':
    running.main()
