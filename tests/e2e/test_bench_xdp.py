# SPDX-License-Identifier: BSD-2-Clause
"""pst bench --xdp over a veth pair: our own TCP as the client, of a kernel server and of our own."""
import json
import signal
import socketserver
import subprocess
import threading

from running import Service, check, create, folder_on, main, take_pst
from veth_pair import ADDRESS, HERE, THERE, PairTest, skip_if_needed

PST = take_pst()
PORT = 8080


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data[:-1] + b'!' if getattr(self.server, 'spoil', False) else data)
            if getattr(self.server, 'once', False):
                return


class BenchXdp(PairTest):
    def setUp(self):
        super().setUp()
        self.folder = self.open.enter_context(folder_on('shm'))
        self.region = create(PST, self.folder / 'region', '128M', 'shm')

    def start(self, version=4, *args):
        host = ADDRESS[version][0]
        self.where = f'[{host}]:{PORT}' if version == 6 else f'{host}:{PORT}'
        return self.open.enter_context(Service(PST, self.region, '--public', *args, http=self.where))

    def bench(self, *args, expect=0):
        command = self.pair.there(PST, 'bench', f'http://{self.where}', '--xdp', THERE, *args)
        ran = subprocess.run(command, capture_output=True, text=True, timeout=90)
        self.assertEqual(ran.returncode, expect, ran.stderr + ran.stdout)
        return ran

    def load(self, *args):
        result = json.loads(self.bench('--json', *args).stdout)
        self.assertGreater(result['requests'], 0)
        return result

    def test_against_the_kernel_and_against_our_own_all_that_was_acknowledged_is_there(self):
        for n, (version, args) in enumerate([(4, []), (6, []), (4, ['--xdp', HERE]), (6, ['--xdp', HERE])]):
            with self.subTest(version=version, args=args):
                acked = self.folder / f'acked{n}'
                service = self.start(version, *args)
                self.load('-c', '20', '-n', '3000', '--size', '16-20000', '--mix', '40:40:20', '--keys', '200',
                          '--verify', acked)
                self.bench('-c', '10', '--check', acked)
                self.assertEqual(service.end(signal.SIGTERM), 0)
        check(PST, self.region)

    def test_large_bodies_and_many_connections(self):
        for args in ([], ['--xdp', HERE]):
            with self.subTest(args=args):
                service = self.start(4, *args)
                self.load('-c', '3', '-n', '12', '--size', '3M', '--keys', '3')
                self.load('-c', '300', '-n', '3000', '--size', '100')
                self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_a_killed_server_is_a_lost_connection_and_nothing_acknowledged_is_lost(self):
        for args in ([], ['--xdp', HERE]):
            with self.subTest(args=args):
                acked = self.folder / ('acked-' + ('xdp' if args else 'kernel'))
                service = self.start(4, *args)
                killer = threading.Timer(1.5, service.end, [signal.SIGKILL])
                killer.start()
                ran = self.bench('-c', '16', '-d', '20', '--timeout', '4', '--mix', '60:20:20', '--keys', '1000',
                                 '--verify', acked, expect=3)
                killer.join()
                self.assertIn('connection lost', ran.stderr)
                service = self.start(4, *args)
                self.bench('-c', '16', '--check', acked)
                self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_an_echo_over_our_tcp_and_the_kernels(self):
        server = self.open.enter_context(socketserver.ThreadingTCPServer((ADDRESS[4][0], 7000), Echo))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.open.callback(server.shutdown)
        for transport in (['--xdp', THERE], []):
            for size in ('1', '64', '1K-30K'):
                command = self.pair.there(PST, 'bench', '--echo', f'{ADDRESS[4][0]}:7000', *transport, '-c', 5, '-n', 300,
                                          '--size', size, '--json')
                ran = subprocess.run(command, capture_output=True, text=True, timeout=90)
                self.assertEqual(ran.returncode, 0, ran.stderr)
                said = json.loads(ran.stdout)
                self.assertEqual((said['requests'], said['errors'], list(said['latency_us_by_kind'])), (300, 0, ['echo']))
        # One that sends something else back is found out.
        server.spoil = True
        command = self.pair.there(PST, 'bench', '--echo', f'{ADDRESS[4][0]}:7000', '--xdp', THERE, '-n', 1)
        ran = subprocess.run(command, capture_output=True, text=True, timeout=90)
        self.assertEqual(ran.returncode, 3)
        self.assertIn('other bytes', ran.stderr)

    def test_a_connection_that_ends_with_its_answer(self):
        """The answer and the end come together: the next request, which the answer called forth, has no connection."""
        server = self.open.enter_context(socketserver.ThreadingTCPServer((ADDRESS[4][0], 7001), Echo))
        server.daemon_threads = server.once = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.open.callback(server.shutdown)
        for transport in (['--xdp', THERE], []):
            for _ in range(3):
                command = self.pair.there(PST, 'bench', '--echo', f'{ADDRESS[4][0]}:7001', *transport, '-c', 8, '-n', 300,
                                          '--size', '64')
                ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
                self.assertEqual(ran.returncode, 3, ran.stderr)
                self.assertIn('connection lost', ran.stderr)

    def test_what_cannot_be_is_said(self):
        self.where = f'{ADDRESS[4][0]}:{PORT}'
        ran = self.bench('-n', '1', expect=3)  # nobody listens
        self.assertIn('cannot connect', ran.stderr)
        self.where = '10.1.1.77:80'
        ran = self.bench('-n', '1', expect=3)
        self.assertIn('no way', ran.stderr)
        command = self.pair.there(PST, 'bench', f'http://{self.where}', '--xdp', 'nothing')
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.returncode, 3)
        self.assertIn('nothing', ran.stderr)


if __name__ == '__main__':
    skip_if_needed()
    main()
