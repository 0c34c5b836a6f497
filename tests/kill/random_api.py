#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""random_api.py PST --medium shm|file [--examples N] [--steps N] [--seed N]

Random sequences of requests to `pst serve` over real sockets, beside a plain model of what must come of them; in between
it is killed with SIGKILL, also with a change on its way, and started again. Hypothesis draws the sequences, and makes one
that fails as short as it can. What was on its way when it was killed is there whole or not at all (a batch: all of it); asked
for again with the same Idempotency-Key it is done once, whatever had become of it.

$PASTE_RANDOM_EXAMPLES overrides --examples.
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import time
import unittest
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

try:
    import hypothesis
except ModuleNotFoundError:
    # Debian's is for Debian's Python, which need not be the first in the path.
    if sys.executable == '/usr/bin/python3' or not os.path.exists('/usr/bin/python3'):
        print('hypothesis is not installed (scripts/deps check)')
        sys.exit(77)
    os.execv('/usr/bin/python3', ['/usr/bin/python3', '-B', *sys.argv])

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'e2e'))
from running import SKIPPED, Service, check, create, end_on_signal, entries, folder_on, request  # noqa: E402

NAMES = [b'a', b'a/b', b'a/b/c', b'a%', b'b \xff\x00', b'b' * 300]
PREFIXES = [b'', b'a', b'a/', b'b', b'c']
SIZES = [0, 1, 8, 63, 64, 65, 700, 2047, 2048, 2049, 4096, 5000, 9000, 40000]

