# SPDX-License-Identifier: BSD-2-Clause
"""A model of the service, and of its faults: keys and streams in dictionaries, one thread a connection.

The routes are those of `pst serve`: PUT, GET, DELETE /kv/KEY, POST /log/STREAM, GET /log/STREAM/SEQ. The
state is there for tests to look at and to damage (`keys`, `streams`), and `on_write` may change what a write
does. on_write(service, number, method, name, body) returns

    None                 as usual
    (status, apply)      answer so, and do it or not; status None: the usual one
    'duplicate', 'gap'   of an append: a number twice, one left out
    'die'                all connections end, unanswered
"""
import random
import socket
import threading


class ModelService:
    def __init__(self, on_write=None, close_every=0, dribble=False, keys=None, streams=None,
                 host='127.0.0.1'):
        self.keys = {} if keys is None else keys
        self.streams = {} if streams is None else streams  # name -> {seq: bytes}
        self.next = {name: max(entries, default=0) + 1 for name, entries in self.streams.items()}
        self.on_write = on_write
        self.close_every = close_every
        self.dribble = dribble
        self.writes = 0
        self.requests = 0
        self.lock = threading.Lock()
        self.connections = set()
        self.dead = False
        self.listener = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.url = f'http://[{host}]:{self.port}' if ':' in host else f'http://{host}:{self.port}'
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self):
        """As a killed process: every socket is closed, what was not answered never will be."""
        self.dead = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for s in list(self.connections):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.die()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.add(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            self._serve_requests(s)
        except (OSError, ValueError):
            pass
        finally:
            self.connections.discard(s)
            s.close()

    def _serve_requests(self, s):
        data = b''
        answered = 0
        while True:
            while b'\r\n\r\n' not in data:
                more = s.recv(65536)
                if not more:
                    return
                data += more
            head, data = data.split(b'\r\n\r\n', 1)
            lines = head.decode('ascii').split('\r\n')
            method, path, version = lines[0].split(' ')
            fields = dict(line.lower().split(': ', 1) for line in lines[1:])
            assert version == 'HTTP/1.1' and fields['host'] == self.url[7:]
            length = int(fields.get('content-length', 0))
            while len(data) < length:
                more = s.recv(65536)
                if not more:
                    return
                data += more
            body, data = data[:length], data[length:]
            answer = self._answer(method, path, body)
            if answer is None:
                self.die()
                return
            answered += 1
            close = self.close_every and answered % self.close_every == 0
            self._send(s, *answer, close)
            if close:
                return

    def _send(self, s, status, body, close):
        head = f'HTTP/1.1 {status} Whatever\r\n'
        if status != 204:
            head += f'content-length:{len(body)} \r\n'
        if close:
            head += 'Connection: close\r\n'
        out = head.encode() + b'\r\n' + (b'' if status == 204 else body)
        if not self.dribble:
            s.sendall(out)
            return
        while out:
            n = random.choice((1, 7, 40, 5000))
            s.sendall(out[:n])
            out = out[n:]

    def _answer(self, method, path, body):
        with self.lock:
            if self.dead:
                return None
            self.requests += 1
            if method == 'GET':
                return self._read(path)
            name = path.split('/')[2]
            self.writes += 1
            what = self.on_write and self.on_write(self, self.writes, method, name, body)
            if what == 'die':
                return None
            if isinstance(what, tuple):
                status, apply = what
                if apply:
                    answer = self._write(method, name, body)
                    return answer if status is None else (status, b'')
                return status, b''
            return self._write(method, name, body, what)

    def _read(self, path):
        parts = path.split('/')
        if parts[1] == 'kv':
            value = self.keys.get(parts[2])
        else:
            value = self.streams.get(parts[2], {}).get(int(parts[3]))
        return (404, b'no') if value is None else (200, value)

    def _write(self, method, name, body, what=None):
        if method == 'PUT':
            status = 204 if name in self.keys else 201
            self.keys[name] = body
            return status, b''
        if method == 'DELETE':
            return (404, b'') if self.keys.pop(name, None) is None else (204, b'')
        assert method == 'POST'
        seq = self.next.get(name, 1)
        if what == 'gap':
            seq += 1
        if what == 'duplicate' and seq > 1:
            seq -= 1
        self.next[name] = seq + 1
        self.streams.setdefault(name, {})[seq] = body
        return 201, b'{"seq": %d}' % seq
