#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""feature_loop.py PST --medium shm|file [--rounds N] [--seed N]

Kill `pst serve` with SIGKILL while clients use all that it has at once: batches, keys that expire, conditions, appends to a
stream of their own and to one that all share, trimming, deleting by prefix. A client whose reply was lost asks again, with
the same Idempotency-Key, until it has one, across as many kills as come. In the end everything was done exactly once: no
entry is missing or there twice, each client finds its keys as it left them, and those that expired are gone. After each kill
`pst check` must find the region sound.

$PASTE_KILL_ROUNDS overrides --rounds.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import traceback
import unittest
from urllib.parse import unquote

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'e2e'))
from running import SKIPPED, Client as Connection, Service, check, create, end_on_signal, entries, folder_on  # noqa: E402

CLIENTS = 6
SIZES = (1, 30, 64, 65, 500, 2048, 6000, 20000)
SLACK = .15  # s, between our clock and when the service looked at its own


class Loop:
    def __init__(self, pst, region, seed):
        self.pst, self.region, self.random = pst, region, random.Random(seed)
        self.port, self.life = None, threading.Condition()
        self.stop = threading.Event()
        self.failed = None
        self.service = None
        self.kills = 0
        self.clients = [Client(self, n, random.Random(f'{seed} {n}')) for n in range(CLIENTS)]

    def start(self):
        self.service = Service(self.pst, self.region)
        with self.life:
            self.port = self.service.port
            self.life.notify_all()

    def kill(self):
        with self.life:
            self.port = None
        self.service.end(signal.SIGKILL)
        self.kills += 1

    def connect(self):
        """A connection to the life that is, or the next one."""
        while True:
            with self.life:
                self.life.wait_for(lambda: self.port or self.failed, 60)
                port = self.port
            if self.failed:
                raise SystemExit
            try:
                return Connection(port)
            except (OSError, TypeError):
                time.sleep(.01)


