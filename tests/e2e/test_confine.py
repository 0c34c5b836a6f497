# SPDX-License-Identifier: BSD-2-Clause
"""Unix-domain sockets; what a service gives up before it answers, and that it works all the same."""
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import unittest

import running
from running import ENV, MEDIA, Client, NotReady, Service, check, create, folder_on, info, run

PST = running.take_pst()


class UnixClient(Client):
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.input = self.socket.makefile('rb')


class UnixService(Service):
    def __init__(self, pst, region, path, *args):
        self.path = path
        super().__init__(pst, region, *args, http=f'unix:{path}')

    def client(self, timeout=30):
        return UnixClient(self.path)


def status_of(pid):
    return dict(re.findall(r'^(\w+):\s*(.*)$', pathlib.Path(f'/proc/{pid}/status').read_text(), re.M))


class Confined(unittest.TestCase):
    def setUp(self):
        folder = folder_on('shm')
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        os.chmod(self.folder, 0o755)
        self.path = create(PST, self.folder / 'region', '16M')
        self.place = self.folder / 'http'

    def test_a_unix_socket(self):
        with UnixService(PST, self.path, self.place) as service:
            self.assertEqual(stat.S_IMODE(self.place.stat().st_mode), 0o660)
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/a', b'x' * 100000).status, 201)
                self.assertEqual(c.ask('GET', '/kv/a').body, b'x' * 100000)
                c.send(b'GET /kv/a HTTP/1.1\r\n bad\r\n\r\n')
                self.assertEqual(c.reply().status, 400)
                self.assertTrue(c.is_closed())
            other = create(PST, self.folder / 'other', '16M')
            with self.assertRaises(NotReady) as failed:
                UnixService(PST, other, self.place)
            self.assertIn('something is there already', failed.exception.said)
            service.end(signal.SIGKILL)
        self.assertTrue(self.place.exists())
        with UnixService(PST, self.path, self.place) as service:  # what the dead one left is replaced
            with service.client() as c:
                self.assertEqual(c.ask('GET', '/kv/a').status, 200)
            self.assertEqual(service.end(), 0)
        self.assertFalse(self.place.exists())
        self.place.write_text('precious')
        with self.assertRaises(NotReady):
            UnixService(PST, self.path, self.place)
        self.assertEqual(self.place.read_text(), 'precious')
        for bad in ('unix:', 'unix:relative', 'unix:/' + 'x' * 108):
            r = run(PST, 'serve', self.path, '--http', bad)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn('unix:/PATH', r.stderr)

    def test_tokens_are_needed_on_a_unix_socket_too(self):
        tokens = self.folder / 'tokens'
        tokens.write_text('0123456789abcdef rw\n')
        tokens.chmod(0o600)
        with UnixService(PST, self.path, self.place, '--token-file', tokens) as service, service.client() as c:
            for method, path in (('GET', '/kv/a'), ('HEAD', '/kv/a'), ('PUT', '/kv/a'), ('GET', '/metrics'), ('DELETE', '/kv?prefix=')):
                self.assertEqual(c.ask(method, path).status, 401)
            self.assertEqual(c.ask('GET', '/healthz').status, 200)
            self.assertEqual(c.ask('GET', '/kv/a', None, 'Authorization: Bearer 0123456789abcdef\r\n').status, 404)
            self.assertEqual(service.end(), 0)

    def test_system_calls_are_given_up(self):
        for medium in MEDIA:
            with self.subTest(medium), folder_on(medium) as folder:
                path = create(PST, folder / 'region', '16M', medium)
                for args, mode in (((), '2'), (('--no-seccomp',), '0')):
                    with Service(PST, path, *args) as service:
                        status = status_of(service.pid)
                        self.assertEqual((status['Seccomp'], status['NoNewPrivs']), (mode, '1'))
                        # Enough to write checkpoints, clean, and fill it.
                        with service.client() as c:
                            statuses = {c.ask('PUT', f'/kv/{n % 70}', os.urandom(200000)).status for n in range(90)}
                            # Many changes at once: libc's sort of so much asks for the machine's memory.
                            batch = b''.join(b'put m%d 1\nx\n' % n for n in range(200))
                            self.assertEqual(c.ask('DELETE', '/kv?prefix=').status, 200)
                            self.assertEqual(c.ask('POST', '/batch', batch).status, 200)
                        self.assertLessEqual(statuses, {201, 204, 507})
                        self.assertEqual(run(PST, 'check', path).returncode, 0)
                        self.assertEqual(service.end(), 0, service.said())
                        self.assertNotIn('system call', service.said())

    @unittest.skipIf(os.geteuid(), 'only root can become another user')
    def test_rights_are_given_up(self):
        nobody = pwd.getpwnam('nobody')
        tokens = self.folder / 'tokens'
        tokens.write_text('0123456789abcdef rw\n')
        tokens.chmod(0o640)
        with self.assertRaises(NotReady) as failed:  # it could not read them again
            Service(PST, self.path, '--user', 'nobody', '--token-file', tokens)
        self.assertIn('cannot read it again', failed.exception.said)
        os.chown(tokens, 0, nobody.pw_gid)
        with UnixService(PST, self.path, self.place, '--user', 'nobody', '--token-file', tokens) as service:
            status = status_of(service.pid)
            self.assertEqual(status['Uid'].split(), [str(nobody.pw_uid)] * 4)
            self.assertEqual(status['Gid'].split(), [str(nobody.pw_gid)] * 4)
            self.assertLessEqual(set(status['Groups'].split()), {str(nobody.pw_gid)})
            for word in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb', 'CapBnd'):
                self.assertEqual(int(status[word], 16), 0, word)
            self.assertEqual(self.place.stat().st_uid, nobody.pw_uid)
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/a', b'x', 'Authorization: Bearer 0123456789abcdef\r\n').status, 201)
            service.process.send_signal(signal.SIGHUP)
            running.wait_until(lambda: 'tokens read again' in service.said(), 'the tokens are read again')
            self.assertTrue(info(PST, self.path)['live'])
            self.assertEqual(service.end(), 0, service.said())
        check(PST, self.path)

    def test_a_user_that_cannot_be_had(self):
        with self.assertRaises(NotReady) as failed:
            Service(PST, self.path, '--user', 'no-such-user')
        self.assertIn('no user no-such-user', failed.exception.said)


if __name__ == '__main__':
    running.main()