names = st.sampled_from(NAMES)
streams = st.sampled_from(['s', 't/u', 'v' * 200])
values = st.builds(lambda size, byte: bytes((byte + at * 7 + at // 256) % 256 for at in range(size)), st.sampled_from(SIZES),
                   st.integers(0, 255))
small = st.builds(lambda size, byte: bytes([byte]) * size, st.sampled_from([0, 1, 20, 64, 65, 300]), st.integers(0, 255))
conditions = st.sampled_from(['', '', '', 'match *', 'none *', 'match', 'none', 'match old', 'none old'])


class World:
    """One region and its service, for all examples of a run: each has names of its own."""

    def __init__(self, pst, region):
        self.pst, self.region = pst, region
        self.examples = self.kills = self.requests = self.retries = self.unsure = self.waits = 0
        self.service = self.client = None
        self.start()

    def start(self):
        self.service = Service(self.pst, self.region)
        self.client = self.service.client()

    def kill(self):
        self.kills += 1
        self.service.end(signal.SIGKILL)
        self.client.close()
        self.start()


WORLD = None


class Api(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        WORLD.examples += 1
        self.prefix = f'{WORLD.examples}.'
        self.keys = {}      # name: (value, etag)
        self.old = {}       # name: an etag that it had
        self.streams = {}   # name: (first, [entry, ...] from 1 on)
        self.retries = 0
        self.asked = []     # what was done with a retry key: (key, method, path, body, fields, status)

    # --- asking ---

    def ask(self, method, path, body=None, fields=''):
        WORLD.requests += 1
        return WORLD.client.ask(method, path, body, fields)

    def path(self, name):
        return '/kv/' + quote_from_bytes(self.prefix.encode() + name)

    def log(self, stream):
        return '/log/' + quote(self.prefix + stream, safe='')

    def tag(self, name, condition):
        """(field, does it hold) for a change of the key."""
        if not condition:
            return '', True
        now = self.keys.get(name)
        kind, _, what = condition.partition(' ')
        tag = '*' if what == '*' else self.old.get(name, '"1"') if what == 'old' else now[1] if now else '"1"'
        matches = now is not None and tag in ('*', now[1])
        return f'If-{"Match" if kind == "match" else "None-Match"}: {tag}\r\n', matches == (kind == 'match')

    def retry_key(self):
        self.retries += 1
        return f'{self.prefix}{self.retries}'

    def set(self, name, value, etag):
        if name in self.keys:
            self.old[name] = self.keys[name][1]
        assert etag and etag != self.old.get(name), 'a version comes twice'
        self.keys[name] = (value, etag)

    def drop(self, name):
        if name in self.keys:
            self.old[name] = self.keys.pop(name)[1]

    def next(self, stream):
        return len(self.streams[stream][1]) + 1 if stream in self.streams else 1

    def add(self, stream, value):
        self.streams.setdefault(stream, (1, []))[1].append(value)

    # --- changes ---

    @rule(name=names, value=values, condition=conditions, ttl=st.booleans(), once=st.booleans())
    def put(self, name, value, condition, ttl, once):
        fields, holds = self.tag(name, condition)
        if ttl:
            fields += 'PST-TTL: 1000\r\n'
        retry = self.retry_key() if once else None
        if once:
            fields += f'Idempotency-Key: {retry}\r\n'
        reply = self.ask('PUT', self.path(name), value, fields)
        assert reply.status == (412 if not holds else 204 if name in self.keys else 201), reply
        if holds:
            self.set(name, value, reply.fields['etag'])
            if once:
                self.asked.append((self.path(name), 'PUT', value, fields, reply))

    @rule(name=names, condition=conditions)
    def delete(self, name, condition):
        fields, holds = self.tag(name, condition)
        reply = self.ask('DELETE', self.path(name), fields=fields)
        assert reply.status == (404 if name not in self.keys else 204 if holds else 412), reply
        if holds:
            self.drop(name)

    @rule(stream=streams, value=values, expect=st.sampled_from([None, None, 0, 1]), once=st.booleans())
    def append(self, stream, value, expect, once):
        path = self.log(stream) + ('' if expect is None else f'?expect={self.next(stream) + expect}')
        fields = f'Idempotency-Key: {self.retry_key()}\r\n' if once else ''
        reply = self.ask('POST', path, value, fields)
        if expect:
            assert (reply.status, reply.fields['pst-next']) == (412, str(self.next(stream))), reply
            return
        assert (reply.status, reply.body) == (201, b'{"seq":%d}\n' % self.next(stream)), reply
        self.add(stream, value)
        if once:
            self.asked.append((path, 'POST', value, fields, reply))

    @rule(stream=streams, back=st.integers(-1, 3))
    def trim(self, stream, back):
        before = max(self.next(stream) - back, 1)
        reply = self.ask('DELETE', f'{self.log(stream)}?before={before}')
        if stream not in self.streams:
            assert reply.status == 404, reply
            return
        assert reply.status == 204, reply
        first, body = self.streams[stream]
        self.streams[stream] = (max(first, min(before, len(body) + 1)), body)

    @rule(prefix=st.sampled_from(PREFIXES[1:]))
    def delete_prefix(self, prefix):
        gone = [name for name in self.keys if name.startswith(prefix)]
        reply = self.ask('DELETE', '/kv?prefix=' + quote_from_bytes(self.prefix.encode() + prefix))
        assert json.loads(reply.body) == {'deleted': len(gone)}, reply
        for name in gone:
            self.drop(name)

    def batch_of(self, parts):
        """(body, what must come of it): put and delete name a key once."""
        body, seen, made = b'', set(), []
        for kind, name, stream, value in parts:
            if kind == 'append':
                body += b'append %b %d\n%b\n' % (quote(self.prefix + stream, safe='').encode(), len(value), value)
                made.append((kind, stream, value))
            elif name not in seen:
                seen.add(name)
                path = self.path(name)[4:].encode()
                body += b'put %b %d\n%b\n' % (path, len(value), value) if kind == 'put' else b'delete %b\n' % path
                made.append((kind, name, value))
        return body, made

    parts = st.lists(st.tuples(st.sampled_from(['put', 'put', 'delete', 'append']), names, streams, small), min_size=2,
                     max_size=6)

    def apply(self, made, results):
        for (kind, name, value), result in zip(made, results):
            if kind == 'append':
                assert result == {'seq': self.next(name)}, result
                self.add(name, value)
            else:
                assert result['existed'] == (name in self.keys), result
                if kind == 'put':
                    self.set(name, value, f'"{result["version"]}"')
                else:
                    self.drop(name)

    @rule(parts=parts, once=st.booleans(), fails=st.booleans())
    def batch(self, parts, once, fails):
        body, made = self.batch_of(parts)
        fields = f'Idempotency-Key: {self.retry_key()}\r\n' if once else ''
        if fails:
            body += b'put never 1 if-match=*\nx\n'
        reply = self.ask('POST', '/batch', body, fields)
        if fails:
            assert reply.status == 412 and json.loads(reply.body)['failed'] == [{'change': len(made)}], reply
            return
        assert reply.status == 200, reply
        self.apply(made, json.loads(reply.body)['results'])
        if once:
            self.asked.append(('/batch', 'POST', body, fields, reply))

    # --- once ---

    @precondition(lambda self: self.asked)
    @rule(at=st.integers(0, 30))
    def again(self, at):
        """It was done, and is not done again; the answer is the first one."""
        path, method, body, fields, first = self.asked[-1 - at % len(self.asked)]
        WORLD.retries += 1
        reply = self.ask(method, path, body, fields)
        assert reply.status == first.status, (reply, first)
        assert reply.fields.get('etag') == first.fields.get('etag'), (reply, first)
        assert (reply.body, reply.fields.get('pst-repeated')) == (first.body, 'true'), reply

    @precondition(lambda self: self.asked)
    @rule(at=st.integers(0, 30))
    def another_with_its_key(self, at):
        path, method, body, fields, _ = self.asked[-1 - at % len(self.asked)]
        more = b'delete never\n' if path == '/batch' else b'.'
        assert self.ask(method, path, body + more, fields).status == 422

    # --- reading ---

    @rule(name=names)
    def get(self, name):
        reply = self.ask('GET', self.path(name))
        if name not in self.keys:
            assert reply.status == 404, reply
            return
        value, etag = self.keys[name]
        assert (reply.status, reply.fields['etag'], reply.body == value) == (200, etag, True), reply
        assert self.ask('GET', self.path(name), fields=f'If-None-Match: {etag}\r\n').status == 304

    @rule(name=names, first=st.integers(0, 5000), length=st.integers(1, 3000))
    def get_range(self, name, first, length):
        if name in self.keys:
            value = self.keys[name][0]
            reply = self.ask('GET', self.path(name), fields=f'Range: bytes={first}-{first + length - 1}\r\n')
            assert reply.status == (206 if first < len(value) else 416), reply
            if reply.status == 206:
                assert reply.body == value[first:first + length]

    @rule(stream=streams, start=st.integers(1, 8), limit=st.sampled_from([None, 1, 3]), follow=st.booleans())
    def entries(self, stream, start, limit, follow):
        first, body = self.streams.get(stream, (1, []))
        follow = follow and start <= len(body)
        reply = self.ask('GET', f'{self.log(stream)}?from={start}' + (f'&limit={limit}' if limit else '') +
                         ('&follow=5' if follow else ''))
        if stream not in self.streams:
            assert reply.status == 404, reply
            return
        start = max(start, first)
        want = list(enumerate(body, 1))[start - 1:]
        assert entries(reply.body) == (want[:limit] if limit else want)
        assert (reply.fields['pst-first'], reply.fields['pst-next']) == (str(first), str(len(body) + 1)), reply
        if body:
            reply = self.ask('GET', f'{self.log(stream)}/{len(body)}')
            assert (reply.status == 200 and reply.body == body[-1]) if len(body) >= first else reply.status == 404, reply

    @rule(prefix=st.sampled_from(PREFIXES), limit=st.integers(1, 7))
    def list(self, prefix, limit):
        ours = self.prefix.encode()
        want = sorted(ours + name for name in self.keys if name.startswith(prefix))
        found, after = [], ''
        while after is not None:
            path = f'/kv?prefix={quote_from_bytes(ours + prefix)}&limit={limit}' + (f'&after={after}' if after else '')
            page = json.loads(self.ask('GET', path).body)
            found += page['keys']
            assert len(page['keys']) <= limit
            after = page['next']
        assert [unquote_to_bytes(key['key']) for key in found] == want, found
        for key in found:
            value, etag = self.keys[unquote_to_bytes(key['key'])[len(ours):]]
            assert (f'"{key["version"]}"', key['length']) == (etag, len(value)), key

    @rule()
    def list_streams(self):
        page = json.loads(self.ask('GET', f'/log?prefix={self.prefix}').body)
        want = {self.prefix + name: (first, len(body) + 1) for name, (first, body) in self.streams.items()}
        found = {unquote_to_bytes(s['stream']).decode(): (s['first'], s['next']) for s in page['streams']}
        assert found == want and page['next'] is None, page

    # --- the end of a life ---

    @rule()
    def kill(self):
        WORLD.kill()

    @precondition(lambda self: WORLD.waits < 3)
    @rule(name=names, dies=st.booleans())
    def expire(self, name, dies):
        """Absent when its time has come, whoever slept meanwhile, and for good."""
        WORLD.waits += 1
        assert self.ask('PUT', self.path(name), b'soon gone', 'PST-TTL: 1\r\n').status in (201, 204)
        began = time.monotonic()
        if dies:
            WORLD.kill()
        self.keys.pop(name, None)
        reply = self.ask('GET', self.path(name))
        assert reply.status == 200 or time.monotonic() - began >= .9, reply
        time.sleep(max(0, began + 1.2 - time.monotonic()))
        for _ in range(2):
            assert self.ask('GET', self.path(name)).status == 404
            if dies:
                WORLD.kill()

    def in_flight(self, data, cut, pause):
        """Send so much of the request, kill; the connection has no answer, or one that nobody read."""
        c = WORLD.service.client()
        c.send(data[:max(1, len(data) * cut // 8)])
        time.sleep(pause / 2000)
        WORLD.unsure += 1
        WORLD.kill()
        c.close()

    @rule(name=names, value=values, cut=st.integers(5, 8), pause=st.integers(0, 8))
    def kill_a_put(self, name, value, cut, pause):
        self.in_flight(request('PUT', self.path(name), value), cut, pause)
        reply = self.ask('GET', self.path(name))
        before = self.keys.get(name)
        if reply.status == 404:
            assert before is None
        elif before is None or reply.fields['etag'] != before[1]:
            assert reply.body == value and cut == 8, reply
            self.set(name, value, reply.fields['etag'])
        else:
            assert reply.body == before[0]

    @rule(stream=streams, value=values, cut=st.integers(5, 8), pause=st.integers(0, 8), times=st.integers(1, 3))
    def kill_an_append_and_repeat(self, stream, value, cut, pause, times):
        """However often it is asked for and killed, there is one entry in the end."""
        fields = f'Idempotency-Key: {self.retry_key()}\r\n'
        for _ in range(times):
            self.in_flight(request('POST', self.log(stream), value, fields), cut, pause)
        for _ in range(2):
            WORLD.retries += 1
            reply = self.ask('POST', self.log(stream), value, fields)
            assert (reply.status, reply.body) == (201, b'{"seq":%d}\n' % self.next(stream)), reply
        assert reply.fields['pst-repeated'] == 'true'
        self.add(stream, value)
        assert self.ask('HEAD', self.log(stream)).fields['pst-next'] == str(self.next(stream))

    @rule(parts=parts, cut=st.integers(6, 8), pause=st.integers(0, 8), repeat=st.booleans())
    def kill_a_batch(self, parts, cut, pause, repeat):
        """All of it or nothing; and once, if it is repeated."""
        body, made = self.batch_of(parts)
        stream, name = 'mark', b'mark'
        body += b'put %b 1\nx\nappend %b 1\nx\n' % (self.path(name)[4:].encode(), quote(self.prefix + stream).encode())
        made += [('put', name, b'x'), ('append', stream, b'x')]
        fields = f'Idempotency-Key: {self.retry_key()}\r\n' if repeat else ''
        self.in_flight(request('POST', '/batch', body, fields), cut, pause)
        if repeat:
            WORLD.retries += 1
            reply = self.ask('POST', '/batch', body, fields)
            assert reply.status == 200, reply
            self.apply(made, json.loads(reply.body)['results'])
            return
        reply = self.ask('HEAD', self.log(stream))
        done = reply.status == 200 and int(reply.fields['pst-next']) > self.next(stream)
        assert not done or cut == 8
        if done:
            for kind, what, value in made:
                if kind == 'append':
                    self.add(what, value)
                elif kind == 'delete':
                    self.drop(what)
                else:
                    self.set(what, value, self.ask('HEAD', self.path(what)).fields['etag'])

    def teardown(self):
        """Everything is as the model says, also after one more kill."""
        if WORLD.examples % 3 == 0:
            WORLD.kill()
        for name in NAMES:
            self.get(name)
        for stream in tuple(self.streams):
            self.entries(stream, 1, None, False)
        self.list(b'', 3)
        self.list_streams()
        # Its keys make room for the next one's.
        self.delete_prefix(b'')


def main():
    global WORLD
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pst')
    parser.add_argument('--medium', choices=('shm', 'file'), required=True)
    parser.add_argument('--examples', type=int, default=8)
    parser.add_argument('--steps', type=int, default=40)
    parser.add_argument('--seed', type=int, default=int.from_bytes(os.urandom(4), 'little'))
    args = parser.parse_args()
    end_on_signal()
    examples = int(os.environ.get('PASTE_RANDOM_EXAMPLES', args.examples))
    print(f'seed {args.seed}', flush=True)
    begun = time.monotonic()
    with folder_on(args.medium) as folder:
        try:
            WORLD = World(os.path.abspath(args.pst), create(args.pst, folder / 'region', '16M', args.medium))
        except unittest.SkipTest as why:
            print(why)
            return SKIPPED
        hypothesis.seed(args.seed)(Api)
        run_state_machine_as_test(Api, settings=settings(
            max_examples=examples, stateful_step_count=args.steps, deadline=None, database=None, print_blob=False,
            suppress_health_check=tuple(HealthCheck)))
        WORLD.client.close()
        if WORLD.service.end() != 0:
            raise AssertionError(WORLD.service.said())
        check(args.pst, WORLD.region)
    print(f'{WORLD.examples} sequences on {args.medium}: {WORLD.requests} requests, {WORLD.kills} kills, {WORLD.unsure} of '
          f'them with a change on its way, {WORLD.retries} asked again; {time.monotonic() - begun:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
