# SPDX-License-Identifier: BSD-2-Clause
"""pst serve as a process: its options, what it says, and how it ends."""
import contextlib
import ctypes
import errno
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'e2e'))
from running import Service, check, create, folder_on, run, take_pst  # noqa: E402

PST = take_pst()


def put(key, body):
    return b'PUT /kv/%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s' % (key, len(body), body)


def receive_until(s, end):
    got = b''
    while end not in got:
        more = s.recv(65536)
        if not more:
            raise AssertionError(f'closed after {got!r}')
        got += more
    return got


def forbid_io_uring():
    """A seccomp filter as containers have it: io_uring_setup (425 everywhere) fails with EPERM."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ((0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7fff0000))
    program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
    header = ctypes.create_string_buffer(struct.pack('HP', len(code), ctypes.addressof(program)))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), 'seccomp')


class Serve(unittest.TestCase):
    def setUp(self):
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)
        self.folder = self.open.enter_context(folder_on('shm'))
        self.region = create(PST, self.folder / 'region', '32M')

    def connect(self, service):
        s = self.open.enter_context(socket.create_connection((service.host, service.port)))
        s.settimeout(20)
        return s

    def start(self, *args, **kwargs):
        return self.open.enter_context(Service(PST, self.region, *args, **kwargs))

    def refused(self, *args):
        r = run(PST, 'serve', self.region, *args)
        self.assertEqual(r.stdout, '')
        return r.returncode, r.stderr

    def test_usage_errors_say_what_is_wrong(self):
        for args, said in ((('--max-body', 'much'), 'much'), (('--connections', '0'), '0'), (('--nonsense',), '--nonsense'),
                           (('second',), 'second')):
            status, stderr = self.refused(*args)
            self.assertEqual(status, 2, args)
            self.assertIn(said, stderr)

    def test_addresses_that_others_can_reach_want_public(self):
        for address in ('0.0.0.0:0', '[::]:0', ':0', '192.0.2.1:0'):
            status, stderr = self.refused('--http', address)
            self.assertEqual(status, 2, address)
            self.assertIn('--public', stderr)
        service = self.start('--public', http='0.0.0.0:0')
        self.assertEqual(service.host, '0.0.0.0')
        self.assertEqual(service.end(), 0)

    def test_what_cannot_be_opened_or_bound_is_said(self):
        service = self.start()
        status, stderr = self.refused('--http', '127.0.0.1:0')
        self.assertEqual(status, 1)
        self.assertIn(str(service.pid), stderr)
        other = create(PST, self.folder / 'other', '32M')
        r = run(PST, 'serve', other, '--http', f'127.0.0.1:{service.port}')
        self.assertEqual(r.returncode, 1)
        self.assertIn('listens there', r.stderr)
        self.assertEqual(service.end(), 0)
        r = run(PST, 'serve', self.folder / 'missing')
        self.assertEqual(r.returncode, 1)
        self.assertIn('missing', r.stderr)

    def test_ready_means_ready_and_termination_is_clean(self):
        for args, how in (((), signal.SIGTERM), (('--spin',), signal.SIGINT)):
            service = self.start(*args)
            s = self.connect(service)
            s.sendall(put(b'a', b'x'))
            receive_until(s, b'\r\n\r\n')
            start = time.monotonic()
            self.assertEqual(service.end(how), 0)
            self.assertLess(time.monotonic() - start, 5)  # although a client is still connected
            self.assertEqual(s.recv(100), b'')
            check(PST, self.region)
        service = self.start()
        self.assertIn('last_time="closed clean"', service.said())
        self.assertEqual(service.end(), 0)

    def test_a_request_under_way_is_still_answered(self):
        service = self.start()
        idle, busy = self.connect(service), self.connect(service)
        idle.sendall(put(b'b', b'x'))
        receive_until(idle, b'\r\n\r\n')
        request = put(b'a', b'x' * 50000)
        busy.sendall(request[:20000])
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        self.assertEqual(idle.recv(100), b'')
        busy.sendall(request[20000:])
        got = receive_until(busy, b'\r\n\r\n')
        self.assertIn(b' 201 ', got)
        self.assertIn(b'Connection: close', got)
        self.assertEqual(busy.recv(100), b'')
        with self.assertRaises(OSError):
            self.connect(service)
        self.assertEqual(service.end(), 0)
        check(PST, self.region)

    def test_bodies_up_to_the_limit(self):
        service = self.start('--max-body', '4M')
        for size in (0, 1, 4096, 100000, 4 << 20):
            s = self.connect(service)
            body = bytes(i * 7 & 255 for i in range(1000)) * (size // 1000 + 1)
            s.sendall(put(b'a', body[:size]) + b'GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
            got = b''
            while more := s.recv(1 << 20):
                got += more
            self.assertTrue(got.endswith(b'\r\n\r\n' + body[:size]))
        s = self.connect(service)
        s.sendall(put(b'a', b'x' * ((4 << 20) + 1))[:1 << 20])
        self.assertIn(b' 413 ', receive_until(s, b'\r\n\r\n'))
        self.assertEqual(service.end(), 0)

    def test_no_more_connections_than_allowed(self):
        service = self.start('--connections', '10')
        clients = [self.connect(service) for _ in range(12)]
        for s in clients[:10]:
            s.sendall(put(b'a', b'x'))
            receive_until(s, b'\r\n\r\n')
        for s in clients[10:]:
            self.assertEqual(s.recv(100), b'')
        self.assertEqual(service.end(), 0)

    def test_io_uring_forbidden_says_how_to_allow_it(self):
        r = subprocess.run([PST, 'serve', str(self.region), '--http', '127.0.0.1:0'], preexec_fn=forbid_io_uring,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        self.assertEqual((r.returncode, r.stdout), (1, ''))
        self.assertIn('kernel.io_uring_disabled', r.stderr)
        self.assertIn('seccomp', r.stderr)


if __name__ == '__main__':
    unittest.main()
