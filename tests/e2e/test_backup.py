# SPDX-License-Identifier: BSD-2-Clause
"""`pst dump`, `restore` and `grow`: from any medium into any other, online at one moment, and what is damaged on the way."""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import running
from running import ENV, MEDIA, Bench, Service, check, create, folder_on, info, prove, run

PST = running.take_pst()
HEADER = 168


def ok(*args, status=0, data=None):
    r = subprocess.run([PST, *map(str, args)], input=data, capture_output=True, env=ENV, timeout=120)
    assert r.returncode == status, (args, r.returncode, r.stderr)
    return r


class Backup(unittest.TestCase):
    def folder(self, medium='shm'):
        folder = folder_on(medium)
        path = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        return path

    def filled(self, path):
        """Some of everything. {path of HTTP: (body, ETag)}"""
        rng = random.Random(7)
        with Service(PST, path) as service, service.client() as c:
            for n in range(300):
                c.ask('PUT', f'/kv/k{n % 200}', rng.randbytes(rng.choice((0, 1, 60, 100, 700, 3000, 20000))))
            for n in range(0, 200, 7):
                c.ask('DELETE', f'/kv/k{n}')
            c.ask('PUT', '/kv/%00%ff%2f', b'odd name')
            c.ask('PUT', '/kv/big', rng.randbytes(3 << 20))
            for n in range(120):
                c.ask('POST', f'/log/s{n % 3}', rng.randbytes(n * 50))
            c.ask('DELETE', '/log/s1?before=11')
            c.ask('DELETE', '/log/s2?before=999')
            content = self.content(c)
            self.assertEqual(service.end(), 0)
        return content

    @staticmethod
    def content(c):
        found = {}
        for path in [f'/kv/k{n}' for n in range(200)] + ['/kv/%00%ff%2f', '/kv/big'] + [
                f'/log/s{s}/{n}' for s in range(3) for n in range(1, 42)]:
            reply = c.ask('GET', path)
            found[path] = (reply.status, reply.body, reply.fields.get('etag'))
        for s in range(3):
            reply = c.ask('GET', f'/log/s{s}?from=1')
            found[f's{s}'] = (reply.status, reply.fields.get('pst-next')) if reply else None
        return found

    def test_every_medium_into_every_other(self):
        for medium in MEDIA:
            source = create(PST, self.folder(medium) / 'region', '20M', medium)
            content = self.filled(source)
            dump = source.parent / 'dump'
            ok('dump', source, '-o', dump)
            self.assertEqual(os.stat(dump).st_mode & 0o777, 0o600)
            for other, size, more in (('shm', '16M', ['--buffer-size', 2048]), ('file', '24M', ['--name', 'other'])):
                target = self.folder(other) / 'restored'
                ok('restore', dump, target, '--size', size, '--medium', other, *more)
                check(PST, target)
                found = info(PST, target)
                self.assertEqual((found['name'], found['clean']), ('other' if '--name' in more else 'region', True))
                again = target.parent / 'again'
                ok('dump', target, '-o', again)
                self.assertEqual(dump.read_bytes()[HEADER:], again.read_bytes()[HEADER:])
                with Service(PST, target) as service, service.client() as c:
                    self.assertEqual(self.content(c), content)
                    # Numbers go on where they were, and no ETag comes twice.
                    self.assertEqual(c.ask('POST', '/log/s2', b'next').body, b'{"seq":41}\n')
                    etag = int(content['/kv/big'][2].strip('"'), 16)
                    c.ask('PUT', '/kv/big', b'x')
                    self.assertGreater(int(c.ask('GET', '/kv/big').fields['etag'].strip('"'), 16), etag)
                    self.assertEqual(service.end(), 0)

    def test_through_a_pipe(self):
        source = create(PST, self.folder() / 'region', '16M')
        content = self.filled(source)
        target = source.parent / 'restored'
        ok('restore', '-', target, '--size', '16M', data=ok('dump', source, '-o', '-').stdout)
        with Service(PST, target) as service, service.client() as c:
            self.assertEqual(self.content(c), content)
            self.assertEqual(service.end(), 0)

    def test_online_and_of_one_moment(self):
        """Two keys are always changed one after the other, by one client: a dump shows the second one never ahead."""
        for medium in MEDIA:
            folder = self.folder(medium)
            path = create(PST, folder / 'region', '32M', medium)
            with Service(PST, path) as service:
                with service.client() as c:
                    for n in range(200):
                        c.ask('PUT', f'/kv/m{n}', os.urandom(20000))
                stop = threading.Event()

                def change():
                    with service.client() as c:
                        n = 0
                        while not stop.is_set():
                            n += 1
                            for name in ('a', 'z'):  # at the beginning and at the end of the walk
                                self.assertIn(c.ask('PUT', f'/kv/{name}', b'%d' % n + b' ' * 3000).status, (201, 204))
                            c.ask('POST', '/log/s', b'%d' % n)

                thread = threading.Thread(target=change)
                thread.start()
                try:
                    for n in range(2):
                        dump, target = folder / f'dump{n}', folder / f'restored{n}'
                        ok('dump', path, '-o', dump)
                        ok('restore', dump, target, '--size', '16M', '--force')
                        with Service(PST, target) as other, other.client() as c:
                            a, z = (c.ask('GET', f'/kv/{name}') for name in 'az')
                            if a.status == 200:
                                a, z = int(a.body), int(z.body) if z.status == 200 else 0
                                self.assertIn(a - z, (0, 1), 'not of one moment')
                                last = c.ask('POST', '/log/s', b'').body
                                self.assertIn(z - (json.loads(last)['seq'] - 1), (0, 1), 'not of one moment')
                            other.end()
                        os.unlink(target)
                finally:
                    stop.set()
                    thread.join()
                self.assertEqual(service.end(), 0, service.said())
            check(PST, path)

    def test_acknowledged_under_load(self):
        folder = self.folder()
        path = create(PST, folder / 'region', '64M')
        with Service(PST, path) as service:
            ledger = folder / 'ledger'
            bench = Bench(PST, service, '-c', 4, '-n', 3000, '--keys', 300, '--mix', '60:10:20:10', '--size', '1-8192',
                          '--verify', ledger)
            ok('dump', path, '-o', folder / 'meanwhile')
            status, found = bench.result()
            self.assertEqual(status, 0, found)
            ok('dump', path, '-o', folder / 'after')
            self.assertEqual(service.end(), 0)
        ok('restore', folder / 'meanwhile', folder / 'one', '--size', '64M')
        check(PST, folder / 'one')
        ok('restore', folder / 'after', folder / 'two', '--size', '64M')
        with Service(PST, folder / 'two') as service:
            prove(PST, service, ledger)
            service.end()

    def test_a_client_that_goes_away_leaves_no_snapshot(self):
        path = create(PST, self.folder() / 'region', '64M')
        with Service(PST, path) as service, service.client() as c:
            for n in range(100):
                c.ask('PUT', f'/kv/{n}', os.urandom(50000))
            place, = (p for p in os.scandir(ENV['PST_CONTROL_DIR']))
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(place.path)
                s.sendall(b'dump\n')
                self.assertTrue(s.recv(100))
                # A second one at the same time is refused, and says why.
                r = run(PST, 'dump', path, '-o', path.parent / 'dump')
                self.assertEqual(r.returncode, 1)
                self.assertIn('another dump is under way', r.stderr)
                self.assertEqual(sorted(p.name for p in path.parent.iterdir()), ['region', 'region.said'])
            running.wait_until(lambda: run(PST, 'dump', path, '-o', path.parent / 'dump').returncode == 0, 'the first one is over')
            self.assertEqual(service.end(), 0)

    def test_damage(self):
        path = create(PST, self.folder() / 'region', '16M')
        mark = os.urandom(9000)
        with Service(PST, path) as service, service.client() as c:
            for n in range(20):
                c.ask('PUT', f'/kv/{n}', os.urandom(5000))
                c.ask('POST', '/log/s', mark if n == 3 else os.urandom(3000))
            c.ask('PUT', '/kv/vic%0atim%1b[1m', mark[::-1])
            service.end()
        sound = path.parent / 'sound'
        ok('dump', path, '-o', sound)
        whole = sound.read_bytes()
        target = path.parent / 'restored'
        bad = path.parent / 'bad'
        rng = random.Random(3)
        places = [*range(0, 48, 2), *(rng.randrange(len(whole)) for _ in range(30)), len(whole) - 1]
        for n, at in enumerate(places):
            bad.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << n % 8]) + whole[at + 1:])
            r = run(PST, 'restore', bad, target, '--size', '16M')
            self.assertEqual((r.returncode, target.exists()), (1, False), (at, r.stderr))
        for at in (0, 1, HEADER - 1, HEADER, HEADER + 39, len(whole) // 2, len(whole) - 1):
            bad.write_bytes(whole[:at])
            for source, data in ((bad, None), ('-', whole[:at])):
                ok('restore', source, target, '--size', '16M', status=1, data=data)
                self.assertFalse(target.exists())
        self.assertEqual([p for p in path.parent.iterdir() if 'partial' in p.name], [])
        # Values that were damaged already are not served as good ones.
        content = path.read_bytes()
        with open(path, 'r+b') as f:
            for piece in (mark[1000:1064], mark[::-1][1000:1064]):
                f.seek(content.find(piece) + 10)
                f.write(b'\0\0\0\0')
        ok('dump', path, '-o', bad)
        self.assertIn(b'bad: ', ok('restore', bad, target, '--size', '16M', status=1).stderr)
        self.assertIn(b'--lossy', ok('restore', bad, target, '--size', '16M', status=1).stderr)
        r = ok('restore', bad, target, '--size', '16M', '--lossy', status=1)
        self.assertIn(b'key vic%0atim%1b[1m: damaged', r.stderr)
        self.assertIn(b'stream s entry 4: damaged', r.stderr)
        with Service(PST, target) as service, service.client() as c:
            self.assertEqual((c.ask('GET', '/kv/vic%0atim%1b[1m').status, c.ask('GET', '/log/s/4').body), (404, b''))
            self.assertEqual((c.ask('GET', '/kv/7').status, len(c.ask('GET', '/log/s/5').body)), (200, 3000))
            service.end()

    def test_too_small_and_in_the_way(self):
        path = create(PST, self.folder() / 'region', '16M')
        self.filled(path)
        dump = path.parent / 'dump'
        ok('dump', path, '-o', dump)
        target = path.parent / 'restored'
        self.assertIn(b'--size', ok('restore', dump, target, '--size', '4M', status=1).stderr)
        self.assertFalse(target.exists())
        target.write_text('precious')
        self.assertIn(b'--force', ok('restore', dump, target, '--size', '16M', status=1).stderr)
        self.assertEqual(target.read_text(), 'precious')
        with Service(PST, path) as service:
            ok('restore', dump, path, '--size', '16M', '--force', status=1)
            self.assertEqual(service.end(), 0)
        ok('restore', dump, target, '--size', '16M', '--force')
        check(PST, target)

    def test_grow(self):
        for medium in MEDIA:
            path = create(PST, self.folder(medium) / 'region', '8M', medium)
            with Service(PST, path) as service, service.client() as c:
                n = 0
                while c.ask('PUT', f'/kv/{n}', os.urandom(200000)).status == 201:
                    n += 1
                r = run(PST, 'grow', path, '--size', '16M')
                self.assertEqual(r.returncode, 1, r.stdout)
                self.assertEqual(service.end(), 0)
            ok('grow', path, '--size', '4M', status=1)
            ok('grow', path, '--size', '20M')
            check(PST, path)
            self.assertEqual(info(PST, path)['size'], 20 << 20)
            with Service(PST, path) as service, service.client() as c:
                for k in range(n, 2 * n):
                    self.assertEqual(c.ask('PUT', f'/kv/{k}', os.urandom(200000)).status, 201)
                self.assertEqual({c.ask('HEAD', f'/kv/{k}').status for k in range(2 * n)}, {200})
                self.assertEqual(service.end(), 0)
            check(PST, path)


if __name__ == '__main__':
    running.main()
