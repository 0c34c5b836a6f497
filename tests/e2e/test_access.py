# SPDX-License-Identifier: BSD-2-Clause
"""Tokens: nothing is answered without one, however the request is wrapped; what is in the file, and reading it again."""
import os
import signal
import unittest

import running
from running import Client, NotReady, Service, create, folder_on, request, run, wait_until

PST = running.take_pst()
WRITER, READER = 'writer-token-0123456789', 'reader.token~0123456789='
TOKENS = f'# for the tests\n{WRITER} rw deploy\n{READER} ro\n'


def bearer(token):
    return f'Authorization: Bearer {token}\r\n'


class Access(unittest.TestCase):
    def setUp(self):
        folder = folder_on('shm')
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.path = create(PST, self.folder / 'region', '16M')
        self.file = self.folder / 'tokens'
        self.write(TOKENS)

    def write(self, text, mode=0o600):
        self.file.write_text(text)
        self.file.chmod(mode)

    def serve(self, *args, **more):
        return Service(PST, self.path, '--token-file', self.file, *args, **more)

    def test_rights(self):
        with self.serve() as service, service.client() as c:
            for method, path, none, reader, writer in (
                    ('PUT', '/kv/a', 401, 403, 201), ('GET', '/kv/a', 401, 200, 200), ('HEAD', '/kv/a', 401, 200, 200),
                    ('POST', '/log/s', 401, 403, 201), ('GET', '/log/s/1', 401, 200, 200), ('GET', '/metrics', 401, 200, 200),
                    ('HEAD', '/metrics', 401, 200, 200), ('OPTIONS', '/kv/a', 401, 204, 204), ('GET', '/nope', 401, 404, 404),
                    ('DELETE', '/kv/a', 401, 403, 204), ('GET', '/healthz', 200, 200, 200), ('HEAD', '/healthz', 200, 200, 200),
                    ('GET', '/readyz', 200, 200, 200)):
                body = b'x' if method in ('PUT', 'POST') else None
                for fields, status in (('', none), (bearer(WRITER[:-1]), none), (bearer(WRITER + 'x'), none),
                                       (f'Authorization: Basic {WRITER}\r\n', none), (f'X-Token: {WRITER}\r\n', none),
                                       (bearer(READER), reader), (bearer(WRITER), writer)):
                    reply = c.ask(method, path, body, fields)
                    self.assertEqual(reply.status, status, (method, path, fields))
                    self.assertEqual('www-authenticate' in reply.fields, status in (401, 403))
            metrics = running.parse_metrics(c.ask('GET', '/metrics', None, bearer(READER)).body.decode())
            self.assertEqual(metrics['paste_http_token_requests_total{name="deploy"}'], 10)
            self.assertEqual(metrics['paste_http_denied_total{code="403"}'], 3)
            self.assertEqual(service.end(), 0)
        self.assertNotIn(WRITER, service.said())

    def test_no_request_inherits_anothers_right(self):
        """Pipelined, behind an authorized one, in its body, over many connections at once."""
        with self.serve() as service:
            with service.client() as c:
                hidden = request('PUT', '/kv/hidden', b'x')
                wanted = []
                for _ in range(50):
                    for method, path, body, fields, status in (
                            ('PUT', '/kv/a', hidden, bearer(WRITER), (201, 204)), ('GET', '/kv/a', None, '', (401,)),
                            ('GET', '/healthz', None, bearer(WRITER), (200,)), ('PUT', '/kv/b', b'x' * 3000, '', (401,)),
                            ('GET', '/kv/a', None, bearer(READER), (200,)), ('DELETE', '/kv/a', None, bearer(READER), (403,)),
                            ('GET', '/metrics', None, '', (401,))):
                        c.send(request(method, path, body, fields))
                        wanted.append((method, status))
                for method, status in wanted:
                    self.assertIn(c.reply(method).status, status)
                self.assertEqual(c.ask('GET', '/kv/hidden', None, bearer(READER)).status, 404)
                self.assertEqual(c.ask('GET', '/kv/b', None, bearer(READER)).status, 404)
            # A body that is chunked, waits for 100, or is refused for its size, is refused for want of a token first.
            for fields in ('Transfer-Encoding: chunked\r\n', 'Expect: 100-continue\r\nContent-Length: 5\r\n',
                           'Content-Length: 99999999999\r\n'):
                with service.client() as c:
                    c.send(f'PUT /kv/a HTTP/1.1\r\nHost: x\r\n{fields}\r\n'.encode())
                    self.assertEqual(c.reply().status, 401, fields)
            # Two fields, folded ones, and a name that only looks alike.
            for fields, status in ((bearer(READER) + bearer(WRITER), 400), (f'Authorization: Bearer\r\n {WRITER}\r\n', 400),
                                   (f'Authorization : Bearer {WRITER}\r\n', 400), (f'Authorization: Bearer {WRITER}, x\r\n', 401),
                                   (f'Proxy-Authorization: Bearer {WRITER}\r\n', 401)):
                with service.client() as c:
                    self.assertEqual(c.ask('PUT', '/kv/a', b'x', fields).status, status, fields)
            self.assertEqual(service.end(), 0)

    def test_the_file_is_read_again(self):
        with self.serve() as service, service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/a', None, bearer(READER)).status, 404)
            other = 'x' * 128
            self.write(f'{other} ro\n')
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: 'tokens read again' in service.said(), 'it is read')
            self.assertEqual(c.ask('GET', '/kv/a', None, bearer(READER)).status, 401)
            self.assertEqual(c.ask('GET', '/kv/a', None, bearer(other)).status, 404)
            for text, mode in (('', 0o600), ('too-short rw\n', 0o600), (TOKENS, 0o644)):
                told = service.said().count('no good')
                self.write(text, mode)
                service.process.send_signal(signal.SIGHUP)
                wait_until(lambda: service.said().count('no good') > told, 'that is told')
                self.assertEqual(c.ask('GET', '/kv/a', None, bearer(other)).status, 404)
            self.assertEqual(service.end(), 0)

    def test_files_that_will_not_do(self):
        cases = [('', 0o600, 'no token'), ('short rw\n', 0o600, 'line 1'), (TOKENS, 0o604, 'chmod'), (TOKENS, 0o620, 'chmod'),
                 (f'{WRITER} rw\n{WRITER} ro\n', 0o600, 'line 2')]
        for text, mode, said in cases:
            self.write(text, mode)
            with self.assertRaises(NotReady) as failed:
                self.serve()
            self.assertEqual(failed.exception.status, 1)
            self.assertIn(said, failed.exception.said)
            self.assertNotIn(WRITER, failed.exception.said)
        self.file.unlink()
        with self.assertRaises(NotReady) as failed:
            self.serve()
        self.assertIn(os.strerror(2), failed.exception.said)
        self.write(TOKENS, 0o640)
        with self.serve() as service:
            self.assertEqual(service.end(), 0)


if __name__ == '__main__':
    running.main()