class Client(threading.Thread):
    def __init__(self, loop, number, rng):
        super().__init__(daemon=True)
        self.loop, self.random, self.prefix = loop, rng, f'c{number}/'
        self.stream = f'own{number}'
        self.connection = None
        self.keys = {}      # path: (value, etag, (earliest, latest) time at which it expires, or None)
        self.entries, self.first = [], 1
        self.shared = []    # what it appended to the stream of all
        self.number = self.lost = self.repeated = self.done = self.expired = 0

    def ask(self, method, path, body=None, fields='', once=False):
        """Until there is an answer. (reply, was one lost before)"""
        lost = False
        if once:
            self.number += 1
            fields += f'Idempotency-Key: {self.prefix}{self.number}\r\n'
        while True:
            try:
                self.connection = self.connection or self.loop.connect()
                reply = self.connection.ask(method, path, body, fields)
            except (OSError, ValueError, AssertionError):
                reply = None
            if reply and reply.status != 507:
                self.done += 1
                self.repeated += reply.fields.get('pst-repeated') == 'true'
                return reply, lost
            if reply:
                raise AssertionError(f'{method} {path}: {reply}: this much fits')
            self.lost += 1
            lost = True
            if self.connection:
                self.connection.close()
            self.connection = None

    def value(self):
        size = self.random.choice(SIZES)
        return (b'%b%d.' % (self.prefix.encode(), self.number) * (size // 3 + 1))[:size]

    def name(self):
        return f'{self.random.choice("xyz")}/{self.random.randrange(6)}'

    def must(self, good, *what):
        if not good:
            raise AssertionError(f'{self.prefix}: {what}')

    # --- what it does ---

    def put(self):
        path, value = f'/kv/{self.prefix}{self.name()}', self.value()
        ttl = self.random.choice((0, 0, 1, 1000))
        before, began = self.keys.get(path), time.time()
        fields = f'PST-TTL: {ttl}\r\n' if ttl else ''
        if not before and self.random.randrange(2):
            fields += 'If-None-Match: *\r\n'
        elif before and not before[2] and self.random.randrange(2):
            fields += f'If-Match: {before[1]}\r\n'
        reply, _ = self.ask('PUT', path, value, fields, once=True)
        self.must(reply.status in (201, 204), path, before, reply)
        self.must(bool(before) == (reply.status == 204) or (before and before[2]), path, before, reply)
        self.must(not before or before[1] != reply.fields['etag'], path, 'a version twice')
        self.keys[path] = value, reply.fields['etag'], (began + ttl, time.time() + ttl) if ttl else None

    def delete(self):
        path = f'/kv/{self.prefix}{self.name()}'
        before = self.keys.pop(path, None)
        reply, lost = self.ask('DELETE', path)
        self.must(reply.status in ((404, 204) if lost or (before and before[2]) else (204,) if before else (404,)), path,
                  before, reply)

    def append(self):
        body = self.value()
        reply, _ = self.ask('POST', f'/log/{self.stream}', body, once=True)
        self.entries.append(body)
        self.must(json.loads(reply.body) == {'seq': len(self.entries)}, len(self.entries), reply)

    def append_shared(self):
        body = f'{self.prefix}{self.number}'.encode()
        reply, _ = self.ask('POST', '/log/all', body, once=True)
        self.must(reply.status == 201, reply)
        self.shared.append((json.loads(reply.body)['seq'], body))

    def batch(self):
        puts = {f'{self.prefix}{self.name()}': self.value()[:700] for _ in range(self.random.randrange(1, 4))}
        entry, mark = self.value()[:700], f'{self.prefix}{self.number}b'.encode()
        body = b''.join(b'put %b %d\n%b\n' % (name.encode(), len(value), value) for name, value in puts.items())
        body += b'append %b %d\n%b\nappend all %d\n%b\n' % (self.stream.encode(), len(entry), entry, len(mark), mark)
        reply, lost = self.ask('POST', '/batch', body, once=True)
        self.must(reply.status == 200, reply)
        said = json.loads(reply.body)
        self.must(lost or 'pst-repeated' not in reply.fields, reply)
        for (name, value), result in zip(puts.items(), said['results']):
            self.keys[f'/kv/{name}'] = value, f'"{result["version"]}"', None
        self.entries.append(entry)
        self.must(said['results'][-2] == {'seq': len(self.entries)}, len(self.entries), reply)
        self.shared.append((said['results'][-1]['seq'], mark))

    def trim(self):
        before = self.random.randrange(1, len(self.entries) + 2)
        reply, _ = self.ask('DELETE', f'/log/{self.stream}?before={before}')
        self.must(reply.status == (204 if self.entries else 404), reply)
        if self.entries:
            self.first = max(self.first, before)

    def delete_prefix(self):
        prefix = f'{self.prefix}{self.random.choice("xyz")}/'
        sure = [path for path, key in self.keys.items() if path.startswith(f'/kv/{prefix}') and not key[2]]
        gone = [path for path in self.keys if path.startswith(f'/kv/{prefix}')]
        reply, lost = self.ask('DELETE', f'/kv?prefix={prefix}')
        deleted = json.loads(reply.body)['deleted']
        self.must((0 if lost else len(sure)) <= deleted <= len(gone), gone, reply)
        for path in gone:
            del self.keys[path]

    def look(self):
        """At all that is its own."""
        for path, (value, etag, expires) in tuple(self.keys.items()):
            began = time.time()
            reply, _ = self.ask('GET', path)
            if reply.status == 404:
                self.must(expires and time.time() > expires[0] - SLACK, path, 'is not there')
                self.expired += 1
                del self.keys[path]
            else:
                self.must((reply.status, reply.body, reply.fields['etag']) == (200, value, etag), path, reply, etag)
                self.must(not expires or began < expires[1] + SLACK, path, 'should have expired')
        page = json.loads(self.ask('GET', f'/kv?prefix={self.prefix}')[0].body)
        listed = {f'/kv/{unquote(key["key"])}' for key in page['keys']}
        self.must(listed <= self.keys.keys(), 'listed', listed - self.keys.keys())
        self.must(all(self.keys[path][2] for path in self.keys.keys() - listed), 'not listed', self.keys.keys() - listed)
        if self.entries:
            reply, _ = self.ask('GET', f'/log/{self.stream}')
            self.must(entries(reply.body) == list(enumerate(self.entries, 1))[self.first - 1:], self.stream)

    def work(self):
        steps = (self.put, self.put, self.put, self.delete, self.append, self.append_shared, self.batch, self.batch, self.trim,
                 self.delete_prefix, self.look)
        while not self.loop.stop.is_set() and not self.loop.failed:
            self.random.choice(steps)()
            if len(self.entries) - self.first > 60:  # so that it fits
                self.trim()
        self.look()
        time.sleep(1 + SLACK)
        self.look()

    def run(self):
        try:
            self.work()
        except SystemExit:
            pass
        except BaseException:  # whatever it is, the loop must know
            with self.loop.life:
                self.loop.failed = traceback.format_exc()
                self.loop.life.notify_all()


def shared_stream(loop, connection):
    """Each entry once, where its client was told."""
    want = dict(pair for client in loop.clients for pair in client.shared)
    if sum(len(client.shared) for client in loop.clients) != len(want):
        raise AssertionError('two clients were told the same number')
    found = dict(entries(connection.ask('GET', '/log/all').body))
    if found != want:
        raise AssertionError(f'the shared stream: {sorted(found.items() ^ want.items())[:10]}')
    return len(found)


def run(pst, medium, rounds, seed, folder):
    loop = Loop(pst, create(pst, folder / 'region', '32M', medium), seed)
    loop.start()
    begun = time.monotonic()
    for client in loop.clients:
        client.start()
    for n in range(rounds):
        time.sleep(loop.random.uniform(.05, .7))
        loop.kill()
        check(pst, loop.region)
        loop.start()
        if loop.failed:
            break
    time.sleep(.2)
    loop.stop.set()
    for client in loop.clients:
        client.join(120)
        if client.is_alive() and not loop.failed:
            loop.failed = f'{client.prefix} does not come to an end'
    if loop.failed:
        raise AssertionError(loop.failed)
    with loop.service.client() as connection:
        shared = shared_stream(loop, connection)
    if loop.service.end() != 0:
        raise AssertionError(loop.service.said())
    check(pst, loop.region)

    def total(what):
        return sum(getattr(client, what) for client in loop.clients)

    print(f'{loop.kills} kills on {medium}: {total("done"):,} requests done, {total("lost")} replies lost, '
          f'{total("repeated")} of them had been done before, {shared} shared entries each there once, '
          f'{total("expired")} keys expired; {time.monotonic() - begun:.0f} s')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pst')
    parser.add_argument('--medium', choices=('shm', 'file'), required=True)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    end_on_signal()
    print(f'seed {args.seed}', flush=True)
    with folder_on(args.medium) as folder:
        try:
            run(os.path.abspath(args.pst), args.medium, int(os.environ.get('PASTE_KILL_ROUNDS', args.rounds)), args.seed, folder)
        except unittest.SkipTest as why:
            print(why)
            return SKIPPED
        except AssertionError as wrong:
            print(f'FAILED, seed {args.seed}: {wrong}')
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
