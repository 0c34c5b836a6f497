# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of whole processes share: regions in a folder that goes away, `pst` as a process, a plain HTTP client.

Everything started here is ended by its process id; everything written lies in one folder per test.
"""
import atexit
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

MEDIA = ('shm', 'file')
# Loopback is reached directly, whatever proxy this machine uses for the world.
ENV = {k: v for k, v in os.environ.items() if not k.lower().endswith('_proxy')}
SKIPPED = 77
started, folders = [], []  # for end_on_signal()


def place_for_sockets():
    """The folder of control sockets, for this test alone; a short path, since a socket's address is."""
    path = tempfile.mkdtemp(prefix='paste-test.', dir='/tmp')
    folders.append(path)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


ENV['PST_CONTROL_DIR'] = place_for_sockets()


def take_pst():
    """The path of `pst`, the first argument; unittest must not see it."""
    return os.path.abspath(sys.argv.pop(1))


@contextlib.contextmanager
def folder_on(medium):
    """A new folder where a region is of that medium: tmpfs, or the build folder's disk."""
    parent = '/dev/shm' if medium == 'shm' else os.getcwd()
    path = pathlib.Path(tempfile.mkdtemp(prefix='paste-test.', dir=parent))
    folders.append(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(*command, timeout=120):
    return subprocess.run([str(c) for c in command], env=ENV, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout)


def create(pst, path, size, medium=None):
    r = run(pst, 'create', path, '--size', size, *(['--medium', medium] if medium else []))
    if r.returncode:
        if 'O_DIRECT' in r.stderr or 'tmpfs' in r.stderr or 'io_uring' in r.stderr:
            raise unittest.SkipTest(f'no {medium} region here: {r.stderr.strip()}')
        raise AssertionError(r.stderr)
    return path


def check(pst, path):
    """Everything in the region is sound."""
    r = run(pst, 'check', path)
    if r.returncode:
        raise AssertionError(f'pst check: status {r.returncode}\n{r.stdout}{r.stderr}')


def info(pst, path):
    r = run(pst, 'info', path, '--json')
    if r.returncode:
        raise AssertionError(f'pst info: status {r.returncode}\n{r.stderr}')
    return json.loads(r.stdout)


class NotReady(Exception):
    """The service ended before it was ready; what it said."""

    def __init__(self, status, said):
        super().__init__(f'status {status}: {said.strip()}')
        self.status, self.said = status, said


class Service:
    """`pst serve` on a port of the system's choice. What it says goes to a file beside the region."""

    def __init__(self, pst, region, *args, http='127.0.0.1:0', env=None, wait=True, prefix=()):
        self.errors = pathlib.Path(f'{region}.said')
        with open(self.errors, 'w') as errors:
            self.process = subprocess.Popen([*prefix, pst, 'serve', str(region), '--http', http, *map(str, args)],
                                            env={**ENV, **(env or {})}, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=errors, text=True)
        started.append(self.process)
        self.port = None
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=60):
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            self.end(signal.SIGKILL)
            raise AssertionError(f'not ready after {timeout} s: {self.said()}')
        line = self.process.stdout.readline()
        ready = re.fullmatch(r'ready http=(unix|\S+):(/\S+|\d+)((?: \w+=\S+)*)\n', line)
        if not ready:
            status = self.end(signal.SIGKILL) if line else self.process.wait(timeout)
            self.process.stdout.close()
            if 'io_uring' in self.said():
                raise unittest.SkipTest(f'no service here: {self.said().strip()}')
            raise NotReady(status, line + self.said())
        self.host, self.port = ready[1], int(ready[2]) if ready[2].isdigit() else None
        self.listens = dict(word.split('=', 1) for word in ready[3].split())

    @property
    def url(self):
        return f'http://{self.host}:{self.port}'

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        return self.errors.read_text()

    def memory(self):
        """Bytes of memory that are its own: not the region, which is shared, or private and kept from children."""
        own = 0
        for mapping in re.split(r'^(?=[0-9a-f]+-[0-9a-f]+ )', pathlib.Path(f'/proc/{self.pid}/smaps').read_text(), flags=re.M):
            size = re.search(r'^Anonymous:\s*(\d+) kB', mapping, re.M)
            if size and ' dc' not in re.search(r'^VmFlags:(.*)', mapping, re.M)[1]:
                own += int(size[1]) << 10
        return own

    def end(self, how=signal.SIGTERM, timeout=60):
        """The exit status, negative for a signal."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'{how} was ignored for {timeout} s') from None
        finally:
            self.process.stdout.close()
        return status

    def client(self, timeout=30):
        return Client(self.port, timeout)

    def metrics(self):
        with self.client() as c:
            return parse_metrics(c.ask('GET', '/metrics').body.decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __repr__(self):
        return f'<{self.status} {self.fields} {self.body[:80]!r}>'


class Client:
    """One connection, on which bytes are sent as given and replies are read one by one."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile('rb')

    def send(self, data):
        self.socket.sendall(data)

    def reply(self, to='GET'):
        """The next reply; None if the connection was closed instead."""
        line = self.input.readline()
        if not line:
            return None
        match = re.fullmatch(rb'HTTP/1\.1 (\d{3}) [^\r\n]*\r\n', line)
        assert match, line
        status, fields = int(match[1]), {}
        while (line := self.input.readline()) != b'\r\n':
            name, colon, value = line.partition(b':')
            assert colon and line.endswith(b'\r\n'), line
            name = name.decode().lower()
            assert name not in fields, f'{name} twice'
            fields[name] = value.decode().strip()
        body = b''
        if status >= 200 and status not in (204, 304) and to != 'HEAD':
            if fields.get('transfer-encoding') == 'chunked':
                assert 'content-length' not in fields
                body = b''.join(iter(self.chunk, b''))
                assert self.input.readline() == b'\r\n', 'a trailer'
            else:
                body = self.read(int(fields['content-length']))
        return Reply(status, fields, body)

    def read(self, length):
        data = self.input.read(length)
        assert len(data) == length, 'a body was cut short'
        return data

    def chunk(self):
        """The next one's bytes; of the last one nothing, and the trailer stands behind it."""
        size = self.input.readline()
        assert re.fullmatch(rb'[0-9a-f]+\r\n', size), size
        data = self.read(int(size, 16))
        assert not data or self.read(2) == b'\r\n'
        return data

    def ask(self, method, path, body=None, fields=''):
        self.send(request(method, path, body, fields))
        return self.reply(method)

    def is_closed(self):
        """The service has ended the connection in order."""
        return self.input.read(1) == b''

    def ask_many(self, asked):
        """Pipelined, a window of them at a time. asked: (method, path, body or None); yields the replies."""
        asked = list(asked)
        for at in range(0, len(asked), 64):
            window = asked[at:at + 64]
            sent = threading.Thread(target=self.send, args=(b''.join(request(*r) for r in window),))
            sent.start()
            for method, _, _ in window:
                yield self.reply(method)
            sent.join()

    def close(self):
        self.input.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def entries(body):
    """[(sequence number, bytes)] of a range."""
    found = []
    while body:
        head, _, body = body.partition(b'\n')
        sequence, length = map(int, head.split(b' '))
        found.append((sequence, body[:length]))
        assert len(body) >= length, 'an entry is cut short'
        body = body[length:]
    return found


