# SPDX-License-Identifier: BSD-2-Clause
"""A full region answers 507 and loses nothing; deleting makes room without a restart; more uploads than fit at once
end in an answer each, while small requests are served."""
import asyncio
import os
import random
import time
import unittest

from running import Service, check, create, entries, folder_on, main, request, take_pst

PST = take_pst()
MIB = 1 << 20


class Full:
    def setUp(self):
        self.folder = self.enterContext(folder_on(self.medium))

    def serve(self, size, *args):
        self.region = create(PST, self.folder / 'region', size, self.medium)
        return self.enterContext(Service(PST, self.region, *args))

    def fill(self, c, value, keys, prefix='k'):
        """PUT until 507; the number of the first that was refused."""
        refused, n = None, 0
        while refused is None:
            window = [(f'{prefix}{i}', value(i)) for i in range(n, n + 64)]
            for key, reply in zip(window, c.ask_many(('PUT', f'/kv/{key}', body) for key, body in window)):
                self.assertIn(reply.status, (201, 507), reply)
                if reply.status == 201:
                    keys[key[0]] = key[1]
                elif refused is None:
                    refused = n
                n += 1
        return refused

    def expect(self, c, keys):
        for (key, body), reply in zip(keys.items(), c.ask_many(('GET', f'/kv/{key}', None) for key in keys)):
            self.assertEqual((reply.status, reply.body == body), (200, True), key)

    def delete(self, c, keys, gone):
        for key, reply in zip(gone, c.ask_many(('DELETE', f'/kv/{key}', None) for key in gone)):
            self.assertEqual(reply.status, 204)
            del keys[key]

    def test_full_and_free_again(self):
        noise = os.urandom(2 * MIB)

        def cut(n, size):
            return noise[n % 100000:n % 100000 + size]

        shapes = {
            '8 bytes': lambda n: n.to_bytes(8, 'big'),
            '600 bytes': lambda n: cut(n, 600),
            '5000 bytes': lambda n: cut(n, 5000),
            '100 KiB': lambda n: cut(n, 100 << 10),
            '1 MiB': lambda n: cut(n, MIB),
            'all': lambda n: cut(n, (n * 7919) % 40000),
        }
        for name, value in shapes.items():
            with self.subTest(name):
                self.setUp()
                service = self.serve('4M' if name == '8 bytes' else '16M')
                with service.client() as c:
                    self.full_and_free_again(c, value)
                m = service.metrics()
                self.assertGreater(m['paste_store_rejected_full_total'], 0)
                self.assertEqual(service.end(), 0, service.said())
                check(PST, self.region)
                with Service(PST, self.region) as again, again.client() as c:
                    self.expect(c, self.keys)
                    # Full was no state of that process only, and neither is room.
                    self.assertEqual(c.ask('DELETE', f'/kv/{next(iter(self.keys))}').status, 204)

    def full_and_free_again(self, c, value):
        keys = self.keys = {}
        first = self.fill(c, value, keys)
        stored = sum(map(len, keys.values()))
        self.expect(c, keys)
        # Full is an answer, again and again, and takes nothing away. Reading and deleting go on.
        for n in range(5):
            self.assertIn(c.ask('PUT', f'/kv/k{first}', value(first)).status, (507, 201))
        c.ask('DELETE', f'/kv/k{first}')
        keys.pop(f'k{first}', None)
        self.expect(c, keys)
        for turn in range(3):
            gone = random.Random(turn).sample(sorted(keys), len(keys) // 3)
            freed = sum(len(keys[key]) for key in gone)
            self.delete(c, keys, gone)
            before = sum(map(len, keys.values()))
            self.fill(c, value, keys, f'turn{turn}.')
            back = sum(map(len, keys.values())) - before
            self.assertGreater(back, freed * .7, 'deleting made no room')
        self.expect(c, keys)
        self.assertGreater(sum(map(len, keys.values())), stored * .7)
        self.delete(c, keys, list(keys))
        self.assertGreater(self.fill(c, value, keys, 'anew'), first * .8)

    def everything(self, c, keys, streams):
        self.expect(c, keys)
        for stream, (first, bodies) in streams.items():
            got = c.ask('GET', f'/log/{stream}')
            self.assertEqual(entries(got.body), list(enumerate(bodies, 1))[first - 1:], stream)

    def fill_with_all(self, c, keys, streams, turn):
        """Keys, keys that expire late, entries and batches of them, until each kind is refused."""
        refused, n = set(), 0
        while len(refused) < 4 and n < 4000:
            n += 1
            name, value = f'{turn}.{n}', os.urandom(1 + n * 7919 % 9000)
            stream = f's{n % 3}'
            kind = ('key', 'ttl', 'entry', 'batch')[n % 4]
            if kind in ('key', 'ttl'):
                status = c.ask('PUT', f'/kv/{name}', value, 'PST-TTL: 100000\r\n' if kind == 'ttl' else '').status
                if status == 201:
                    keys[name] = value
            elif kind == 'entry':
                status = c.ask('POST', f'/log/{stream}', value).status
                if status == 201:
                    streams.setdefault(stream, [1, []])[1].append(value)
            else:
                small = value[:500]
                reply = c.ask('POST', '/batch', b'put %b %d ttl=9999\n%b\nput %bb %d\n%b\nappend %b %d\n%b\n' % (
                    name.encode(), len(value), value, name.encode(), len(small), small, stream.encode(), len(small), small))
                status = 201 if reply.status == 200 else reply.status
                if status == 201:
                    keys[name], keys[name + 'b'] = value, small
                    streams.setdefault(stream, [1, []])[1].append(small)
            self.assertIn(status, (201, 507))
            if status == 507:
                refused.add(kind)
        self.assertEqual(refused, {'key', 'ttl', 'entry', 'batch'})
        return sum(map(len, keys.values())) + sum(len(b) for first, bodies in streams.values() for b in bodies[first - 1:])

    def test_full_of_everything(self):
        """Full of all kinds at once: all is readable; trimming, deleting by prefix and expiring make room, with no restart."""
        service, keys, streams = self.serve('4M'), {}, {}
        with service.client() as c:
            full = self.fill_with_all(c, keys, streams, 'a')
            self.everything(c, keys, streams)
            for turn in range(3):
                for stream, held in streams.items():
                    held[0] = len(held[1]) * 2 // 3 + 1
                    self.assertEqual(c.ask('DELETE', f'/log/{stream}?before={held[0]}').status, 204)
                prefix = f'{turn - 1}.' if turn else 'a.'
                gone = [name for name in keys if name.startswith(prefix)]
                self.assertEqual(c.ask('DELETE', f'/kv?prefix={prefix}').body, b'{"deleted":%d}\n' % len(gone))
                for name in gone:
                    del keys[name]
                self.everything(c, keys, streams)
                again = self.fill_with_all(c, keys, streams, str(turn))
                self.assertGreater(again, full * .7, 'deleting made no room')
                self.everything(c, keys, streams)
            # What expires makes room as well.
            self.delete(c, keys, list(keys)[:4])
            self.assertEqual(c.ask('PUT', '/kv/brief', bytes(9000), 'PST-TTL: 1\r\n').status, 201)
            time.sleep(1.2)
            self.assertEqual(c.ask('GET', '/kv/brief').status, 404)
            self.assertEqual(c.ask('PUT', '/kv/after', bytes(8000)).status, 201)
            keys['after'] = bytes(8000)
            self.everything(c, keys, streams)
        self.assertEqual(service.end(), 0, service.said())
        check(PST, self.region)
        with Service(PST, self.region) as second, second.client() as c:
            self.everything(c, keys, streams)

    def test_full_of_entries(self):
        """Of one stream; keys make the room."""
        service = self.serve('8M')
        with service.client() as c:
            for n in range(20):
                self.assertEqual(c.ask('PUT', f'/kv/{n}', b'x' * 100000).status, 201)
            last, full = 1, False
            while not full:
                window = [('POST', '/log/s', b'%d' % n * 500) for n in range(last, last + 64)]
                for reply in c.ask_many(window):
                    full |= reply.status == 507
                    if not full:
                        self.assertEqual(reply.body, b'{"seq":%d}\n' % last)
                        last += 1
            for n in range(20):
                self.assertEqual(c.ask('DELETE', f'/kv/{n}').status, 204)
            # The number that was refused is the next one given.
            self.assertEqual(c.ask('POST', '/log/s', b'%d' % last * 500).body, b'{"seq":%d}\n' % last)
            for n, reply in enumerate(c.ask_many(('GET', f'/log/s/{n}', None) for n in range(1, last + 1))):
                self.assertEqual(reply.body, b'%d' % (n + 1) * 500)
        self.assertEqual(service.end(), 0)
        check(PST, self.region)

    def test_a_value_larger_than_the_region(self):
        service = self.serve('4M')
        with service.client() as c:
            c.send(request('PUT', '/kv/x', bytes(6 * MIB)))
            self.assertIn(c.reply().status, (413, 507))
        with service.client() as c:
            self.assertEqual(c.ask('PUT', '/kv/x', bytes(100000)).status, 201)

    # --- uploads ---

    async def upload(self, service, n, size, piece, pause, began):
        """(status or 'reset', seconds). The body is dribbled, and given up when an answer comes early."""
        reader, writer = await asyncio.open_connection('127.0.0.1', service.port)
        try:
            writer.write(f'PUT /kv/upload{n} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n'.encode())
            answer = asyncio.ensure_future(reader.readline())
            body = bytes([n]) * piece
            for at in range(0, size, piece):
                writer.write(body[:min(piece, size - at)])
                await writer.drain()
                await asyncio.sleep(pause)
                if answer.done():
                    break
            line = await asyncio.wait_for(answer, 60)
            return (int(line.split()[1]) if line else 'closed'), time.monotonic() - began
        except (ConnectionError, BrokenPipeError):
            return 'reset', time.monotonic() - began
        finally:
            writer.close()

    async def small_requests(self, service, stop, latencies):
        """One connection after the other: a service that is busy with uploads answers still, and admits."""
        n = 0
        while not stop.is_set():
            begun = time.monotonic()
            reader, writer = await asyncio.open_connection('127.0.0.1', service.port)
            try:
                for method, body in ('PUT', b'small'), ('GET', None), ('DELETE', None):
                    writer.write(request(method, f'/kv/small{n}', body))
                    line = await asyncio.wait_for(reader.readline(), 30)
                    status = int(line.split()[1])
                    assert status in (200, 201, 204, 404, 503, 507), line
                    length = 0
                    while (field := await reader.readline()) != b'\r\n':
                        if field.lower().startswith(b'content-length:'):
                            length = int(field.split(b':')[1])
                    await reader.readexactly(length)
            finally:
                writer.close()
            latencies.append(time.monotonic() - begun)
            n += 1
            await asyncio.sleep(.02)

    async def uploads(self, service, count, size, piece, pause):
        stop, latencies = asyncio.Event(), []
        small = asyncio.ensure_future(self.small_requests(service, stop, latencies))
        began = time.monotonic()
        ends = await asyncio.gather(*(self.upload(service, n, size, piece, pause, began) for n in range(count)))
        stop.set()
        await small
        return ends, latencies

    def more_than_fits(self, count, size, piece, pause):
        service = self.serve('64M')
        ends, latencies = asyncio.run(self.uploads(service, count, size, piece, pause))
        statuses = [status for status, _ in ends]
        told = {status: statuses.count(status) for status in set(statuses)}
        said = f'{told}, the last after {max(s for _, s in ends):.1f} s; {len(latencies)} small ones, ' \
               f'the slowest {max(latencies):.2f} s; own memory {service.memory() / MIB:.0f} MiB'
        print(f'{self.medium}: {count} x {size / MIB:g} MiB in pieces of {piece}: {said}', flush=True)
        self.assertLessEqual(set(statuses), {201, 503, 507}, said)
        self.assertGreater(statuses.count(201), 2, said)
        self.assertLess(max(latencies), 20, said)
        self.assertLess(service.memory(), 96 * MIB, said)
        with service.client() as c:
            for n, status in enumerate(statuses):
                reply = c.ask('GET', f'/kv/upload{n}')
                self.assertEqual(reply.status, 200 if status == 201 else 404)
                if status == 201:
                    self.assertEqual(reply.body, bytes([n]) * size)
                    self.assertEqual(c.ask('DELETE', f'/kv/upload{n}').status, 204)
            # Nothing stays behind of those that were refused.
            for n in range(8):
                self.assertEqual(c.ask('PUT', f'/kv/again{n}', bytes([n]) * 4 * MIB).status, 201)
        self.assertEqual(service.end(), 0, service.said())
        check(PST, self.region)

    def test_more_uploads_than_fit_at_once(self):
        self.more_than_fits(64, 4 * MIB, 64 << 10, .005)

    def test_more_uploads_than_fit_in_crumbs(self):
        """Each crumb lands in a buffer of its own, 2048 bytes for 300."""
        self.more_than_fits(64, MIB + 5, 300, 0)

    def test_uploads_that_never_end_do_not_keep_others_out(self):
        """Their room is promised to them; what does not fit beside it is refused in time, and given back when they go."""
        service = self.serve('32M')
        stuck = []
        for n in range(40):
            c = service.client()
            stuck.append(c)
            c.send(request('PUT', f'/kv/stuck{n}', bytes(3 * MIB))[:100000])
        with service.client() as c:
            begun = time.monotonic()
            self.assertEqual(c.ask('PUT', '/kv/small', b'x').status, 201)
            self.assertEqual(c.ask('GET', '/kv/small').body, b'x')
            self.assertLess(time.monotonic() - begun, 5)
            self.assertIn(c.ask('PUT', '/kv/large', bytes(3 * MIB)).status, (201, 503, 507))
        for c in stuck:
            c.close()
        with service.client() as c:
            for n in range(5):
                self.assertIn(c.ask('PUT', f'/kv/large{n}', bytes(3 * MIB)).status, (201, 204))
        self.assertEqual(service.end(), 0, service.said())
        check(PST, self.region)


class OnShm(Full, unittest.TestCase):
    medium = 'shm'


class OnFile(Full, unittest.TestCase):
    medium = 'file'


if __name__ == '__main__':
    main()
