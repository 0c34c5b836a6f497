# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP interface over real sockets: every route with every status it has, on shm and on file."""
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import time
import unittest
from urllib.parse import quote, unquote_to_bytes

from running import ENV, Service, check, create, entries, folder_on, main, parse_metrics, request, take_pst

PST = take_pst()
MIB = 1 << 20


class Api:
    """With `medium` in a subclass. One service for all; each test uses names of its own."""

    workers = 1

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(folder_on(cls.medium))
        cls.region = create(PST, cls.folder / 'region', '128M', cls.medium)
        cls.service = cls.enterClassContext(Service(PST, cls.region, '--workers', cls.workers))

    @classmethod
    def tearDownClass(cls):
        # Whatever was asked, the service lived through it and left a sound region.
        status = cls.service.end()
        assert status == 0, cls.service.said()
        check(PST, cls.region)

    def setUp(self):
        self.client = self.enterContext(self.service.client())
        self.name = self.id().rpartition('.')[2]

    def ask(self, status, method, path, body=None, fields=''):
        reply = self.client.ask(method, path, body, fields)
        self.assertIsNotNone(reply, f'{method} {path[:80]}: closed')
        self.assertEqual(reply.status, status, (method, path[:80], reply))
        return reply

    # --- routes ---

    def test_the_life_of_a_key(self):
        key = f'/kv/{self.name}'
        self.ask(404, 'GET', key)
        self.ask(404, 'DELETE', key)
        self.assertEqual(self.ask(201, 'PUT', key, b'one').body, b'')
        self.assertEqual(self.ask(200, 'GET', key).body, b'one')
        self.assertEqual(self.ask(204, 'PUT', key, b'two, and longer').body, b'')
        self.assertEqual(self.ask(200, 'GET', key).body, b'two, and longer')
        head = self.ask(200, 'HEAD', key)
        self.assertEqual((head.body, head.fields['content-length']), (b'', '15'))
        self.assertEqual(self.ask(204, 'DELETE', key).body, b'')
        self.ask(404, 'GET', key)
        self.ask(404, 'HEAD', key)
        self.ask(404, 'DELETE', key)
        self.ask(201, 'PUT', key, b'three')

    def test_the_life_of_a_stream(self):
        stream = f'/log/{self.name}'
        self.ask(404, 'GET', f'{stream}/1')
        for n in range(1, 40):
            reply = self.ask(201, 'POST', stream, b'x' * n * 37)
            self.assertEqual(json.loads(reply.body), {'seq': n})
            self.assertEqual(reply.fields['content-type'], 'application/json')
        for n in range(1, 40):
            self.assertEqual(self.ask(200, 'GET', f'{stream}/{n}').body, b'x' * n * 37)
        self.assertEqual(self.ask(200, 'HEAD', f'{stream}/5').fields['content-length'], str(5 * 37))
        for nothing in '40', '0', '01', '-1', '+1', '1x', '', '1/', '9' * 19, '9' * 40, '1%20':
            self.ask(404, 'GET', f'{stream}/{nothing}')

    def test_a_stream_and_a_key_of_one_name_are_two_things(self):
        self.ask(201, 'PUT', '/kv/both', b'key')
        self.ask(201, 'POST', '/log/both', b'entry')
        self.assertEqual(self.ask(200, 'GET', '/kv/both').body, b'key')
        self.assertEqual(self.ask(200, 'GET', '/log/both/1').body, b'entry')

    def test_methods_that_a_resource_does_not_have(self):
        for path, methods in (('/kv/k', 'POST PATCH TRACE'), ('/log/s', 'PUT PATCH'), ('/kv', 'PUT POST'), ('/log', 'PUT POST DELETE'),
                              ('/log/s/1', 'PUT POST DELETE PATCH'), ('/metrics', 'PUT POST DELETE')):
            for method in methods.split():
                reply = self.ask(405, method, path, b'' if method in ('PUT', 'POST') else None)
                allowed = set(reply.fields['allow'].split(', '))
                self.assertTrue(allowed and not allowed & set(methods.split()), (method, path, allowed))
        self.ask(200, 'GET', '/metrics')  # the connection went on all the time

    def test_what_is_not_there(self):
        for path in '/', '/kv/', '/log/', '/log//1', '/metrics/', '/metricsx', '/KV/x', '/../kv/x', '/x':
            self.ask(404, 'GET', path)
        self.ask(404, 'PUT', '/elsewhere', b'body that is dropped')
        self.ask(400, 'GET', '/kv/x?version=1')
        self.ask(200, 'GET', '/metrics?x=1')

    # --- keys ---

    def test_keys_of_all_bytes(self):
        names = [b'', b'a%00', b'a%00b', b'%00', b'a/b', b'a//b', b'/', b'%2F%2F', b'a%2fb/c', b'.', b'..', b'a%20b', b'%25',
                 b'%2500', 'Straße/日本'.encode(), b'%FF%FE', b'~!$&\'()*+,;=:@', b'%C3%9F']
        # In a request, bytes beyond ASCII stand percent-encoded.
        names = [b''.join(b'%%%02X' % c if c > 126 else bytes([c]) for c in n) for n in names]
        names += [b'%%%02x' % c for c in range(256)]
        decoded = [re.sub(rb'%(..)', lambda m: bytes([int(m[1], 16)]), n) for n in names]
        values = {}
        for name, key in zip(names, decoded):
            if not key:
                continue
            values[key] = b'value of ' + name
            self.ask(204 if key in list(values)[:-1] else 201, 'PUT', f'/kv/all/{name.decode()}', values[key])
        for name, key in zip(names, decoded):
            if key:
                self.assertEqual(self.ask(200, 'GET', f'/kv/all/{name.decode()}').body, values[key], name)
        # The same key, written otherwise.
        self.assertEqual(self.ask(200, 'GET', '/kv/%61%6c%6C%2Fa%2Fb').body, values[b'a/b'])
        self.assertEqual(self.ask(200, 'GET', '/kv/all/%61%00').body, values[b'a\0'])
        for bad in '%', '%1', '%zz', 'a%0', '%%00', '%-1', '%+1':
            self.ask(400, 'GET', f'/kv/all/{bad}')
            self.ask(400, 'PUT', f'/kv/all/{bad}', b'x')

    def test_streams_of_all_names(self):
        for name in '%00', 'a%00', 'a%2Fb', '%2f', '1', '%C3%9F', '%25':
            self.assertEqual(self.ask(201, 'POST', f'/log/{name}', name.encode()).body, b'{"seq":1}\n')
        for name in '%00', 'a%00', 'a%2Fb', '%2f', '1', '%C3%9F', '%25':
            self.assertEqual(self.ask(200, 'GET', f'/log/{name}/1').body, name.encode())

    def test_the_longest_name(self):
        for resource, method in ('/kv/', 'PUT'), ('/log/', 'POST'):
            for unit in 'k', '%41', '%00':
                self.ask(201, method, resource + unit * 1024, b'longest')
                self.ask(400, method, resource + unit * 1025, b'too long')
                path = resource + unit * 1024 + ('/1' if method == 'POST' else '')
                self.assertEqual(self.ask(200, 'GET', path).body, b'longest')
        self.ask(400, 'GET', '/kv/' + 'k' * 1025)
        self.ask(400, 'DELETE', '/kv/' + 'k' * 1025)
        self.ask(200, 'GET', '/kv/' + 'k' * 1024)

    # --- bodies ---

    def test_bodies_of_all_sizes(self):
        noise = os.urandom(1 << 20)
        sizes = [0, 1, 63, 64, 65, 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537,
                 300001, 1 << 20]
        for n, size in enumerate(sizes):
            self.ask(201, 'PUT', f'/kv/{self.name}{size}', noise[n:n + size])
            self.ask(201, 'POST', f'/log/{self.name}', noise[n:n + size])
        for n, size in enumerate(sizes):
            self.assertEqual(self.ask(200, 'GET', f'/kv/{self.name}{size}').body, noise[n:n + size])
            self.assertEqual(self.ask(200, 'GET', f'/log/{self.name}/{n + 1}').body, noise[n:n + size])

    def test_a_body_of_16_mib_and_not_a_byte_more(self):
        body = os.urandom(16 * MIB)
        key = f'/kv/{self.name}'
        self.ask(201, 'PUT', key, body)
        self.assertEqual(self.ask(200, 'GET', key).body, body)
        self.ask(204, 'DELETE', key)
        self.client.send(b'PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % (key.encode(), 16 * MIB + 1))
        self.assertEqual(self.client.reply().status, 413)
        self.assertTrue(self.client.is_closed())
        for size in '18446744073709551615', '18446744073709551616', '9' * 60:
            with self.service.client() as c:
                c.send(f'PUT {key} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n'.encode())
                self.assertIn(c.reply().status, (400, 413))
                self.assertTrue(c.is_closed())
        with self.service.client() as c:
            self.assertEqual(c.ask('GET', key).status, 404)

    def test_a_body_where_none_belongs_is_dropped(self):
        self.ask(404, 'GET', f'/kv/{self.name}', b'GET /kv/smuggled HTTP/1.1\r\n\r\n')
        self.ask(404, 'DELETE', f'/kv/{self.name}', b'x' * 10000)
        self.ask(404, 'GET', f'/kv/{self.name}')

    def test_expect_100_continue(self):
        fields = 'Expect: 100-continue\r\n'
        head = request('PUT', f'/kv/{self.name}', b'', fields).replace(b'Length: 0', b'Length: 5')
        self.client.send(head)
        self.assertEqual(self.client.reply().status, 100)
        self.client.send(b'hello')
        self.assertEqual(self.client.reply().status, 201)
        # Refused before it was sent.
        self.client.send(head.replace(b'Length: 5', b'Length: 99999999'))
        self.assertEqual(self.client.reply().status, 413)
        self.assertTrue(self.client.is_closed())
        with self.service.client() as c:
            c.send(b'PUT /kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\n')
            self.assertEqual(c.reply().status, 417)

    # --- connections ---

    def test_what_is_not_http_gets_400_and_an_end(self):
        good = b'GET /kv/x HTTP/1.1\r\nHost: x\r\n'
        wrong = {
            'no host': b'GET /kv/x HTTP/1.1\r\n\r\n',
            'two hosts': good + b'Host: y\r\n\r\n',
            'bare line feed': b'GET /kv/x HTTP/1.1\nHost: x\n\n',
            'no version': b'GET /kv/x\r\n\r\n',
            'two spaces': b'GET  /kv/x HTTP/1.1\r\nHost: x\r\n\r\n',
            'space before colon': good + b'Content-Length : 1\r\n\r\n',
            'folded field': good + b' folded\r\n\r\n',
            'nul in a field': good + b'X: a\0b\r\n\r\n',
            'nul in the target': b'GET /kv/\0 HTTP/1.1\r\nHost: x\r\n\r\n',
            'raw utf-8 in the target': 'GET /kv/ß HTTP/1.1\r\nHost: x\r\n\r\n'.encode(),
            'two lengths': good + b'Content-Length: 1\r\nContent-Length: 1\r\n\r\n',
            'list of lengths': good + b'Content-Length: 1, 1\r\n\r\n',
            'negative length': good + b'Content-Length: -1\r\n\r\n',
            'signed length': good + b'Content-Length: +1\r\n\r\n',
            'length in words': good + b'Content-Length: five\r\n\r\n',
            'empty length': good + b'Content-Length: \r\n\r\n',
            'length and coding': good + b'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
            'tls': bytes.fromhex('16030100f8010000f40303') + bytes(200),
            'noise': b'\x80' * 300,
            'relative target': b'GET kv/x HTTP/1.1\r\nHost: x\r\n\r\n',
        }
        for name, sent in wrong.items():
            with self.subTest(name), self.service.client() as c:
                # What follows is never looked at.
                c.send(sent + request('PUT', f'/kv/{self.name}', b'smuggled'))
                self.assertEqual(c.reply().status, 400)
                self.assertTrue(c.is_closed())
        for name, sent, status in (('version 2', b'GET /kv/x HTTP/2.0\r\nHost: x\r\n\r\n', 505),
                                   ('compressed', good + b'Transfer-Encoding: gzip, chunked\r\n\r\n', 501),
                                   ('a method of another world', b'BREW /kv/x HTTP/1.1\r\nHost: x\r\n\r\n', 501),
                                   ('long line', b'GET /kv/' + b'k' * 70000 + b' HTTP/1.1\r\n\r\n', 414),
                                   ('long field', good + b'X: ' + b'x' * 200000 + b'\r\n\r\n', 431),
                                   ('many fields', good + b'X: x\r\n' * 20000 + b'\r\n', 431)):
            with self.subTest(name), self.service.client() as c:
                c.send(sent)
                self.assertEqual(c.reply().status, status)
                self.assertTrue(c.is_closed())
        self.ask(404, 'GET', f'/kv/{self.name}')

    def test_connections_are_kept_or_closed_as_asked(self):
        for _ in range(200):
            self.ask(404, 'GET', '/kv/none')
        reply = self.ask(404, 'GET', '/kv/none', fields='Connection: close\r\n')
        self.assertEqual(reply.fields['connection'], 'close')
        self.assertTrue(self.client.is_closed())
        with self.service.client() as c:
            c.send(b'GET /kv/none HTTP/1.0\r\n\r\n')
            self.assertEqual(c.reply().status, 404)
            self.assertTrue(c.is_closed())
        with self.service.client() as c:
            for _ in range(3):
                c.send(b'GET /kv/none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
                self.assertEqual(c.reply().fields['connection'].lower(), 'keep-alive')

    def test_chunked_bodies(self):
        body = os.urandom(300000)
        for size in 5000, 65536, len(body):
            chunks = [body[at:at + size] for at in range(0, len(body), size)]
            with self.service.client() as c:
                c.send(f'PUT /kv/{self.name}{size} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'.encode())
                for chunk in chunks:
                    c.send(b'%x\r\n%b\r\n' % (len(chunk), chunk))
                c.send(b'0\r\n\r\n')
                self.assertEqual(c.reply().status, 201)
                self.assertEqual(c.ask('GET', f'/kv/{self.name}{size}').body, body)

    def test_one_byte_chunks_are_copied_together(self):
        body = os.urandom(40000)
        before = self.service.metrics()
        with self.service.client() as c:
            c.send(f'PUT /kv/{self.name} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'.encode() +
                   b''.join(b'1\r\n%c\r\n' % byte for byte in body) + b'0\r\n\r\n')
            self.assertEqual(c.reply().status, 201)
            self.assertEqual(c.ask('GET', f'/kv/{self.name}').body, body)
        after = self.service.metrics()
        copied = 'paste_copied_bytes_total{cause="coalesce"}'
        self.assertGreaterEqual(after[copied] - before[copied], 39000)
        # 240,000 bytes were received; what stays is the value.
        used = 'paste_store_buffers_live'
        self.assertLessEqual((after[used] - before[used]) * 2048, 3 * len(body))

    def test_ranges_and_conditions(self):
        body = os.urandom(200000)
        tag = self.ask(201, 'PUT', f'/kv/{self.name}', body).fields['etag']
        path = f'/kv/{self.name}'
        for first, last in (0, 0), (1, 5000), (4095, 4096), (199999, 199999), (150000, 500000):
            reply = self.ask(206, 'GET', path, fields=f'Range: bytes={first}-{last}\r\n')
            self.assertEqual(reply.body, body[first:last + 1])
            self.assertEqual(reply.fields['content-range'], f'bytes {first}-{min(last, 199999)}/200000')
        self.assertEqual(self.ask(206, 'GET', path, fields='Range: bytes=-77777\r\n').body, body[-77777:])
        self.assertEqual(self.ask(416, 'GET', path, fields='Range: bytes=200000-\r\n').fields['content-range'],
                         'bytes */200000')
        self.assertEqual(self.ask(304, 'GET', path, fields=f'If-None-Match: {tag}\r\n').fields['etag'], tag)
        self.ask(412, 'PUT', path, b'x', fields='If-None-Match: *\r\n')
        new = self.ask(204, 'PUT', path, b'x', fields=f'If-Match: "0", {tag}\r\n').fields['etag']
        self.assertNotEqual(new, tag)
        self.ask(412, 'DELETE', path, fields=f'If-Match: {tag}\r\n')
        self.assertEqual(self.ask(200, 'GET', path, fields=f'Range: bytes=0-0\r\nIf-Range: {tag}\r\n').body, b'x')
        self.ask(204, 'DELETE', path, fields=f'If-Match: {new}\r\n')

    def test_lists(self):
        names = sorted(bytes(random.choices(range(256), k=random.randrange(1, 30))) for _ in range(500))
        names = sorted(set(names))
        for _ in self.client.ask_many(('PUT', f'/kv/{self.name}/{quote(name)}', name) for name in names):
            pass
        found, after = [], ''
        while after is not None:
            path = f'/kv?prefix={self.name}/&limit=77' + (f'&after={after}' if after else '')
            page = json.loads(self.ask(200, 'GET', path).body)
            found += page['keys']
            self.assertLessEqual(len(page['keys']), 77)
            after = page['next']
        prefix = f'{self.name}/'.encode()
        self.assertEqual([unquote_to_bytes(key['key']) for key in found], [prefix + name for name in names])
        for key in found[::50]:
            reply = self.ask(200, 'GET', '/kv/' + key['key'])
            self.assertEqual((reply.fields['etag'], len(reply.body)), (f'"{key["version"]}"', key['length']))
        self.assertEqual(json.loads(self.ask(200, 'DELETE', f'/kv?prefix={self.name}/').body), {'deleted': len(names)})
        self.assertEqual(json.loads(self.ask(200, 'GET', f'/kv?prefix={self.name}/').body), {'keys': [], 'next': None})

    def test_ranges_of_entries(self):
        stream = f'/log/{self.name}'
        bodies = [os.urandom(random.choice((0, 3, 64, 65, 1000, 5000, 70000, 300000))) for _ in range(60)]
        for sequence, body in enumerate(bodies, 1):
            self.ask(201, 'POST', f'{stream}?expect={sequence}', body)
        whole = list(enumerate(bodies, 1))
        self.ask(412, 'POST', f'{stream}?expect=7', b'x')
        reply = self.ask(200, 'GET', stream)
        self.assertEqual(entries(reply.body), whole)
        self.assertEqual((reply.fields['pst-first'], reply.fields['pst-next']), ('1', '61'))
        self.assertEqual(entries(self.ask(200, 'GET', f'{stream}?from=40&limit=5').body), whole[39:44])
        self.ask(204, 'DELETE', f'{stream}?before=31')
        self.assertEqual(entries(self.ask(200, 'GET', stream).body), whole[30:])
        self.ask(404, 'GET', f'{stream}/30')
        self.assertEqual(self.ask(200, 'GET', f'{stream}/31').body, bodies[30])
        streams = json.loads(self.ask(200, 'GET', f'/log?prefix={self.name}').body)['streams']
        self.assertEqual(streams, [{'stream': self.name, 'first': 31, 'next': 61}])
        self.ask(404, 'GET', f'{stream}none?from=1')

    def test_following(self):
        stream = f'/log/{self.name}'
        with self.service.client() as follower:
            began = time.monotonic()
            follower.send(request('GET', f'{stream}?follow=20'))
            time.sleep(0.1)
            self.ask(201, 'POST', stream, b'news')
            self.assertEqual(entries(follower.reply().body), [(1, b'news')])
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(entries(follower.ask('GET', f'{stream}?from=2&follow=1').body), [])
            self.assertGreater(time.monotonic() - began, 1)

    def test_a_wait_ends_when_it_is_over(self):
        """The loop sleeps until then, though nothing happens. (The best of some: this machine may be busy.)"""
        late = []
        with self.service.client() as follower:
            while not late or (min(late) > .1 and len(late) < 6):
                began = time.monotonic()
                self.ask(404, 'GET', f'/log/{self.name}')
                self.assertEqual(entries(follower.ask('GET', f'/log/{self.name}?follow=1').body), [])
                late.append(time.monotonic() - began - 1)
        self.assertGreaterEqual(min(late), 0)
        self.assertLess(min(late), .1)

    def test_batches(self):
        values = {f'{self.name}{n}': os.urandom((0, 10, 64, 65, 2000, 9000)[n % 6]) for n in range(24)}
        body = b''.join(b'put %b %d\n%b\n' % (name.encode(), len(value), value) for name, value in values.items())
        body += b''.join(b'append %b 3\nabc\n' % self.name.encode() for _ in range(3))
        reply = json.loads(self.ask(200, 'POST', '/batch', body, fields=f'Idempotency-Key: {self.name}\r\n').body)
        self.assertEqual([r.get('seq') for r in reply['results'][24:]], [1, 2, 3])
        for (name, value), result in zip(values.items(), reply['results']):
            got = self.ask(200, 'GET', f'/kv/{name}')
            self.assertEqual((got.body, got.fields['etag']), (value, f'"{result["version"]}"'))
        again = self.ask(200, 'POST', '/batch', body, fields=f'Idempotency-Key: {self.name}\r\n')
        self.assertEqual((again.fields['pst-repeated'], json.loads(again.body)), ('true', reply))
        self.assertEqual(len(entries(self.ask(200, 'GET', f'/log/{self.name}').body)), 3)
        one = [b'put %b 1\nx\n' % name for name in (b'one', b'other')]  # the key is of the call, whatever it names
        self.ask(200, 'POST', '/batch', one[0], fields=f'Idempotency-Key: {self.name}1\r\n')
        self.ask(422, 'POST', '/batch', one[1], fields=f'Idempotency-Key: {self.name}1\r\n')
        self.ask(404, 'GET', '/kv/other')
        name, version = f'{self.name}1', reply['results'][1]['version']
        self.ask(204, 'PUT', f'/kv/{name}', b'other')
        failed = self.ask(412, 'POST', '/batch', f'put {self.name}2 1\nx\ndelete {name} if-match={version}\n'.encode())
        self.assertEqual([f['change'] for f in json.loads(failed.body)['failed']], [1])
        self.assertEqual(self.ask(200, 'GET', f'/kv/{self.name}2').body, values[f'{self.name}2'])

    def test_batches_that_are_refused(self):
        many = [b'put m%d 0\n\n' % n for n in range(4097)]
        for status, body, key, change, why in (
                (400, b'', '', 0, 'empty'),
                (400, b'put a 0\n\nput b 0\n\ndelete %61\n', '', 2, 'twice'),
                (413, b''.join(many), '', 4096, '4096'),
                (413, b''.join(many[:4096]), '', 4096, 'larger'),
                (413, b''.join(many[:257]), f'Idempotency-Key: {self.name}\r\n', 257, '256')):
            refused = json.loads(self.ask(status, 'POST', '/batch', body, fields=key).body)
            self.assertEqual(refused['change'], change)
            self.assertIn(why, refused['error'])
        self.ask(404, 'GET', '/kv/m1')

    def test_what_found_nothing_is_repeated_too(self):
        path, key = f'/kv/{self.name}', f'Idempotency-Key: {self.name}\r\n'
        self.assertNotIn('pst-repeated', self.ask(404, 'DELETE', path, fields=key).fields)
        self.ask(201, 'PUT', path, b'x')
        self.assertEqual(self.ask(404, 'DELETE', path, fields=key).fields['pst-repeated'], 'true')
        self.ask(200, 'GET', path)

    def test_expiry(self):
        path = f'/kv/{self.name}'
        self.ask(201, 'PUT', path, b'x', fields='PST-TTL: 2\r\n')
        put = time.monotonic()
        self.assertIn(self.ask(200, 'GET', path).fields['pst-ttl'], ('1', '2'))
        while self.client.ask('GET', path).status == 200:
            self.assertLess(time.monotonic() - put, 4)
            time.sleep(0.05)
        self.assertGreater(time.monotonic() - put, 1.9)
        self.assertEqual(json.loads(self.ask(200, 'GET', f'/kv?prefix={self.name}').body)['keys'], [])
        self.ask(404, 'DELETE', path)
        self.ask(201, 'PUT', path, b'y', fields='If-None-Match: *\r\n')

    def test_retries(self):
        stream, field = f'/log/{self.name}', f'Idempotency-Key: {self.name}\r\n'
        self.assertEqual(self.ask(201, 'POST', stream, b'one', fields=field).body, b'{"seq":1}\n')
        again = self.ask(201, 'POST', stream, b'one', fields=field)
        self.assertEqual((again.body, again.fields['pst-repeated']), (b'{"seq":1}\n', 'true'))
        self.ask(201, 'POST', f'{stream}?expect=2', b'two', fields=f'Idempotency-Key: {self.name}2\r\n')
        self.ask(201, 'POST', f'{stream}?expect=2', b'two', fields=f'Idempotency-Key: {self.name}2\r\n')
        self.ask(412, 'POST', f'{stream}?expect=2', b'two', fields=f'Idempotency-Key: {self.name}3\r\n')
        field = f'Idempotency-Key: {self.name}\r\nIf-None-Match: *\r\n'
        tag = self.ask(201, 'PUT', f'/kv/{self.name}', b'x', fields=field).fields['etag']
        self.assertEqual(self.ask(201, 'PUT', f'/kv/{self.name}', b'x', fields=field).fields['etag'], tag)

    # --- clients that are not ours ---

    def test_python_http_client(self):
        c = http.client.HTTPConnection('127.0.0.1', self.service.port, timeout=20)
        self.addCleanup(c.close)

        def ask(status, method, path, body=None):
            c.request(method, path, body)
            reply = c.getresponse()
            content = reply.read()
            self.assertEqual(reply.status, status, content)
            return content

        c.request('PUT', f'/kv/{self.name}chunked', iter([b'one ', b'two ', b'three']), encode_chunked=True)
        self.assertEqual(c.getresponse().read(), b'')
        self.assertEqual(ask(200, 'GET', f'/kv/{self.name}chunked'), b'one two three')
        big = os.urandom(3 * MIB + 1)
        ask(201, 'PUT', '/kv/py', big)
        self.assertEqual(ask(200, 'GET', '/kv/py'), big)
        ask(204, 'PUT', '/kv/py', b'')
        self.assertEqual(ask(200, 'GET', '/kv/py'), b'')
        ask(405, 'PATCH', '/kv/py', b'x')
        self.assertEqual(ask(201, 'POST', '/log/py', b'e'), b'{"seq":1}\n')
        ask(204, 'DELETE', '/kv/py')
        ask(404, 'GET', '/kv/py')

    @unittest.skipUnless(shutil.which('curl'), 'curl is not installed')
    def test_curl(self):
        def curl(*args, data=None):
            r = subprocess.run(['curl', '-sS', '-m', '20', '-w', '\n%{http_code}', *args], input=data, env=ENV,
                               capture_output=True, check=True)
            body, _, status = r.stdout.rpartition(b'\n')
            return int(status), body

        url = self.service.url
        big = os.urandom(5 * MIB)  # curl waits for 100 before it sends that much
        self.assertEqual(curl('-T', '-', '-H', 'Transfer-Encoding:', '-H', f'Content-Length: {len(big)}',
                              f'{url}/kv/curl', data=big), (201, b''))
        self.assertEqual(curl(f'{url}/kv/curl'), (200, big))
        self.assertEqual(curl('-X', 'PUT', '--data-binary', '@-', f'{url}/kv/curl', data=big[:9]), (204, b''))
        self.assertEqual(curl('--data-binary', 'entry', f'{url}/log/curl'), (201, b'{"seq":1}\n'))
        self.assertEqual(curl(f'{url}/log/curl/1'), (200, b'entry'))
        self.assertEqual(curl('-I', f'{url}/kv/curl')[0], 200)
        self.assertEqual(curl('-X', 'DELETE', f'{url}/kv/curl'), (204, b''))
        self.assertEqual(curl(f'{url}/kv/curl')[0], 404)
        # Three on one connection.
        self.assertEqual(curl(f'{url}/kv/x', f'{url}/kv/y', f'{url}/log/curl/1')[0], 200)

    # --- counters ---

    def test_metrics(self):
        reply = self.ask(200, 'GET', '/metrics')
        self.assertEqual(reply.fields['content-type'], 'text/plain; version=0.0.4')
        before = parse_metrics(reply.body.decode())
        for n in range(10):
            self.ask(201, 'PUT', f'/kv/{self.name}{n}', b'x' * 10000)
            self.ask(200, 'GET', f'/kv/{self.name}{n}')
            self.ask(201, 'POST', f'/log/{self.name}', b'x' * 20)
            self.ask(204, 'DELETE', f'/kv/{self.name}{n}')
            self.ask(404, 'GET', f'/kv/{self.name}{n}')
        after = parse_metrics(self.ask(200, 'GET', '/metrics').body.decode())
        grown = {name: after[name] - before[name] for name in before if name in after}
        for name, by in (('paste_store_puts_total', 10), ('paste_store_appends_total', 10), ('paste_store_deletes_total', 10),
                         ('paste_store_entries', 10), ('paste_store_keys', 0), ('paste_http_requests_total', 51),
                         ('paste_http_replies_total{code="4xx"}', 10), ('paste_copies_total{cause="tiny"}', 10)):
            self.assertEqual(grown[name], by, name)
        self.assertGreaterEqual(grown['paste_store_acknowledged_bytes_total'], 100200)
        self.assertGreaterEqual(grown['paste_media_written_bytes_total'], 100200)
        for name in before:
            if name.split('{')[0].endswith('_total'):
                self.assertGreaterEqual(after[name], before[name], name)
        info = [name for name in after if name.startswith('paste_store_info{')]
        self.assertEqual(len(info), 1)
        self.assertIn(f'medium="{self.medium}"', info[0])


class OnShm(Api, unittest.TestCase):
    medium = 'shm'


class OnFile(Api, unittest.TestCase):
    medium = 'file'


class OnFileWithTwoWorkers(Api, unittest.TestCase):
    medium, workers = 'file', 2


class SmallBodies(unittest.TestCase):
    def test_max_body_is_what_was_asked_for(self):
        with folder_on('shm') as folder:
            region = create(PST, folder / 'region', '16M')
            with Service(PST, region, '--max-body', 1000) as service, service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/a', b'x' * 1000).status, 201)
                self.assertEqual(c.ask('PUT', '/kv/b', b'x' * 1001).status, 413)
                self.assertEqual(c.ask('POST', '/log/s', b'x' * 1001).status, 413)
                self.assertEqual(c.ask('GET', '/kv/a').body, b'x' * 1000)  # a short one is dropped, the connection goes on
                self.assertEqual(c.ask('GET', '/kv/b').status, 404)
                c.send(request('PUT', '/kv/b', b'x' * 100000))
                self.assertEqual(c.reply().status, 413)
                self.assertTrue(c.is_closed())


if __name__ == '__main__':
    main()
