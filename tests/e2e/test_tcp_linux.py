# SPDX-License-Identifier: BSD-2-Clause
"""test_tcp_linux.py PST LOSS [--long]

Our TCP against the Linux kernel's, over a veth pair, in both directions, IPv4 and IPv6: large bodies with other MTUs, with the
peer's offloads on and off and with packets lost; thousands of connections, short ones, half-open ones, killed ends.

LOSS is loss.bpf.c, compiled. --long: gigabytes, and 10,000 connections.
"""
import array
import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from running import ENV, Service, check, create, folder_on, main, parse_metrics, take_pst, wait_until
from veth_pair import ADDRESS, HERE, THERE, PairTest, skip_if_needed

PST, LOSS = take_pst(), take_pst()
LONG = sys.argv[1:2] == ['--long'] and bool(sys.argv.pop(1))
PORT = 8080
MIB = 1 << 20
TCP_REPAIR = 19
# Bytes of a pattern that does not repeat at any power of two.
BYTES = hashlib.shake_128(b'bytes').digest(MIB + 4093)


def block(length):
    return (BYTES * (length // len(BYTES) + 1))[:length]


class Peer:
    """A client of the kernel's, in the other namespace: plain HTTP on one connection."""

    def __init__(self, pair, version=4, timeout=20, source=None):
        self.socket = pair.socket(version, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if source:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((ADDRESS[version][1], source))
        self.socket.connect((ADDRESS[version][0], PORT))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b''

    def send(self, method, path, body=b'', fields=''):
        head = f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{fields}\r\n'
        self.socket.sendall(head.encode() + body)

    def read(self, what=65536):
        got = self.socket.recv(what)
        if not got:
            raise EOFError
        return got

    def reply(self):
        """(status, length, SHA-256 of the body, body if it is short)"""
        while b'\r\n\r\n' not in self.left:
            self.left += self.read()
        head, _, rest = self.left.partition(b'\r\n\r\n')
        length = next((int(line[15:]) for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')), 0)
        self.left, body, seen, digest = rest[length:], rest[:length], 0, hashlib.sha256()
        seen = len(body)
        digest.update(body)
        while seen < length:
            more = self.read(min(length - seen, MIB))
            digest.update(more)
            seen += len(more)
            body = body + more if seen < 65536 else b''
        return int(head[9:12]), seen, digest.hexdigest(), body

    def ask(self, *args, **fields):
        self.send(*args, **fields)
        return self.reply()

    def close(self):
        self.socket.close()

    def vanish(self):
        """Forget the connection without a word, as a machine does that loses its power."""
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()


class TcpLinux(PairTest):
    queues = 2

    @classmethod
    def setUpClass(cls):
        most = 12000 if LONG else 4000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(hard, most)))
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.began, self.used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)

    def tearDown(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - self.used.ru_utime - self.used.ru_stime
        print(f'{self.id().rpartition(".")[2]}: {time.monotonic() - self.began:.1f} s, {cpu:.1f} s of CPU in processes')

    # --- the two ends

    def region(self, size='64M'):
        folder = self.open.enter_context(folder_on('shm'))
        return create(PST, folder / 'region', size, 'shm')

    def serve(self, region, *args, version=4, xdp=True):
        host = ADDRESS[version][0]
        self.where = f'[{host}]:{PORT}' if version == 6 else f'{host}:{PORT}'
        return self.open.enter_context(
            Service(PST, region, '--public', *(['--xdp', HERE] if xdp else []), *args, http=self.where))

    def peer(self, version=4, **options):
        peer = Peer(self.pair, version, **options)
        self.open.callback(peer.close)
        return peer

    def metrics(self, version=4):
        with contextlib.closing(Peer(self.pair, version)) as peer:
            return parse_metrics(peer.ask('GET', '/metrics')[3].decode())

    def bench(self, *args, expect=0):
        """Our stack as the client, in the other namespace."""
        ran = subprocess.run(self.pair.there(PST, 'bench', f'http://{self.where}', '--xdp', THERE, '--json', *args),
                             capture_output=True, text=True, timeout=600, env=ENV)
        self.assertEqual(ran.returncode, expect, ran.stderr + ran.stdout)
        return json.loads(ran.stdout)

    # --- the way between them

    def tune(self, command, there=False):
        command = self.pair.there(*command) if there else command
        ran = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if ran.returncode:
            raise unittest.SkipTest(f'{" ".join(map(str, command))}: {ran.stderr.strip()}')

    @contextlib.contextmanager
    def mtu(self, size):
        for there, name in ((False, HERE), (True, THERE)):
            self.tune(['ip', 'link', 'set', name, 'mtu', str(size)], there)
        try:
            yield
        finally:
            for there, name in ((False, HERE), (True, THERE)):
                self.tune(['ip', 'link', 'set', name, 'mtu', '1500'], there)

    @contextlib.contextmanager
    def losing(self, percent):
        """Of the packets to the other end, and of those from it."""
        self.tune(['tc', 'qdisc', 'add', 'dev', THERE, 'clsact'], there=True)
        try:
            for way in ('ingress', 'egress'):
                self.tune(['tc', 'filter', 'add', 'dev', THERE, way, 'bpf', 'da', 'obj', LOSS, 'sec', f'lose{percent}'],
                          there=True)
            yield
        finally:
            self.tune(['tc', 'qdisc', 'del', 'dev', THERE, 'clsact'], there=True)

    @contextlib.contextmanager
    def offloads(self, on):
        """Of the peer's end: checksums and segmentation left to a device that does not exist."""
        with self.pair.visit():
            self.set_offloads(THERE, on)
        try:
            yield
        finally:
            with self.pair.visit():
                self.set_offloads(THERE, True)

    def set_offloads(self, name, on):
        # ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO (linux/ethtool.h) by SIOCETHTOOL.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            order = (0x17, 0x19, 0x1f, 0x24, 0x2c)
            for command in order if on else reversed(order):
                value = array.array('B', struct.pack('II', command, on))
                request = struct.pack('16sP', name.encode(), value.buffer_info()[0])
                try:
                    fcntl.ioctl(s, 0x8946, request.ljust(40, b'\0'))
                except OSError as e:
                    if e.errno != errno.EOPNOTSUPP:
                        raise

    # --- bodies

    def carry(self, mib, version, within, mtu=1500):
        """So many MiB there and back again on one connection, as bodies of at most 8 MiB, within so many seconds."""
        region = self.region('128M')
        with self.serve(region, version=version) as service:
            peer, began, there, back = self.peer(version, timeout=within), time.monotonic(), 0, 0
            for at in range(0, mib, 32):
                bodies = [block(min(mib, 8) * MIB + n)[n:] for n in range(max(1, min(mib - at, 32) // 8))]
                began = time.monotonic()
                for n, body in enumerate(bodies):
                    self.assertIn(peer.ask('PUT', f'/kv/{n}', body)[0], (200, 201, 204))
                there, began = there + time.monotonic() - began, time.monotonic()
                for n, body in enumerate(bodies):
                    self.assertEqual(peer.ask('GET', f'/kv/{n}')[:3], (200, len(body), hashlib.sha256(body).hexdigest()))
                back += time.monotonic() - began
            mss = peer.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            self.assertEqual(mss, mtu - (20 if version == 4 else 40) - 20 - 12)
            print(f'  {mib} MiB, IPv{version}, {mss} bytes a segment: {there:.2f} s there, {back:.2f} s back')
            self.assertLess(there + back, within)
            peer.close()
            self.assertEqual(service.end(signal.SIGTERM), 0)
        check(PST, region)

    def test_large_bodies_with_offloads_on_and_off(self):
        for on, version in itertools.product((True, False), (4, 6)):
            with self.subTest(on=on, version=version), self.offloads(on):
                self.carry(1024 if LONG else 64, version, 600 if LONG else 30)

    def test_other_mtus(self):
        for size, version in itertools.product((1280, 9000), (4, 6)):
            with self.subTest(size=size, version=version), self.mtu(size):
                self.carry(256 if LONG else 16, version, 120 if LONG else 30, size)

    def test_packets_are_lost(self):
        for percent, mib, version in ((1, 16, 4), (1, 16, 6), (10, 1, 4), (10, 1, 6)):
            with self.subTest(percent=percent, version=version), self.losing(percent):
                self.carry(mib * 8 if LONG else mib, version, 240 if LONG else 20 if percent == 1 else 30)

    def test_our_client_of_a_kernel_server(self):
        cases = [('', contextlib.nullcontext), ('offloads off', lambda: self.offloads(False)),
                 ('MTU 1280', lambda: self.mtu(1280)), ('1 % lost', lambda: self.losing(1)),
                 ('10 % lost', lambda: self.losing(10))]
        for n, ((name, way), version) in enumerate(itertools.product(cases, (4, 6))):
            if not LONG and n in (2, 5, 7, 8):
                continue  # one family is enough
            with self.subTest(name=name, version=version), way():
                region, acked = self.region('256M'), self.open.enter_context(folder_on('shm')) / 'acked'
                service = self.serve(region, version=version, xdp=False)
                size, times = ('100-60000', 60) if 'lost' in name else ('8M', 8)
                if LONG:
                    times *= 20
                began = time.monotonic()
                self.bench('-c', '4', '-n', str(times), '--size', size, '--keys', '8', '--mix', '70:30:0', '--timeout', '60',
                           '--verify', acked)
                found = self.bench('--check', acked)
                print(f'  {name or "as it is"}, IPv{version}: {time.monotonic() - began:.2f} s, {found["checked"]} checked')
                self.assertLess(time.monotonic() - began, 600 if LONG else 60)
                self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_a_value_deleted_while_it_is_sent_is_sent_with_its_old_bytes(self):
        """Retransmissions included. Its buffers are the next ones to be written otherwise: the region is full."""
        def ask(*args):
            with contextlib.closing(Peer(self.pair)) as peer:
                return peer.ask(*args)[0]

        region, body = self.region('32M'), block(2 * MIB)
        service, n = self.serve(region), 0
        self.assertEqual(ask('PUT', '/kv/a', body), 201)
        while ask('PUT', f'/kv/{n}', block(MIB // 4)) == 201:
            n += 1
        self.assertGreater(n, 20)
        with self.losing(1):
            reader = self.peer(timeout=30)
            reader.send('GET', '/kv/a')
            reader.left = reader.read()
            self.assertEqual(ask('DELETE', '/kv/a'), 204)
            for n in range(20):
                ask('PUT', f'/kv/again-{n}', bytes([n]) * 100000)
            self.assertEqual(reader.reply()[:3], (200, len(body), hashlib.sha256(body).hexdigest()))
        # Then there is room.
        self.assertEqual(ask('DELETE', '/kv?prefix=again-'), 200)
        wait_until(lambda: ask('PUT', '/kv/b', block(MIB)) == 201, 'its buffers are free')
        self.assertEqual(service.end(signal.SIGTERM), 0)
        check(PST, region)

    # --- many

    def test_thousands_of_connections(self):
        many = 10000 if LONG else 2000
        service = self.serve(self.region(), '--connections', str(many + 16))
        with self.pair.visit():
            sockets = [socket.socket() for _ in range(many)]
        self.open.callback(lambda: [s.close() for s in sockets])
        poll = select.epoll()
        for n, s in enumerate(sockets):
            s.setblocking(False)
            self.assertIn(s.connect_ex((ADDRESS[4][0], PORT)), (0, errno.EINPROGRESS))
            poll.register(s.fileno(), select.EPOLLOUT | select.EPOLLONESHOT)
        self.await_all(poll, sockets, lambda s: None)
        # Connected for the peer is not yet accepted: the last ACK of a handshake may be under way, or lost in the rush.
        wait_until(lambda: self.metrics()['paste_http_connections'] == many + 1, 'all are accepted')
        for turn in range(2):
            for n, s in enumerate(sockets):
                value = f'{turn} {n}'.encode()
                s.send(b'PUT /kv/k%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s' % (n, len(value), value))
            self.answers(poll, sockets, lambda n, got: self.assertIn(got[9:12], (b'200', b'201', b'204')))
        for n, s in enumerate(sockets):
            s.send(b'GET /kv/k%d HTTP/1.1\r\nHost: x\r\n\r\n' % n)
        self.answers(poll, sockets, lambda n, got: self.assertTrue(got.endswith(b'\r\n\r\n1 %d' % n), got))
        for s in sockets:
            s.close()
        wait_until(lambda: self.metrics()['paste_http_connections'] == 1, 'they are gone')
        self.assertEqual(service.end(signal.SIGTERM), 0)

    def answers(self, poll, sockets, judge):
        by_fd = {s.fileno(): n for n, s in enumerate(sockets)}
        for s in sockets:
            poll.modify(s.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
        self.await_all(poll, sockets, lambda s: judge(by_fd[s.fileno()], s.recv(4096)))

    def await_all(self, poll, sockets, then):
        left, by_fd = {s.fileno() for s in sockets}, {s.fileno(): s for s in sockets}
        until = time.monotonic() + 60
        while left:
            for fd, what in poll.poll(1, 1024):
                self.assertFalse(what & (select.EPOLLERR | select.EPOLLHUP), by_fd[fd])
                then(by_fd[fd])
                left.discard(fd)
            self.assertLess(time.monotonic(), until, f'{len(left)} of {len(sockets)} wait')

    def test_short_connections(self):
        many = 20000 if LONG else 1000
        service = self.serve(self.region())
        with self.pair.visit():
            for n in range(many):
                s = socket.socket()
                s.connect((ADDRESS[4][0], PORT))
                s.send(b'GET /kv/none HTTP/1.1\r\nHost: x\r\n%s\r\n' % (b'Connection: close\r\n' if n % 2 else b''))
                self.assertEqual(s.recv(4096)[9:12], b'404')
                if n % 2:
                    self.assertEqual(s.recv(10), b'')  # the server has closed first: TIME-WAIT is its own
                s.close()
        wait_until(lambda: self.metrics()['paste_http_connections'] == 1, 'they are gone')
        self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_the_same_port_again_at_once(self):
        """The connection before is in TIME-WAIT at the server, or at the client, or was forgotten by it."""
        service = self.serve(self.region())
        for n in range(60):
            peer = Peer(self.pair, source=20000 + n % 2)
            self.assertEqual(peer.ask('GET', '/kv/none', fields='Connection: close\r\n' if n % 3 else '')[0], 404)
            if n % 3:
                self.assertEqual(peer.socket.recv(10), b'')
                peer.close()
            else:
                peer.vanish()
        self.assertEqual(service.end(signal.SIGTERM), 0)

    # --- ends that are gone

    def test_idle_clients_do_not_delay_the_end(self):
        service, peers = self.serve(self.region()), [self.peer() for _ in range(10)]
        for peer in peers:
            self.assertEqual(peer.ask('GET', '/kv/none')[0], 404)
        began = time.monotonic()
        self.assertEqual(service.end(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 5)
        for peer in peers:
            self.assertEqual(peer.socket.recv(1), b'')

    def test_half_open_peers_are_noticed(self):
        service = self.serve(self.region(), '--idle-timeout', '2')
        peers = [self.peer() for _ in range(20)]
        for peer in peers:
            self.assertEqual(peer.ask('GET', '/kv/none')[0], 404)
        self.assertEqual(self.metrics()['paste_http_connections'], 21)
        for peer in peers:
            peer.vanish()
        wait_until(lambda: self.metrics()['paste_http_connections'] == 1, 'they are gone')
        self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_a_killed_peer_is_gone_at_once(self):
        service = self.serve(self.region())
        script = ('import socket, sys\n'
                  f's = socket.create_connection(("{ADDRESS[4][0]}", {PORT}))\n'
                  's.sendall(b"PUT /kv/a HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 8000000\\r\\n\\r\\n" + b"a" * 4000000)\n'
                  'print(flush=True)\n'
                  's.recv(1)\n')
        killed = subprocess.Popen(self.pair.there(sys.executable, '-c', script), stdout=subprocess.PIPE)
        try:
            self.assertEqual(killed.stdout.read(1), b'\n')
            wait_until(lambda: self.metrics()['paste_http_connections'] == 2, 'it is connected', 2)
        finally:
            killed.kill()
            killed.communicate()
        wait_until(lambda: self.metrics()['paste_http_connections'] == 1, 'it is gone', 5)
        self.assertEqual(self.peer().ask('GET', '/kv/a')[0], 404)
        self.assertEqual(service.end(signal.SIGTERM), 0)

    def test_clients_of_our_killed_server_are_reset(self):
        """By the kernel, which gets the packets then and knows no such connections. One that says nothing learns it by
        keep-alive."""
        service = self.serve(self.region())
        asks, sends, waits = self.peer(timeout=10), self.peer(timeout=10), self.peer(timeout=10)
        for peer in (asks, sends, waits):
            self.assertEqual(peer.ask('GET', '/kv/none')[0], 404)
        sends.socket.sendall(b'PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n' + b'a' * MIB)
        for option, value in ((socket.SO_KEEPALIVE, None), (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1)):
            waits.socket.setsockopt(socket.IPPROTO_TCP if value else socket.SOL_SOCKET, option, value or 1)
        service.end(signal.SIGKILL)
        began = time.monotonic()
        with self.assertRaises(ConnectionError):
            while True:
                sends.socket.send(b'b' * 1000)
        with self.assertRaises(ConnectionError):
            asks.ask('GET', '/kv/none')
            asks.ask('GET', '/kv/none')
        with self.assertRaises(ConnectionError):
            waits.socket.recv(1)
        print(f'  reset after {time.monotonic() - began:.2f} s')
        self.assertLess(time.monotonic() - began, 5)

    def test_a_kernel_server_notices_that_our_client_was_killed(self):
        service = self.serve(self.region(), '--idle-timeout', '2', xdp=False)
        client = subprocess.Popen(self.pair.there(PST, 'bench', f'http://{self.where}', '--xdp', THERE, '-c', 50, '-d', 60),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: self.metrics()['paste_http_connections'] == 51, 'they are connected')
        finally:
            client.kill()
            client.wait()
        wait_until(lambda: self.metrics()['paste_http_connections'] == 1, 'they are gone', 10)
        self.assertEqual(service.end(signal.SIGTERM), 0)


if __name__ == '__main__':
    skip_if_needed()
    main()