def request(method, path, body=None, fields=''):
    length = '' if body is None else f'Content-Length: {len(body)}\r\n'
    return f'{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{fields}\r\n'.encode('latin-1') + (body or b'')


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)')


BUCKET = re.compile(r'(.+)_bucket\{(.*?),?le="([^"]+)"\}')


def check_histogram(name, samples):
    """Its buckets only grow, the last one is all, and sum and count are there, for each set of labels."""
    series = {}
    for sample, value in samples.items():
        match = BUCKET.fullmatch(sample)
        if match and match[1] == name:
            series.setdefault(match[2], []).append((float(match[3].replace('+Inf', 'inf')), value))
    assert series, f'{name} has no buckets'
    for labels, buckets in series.items():
        braces = f'{{{labels}}}' if labels else ''
        assert buckets == sorted(buckets), f'{name}: {buckets}'
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), f'{name}: {buckets}'
        assert buckets[-1] == (float('inf'), samples[f'{name}_count{braces}']), f'{name}: {buckets}'
        assert samples[f'{name}_sum{braces}'] >= 0


def parse_metrics(text):
    """Prometheus' text format 0.0.4, strictly, and its naming rules. {name{labels}: value}; the help and the type stand
    before a metric's samples, which are together and not repeated."""
    assert text.endswith('\n')
    samples, types, helps, current = {}, {}, set(), None
    for line in text.splitlines():
        if line.startswith('# HELP '):
            name, said = line.split(' ', 3)[2:]
            assert name not in helps, line
            assert said.endswith('.') and name.startswith('paste_'), line
            helps.add(name)
            current = name
        elif line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            assert name == current and name not in types and kind in ('counter', 'gauge', 'histogram'), line
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            if types.get(current) == 'histogram':
                assert name in (f'{current}_bucket', f'{current}_sum', f'{current}_count'), line
            else:
                assert name == current and name in types, f'{line}: not after its own TYPE'
                assert types[name] != 'counter' or name.endswith('_total') or name == 'paste_store_epoch', line
                assert types[name] == 'counter' or not name.endswith('_total'), line
            assert (name + (labels or '')) not in samples, line
            samples[name + (labels or '')] = float(value)
    assert helps == set(types), 'a HELP without a TYPE'
    for name, kind in types.items():
        if kind == 'histogram':
            check_histogram(name, samples)
        else:
            assert any(sample.split('{')[0] == name for sample in samples), f'{name} has no sample'
    return samples


class Bench:
    """`pst bench`, as a process that can be waited for; its result is JSON."""

    def __init__(self, pst, service, *args, url=None, prefix=()):
        self.process = subprocess.Popen([*prefix, pst, 'bench', url or service.url, *map(str, args), '--json'], env=ENV,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        started.append(self.process)

    def result(self, timeout=120):
        """(exit status, what it printed as JSON, or {}), stderr in ['said']."""
        try:
            out, said = self.process.communicate(timeout=timeout)
        finally:
            self.kill()
        try:
            found = json.loads(out)
        except ValueError:
            found = {}
        return self.process.returncode, {**found, 'said': said}

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def prove(pst, service, ledger, *args, prefix=()):
    """Everything that was acknowledged is there with the right bytes. What bench found."""
    status, found = Bench(pst, service, '--check', ledger, *args, prefix=prefix).result()
    if status or found.get('lost') or found.get('wrong') or not found.get('complete'):
        raise AssertionError(f'pst bench --check: status {status}\n{json.dumps(found, indent=1)}')
    return found


def wait_until(condition, what, timeout=20):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'not within {timeout} s: {what}')
        time.sleep(0.01)


def end_on_signal():
    """Told to end, by a time-out for one, take processes and folders along. (unittest would swallow an exception.)"""

    def end(*_):
        for process in started:
            if process.poll() is None:
                process.kill()
        for path in folders:
            shutil.rmtree(path, ignore_errors=True)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def main():
    """unittest's, with Meson's exit status if everything was skipped."""
    end_on_signal()
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if result.wasSuccessful() and result.testsRun and len(result.skipped) == result.testsRun:
        print(result.skipped[0][1])
        sys.exit(SKIPPED)
    sys.exit(not result.wasSuccessful())
