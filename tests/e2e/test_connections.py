# SPDX-License-Identifier: BSD-2-Clause
"""How requests arrive: many in one write, one in many writes, from thousands of connections at once."""
import contextlib
import os
import resource
import socket
import threading
import time
import unittest

from running import Client, Service, check, create, folder_on, main, request, take_pst, wait_until

PST = take_pst()
CONNECTIONS = 2000


class Connections:
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(folder_on(cls.medium))
        cls.region = create(PST, cls.folder / 'region', '64M', cls.medium)
        cls.service = cls.enterClassContext(Service(PST, cls.region))

    @classmethod
    def tearDownClass(cls):
        status = cls.service.end()
        assert status == 0, cls.service.said()
        check(PST, cls.region)

    def test_a_hundred_requests_in_one_write_are_answered_in_order(self):
        requests, wanted = [], []
        for n in range(20):
            value = bytes([65 + n]) * (1 << n % 14)
            requests += [request('PUT', f'/kv/p{n}', value), request('GET', f'/kv/p{n}'),
                         request('POST', '/log/pipelined', value), request('DELETE', f'/kv/p{n}'),
                         request('GET', f'/kv/p{n}')]
            wanted += [(201, b''), (200, value), (201, b'{"seq":%d}\n' % (n + 1)), (204, b''), (404, b'no such key\n')]
        with self.service.client() as c:
            c.send(b''.join(requests))
            self.assertEqual([(r.status, r.body) for r in (c.reply() for _ in wanted)], wanted)

    def test_replies_that_nobody_takes_hold_up_reading_and_nothing_is_lost(self):
        """Sent without reading a byte: the service stops reading; then all answers are there, in order."""
        big = os.urandom(200000)
        with self.service.client() as c:
            self.assertEqual(c.ask('PUT', '/kv/big', big).status, 201)
            c.socket.settimeout(1)
            asked = request('GET', '/kv/big')
            sent = 0
            try:
                while sent < 4000 * len(asked):  # some 800 MB of answers
                    sent += c.socket.send(asked * 100 if sent % len(asked) == 0 else asked[sent % len(asked):])
            except TimeoutError:
                pass
            own = self.service.memory()
            self.assertLess(own, 64 << 20, 'answers that nobody takes are piled up')
            c.socket.settimeout(30)
            for _ in range(sent // len(asked)):
                self.assertEqual(c.reply().body, big)
        with self.service.client() as c:
            self.assertEqual(c.ask('DELETE', '/kv/big').status, 204)

    def test_requests_split_in_two_at_every_byte(self):
        sent = (request('PUT', '/kv/split%20key', b'0123456789' * 3) + request('GET', '/kv/split%20key') +
                request('POST', '/log/split', b'') + request('DELETE', '/kv/split%20key'))
        for at in range(1, len(sent)):
            with self.service.client() as c:
                c.send(sent[:at])
                if at % 4 == 0:
                    time.sleep(.001)
                c.send(sent[at:])
                self.assertEqual([c.reply().status for _ in range(4)], [201, 200, 201, 204], at)
        with self.service.client() as c:
            self.assertEqual(c.ask('POST', '/log/split').body, b'{"seq":%d}\n' % len(sent))

    def test_requests_byte_by_byte(self):
        sent = request('PUT', '/kv/crumbs', b'crumbs' * 40) + request('GET', '/kv/crumbs') + request('DELETE', '/kv/crumbs')
        with self.service.client() as c:
            for at in range(len(sent)):
                c.send(sent[at:at + 1])
            self.assertEqual(c.reply().status, 201)
            self.assertEqual(c.reply().body, b'crumbs' * 40)
            self.assertEqual(c.reply().status, 204)

    def test_a_half_closed_connection_gets_its_answers(self):
        with self.service.client() as c:
            c.send(request('PUT', '/kv/half', b'x') + request('GET', '/kv/half') + b'GET /kv/unfin')
            c.socket.shutdown(socket.SHUT_WR)
            self.assertEqual((c.reply().status // 100, c.reply().body), (2, b'x'))
            self.assertTrue(c.is_closed())

    def test_an_unfinished_body_changes_nothing(self):
        with self.service.client() as c:
            c.send(b'PUT /kv/unfinished HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n' + b'x' * 99999)
        with self.service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/unfinished').status, 404)

    def test_thousands_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + 100:
            self.skipTest(f'the limit of open files is {hard}')
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        clients = []
        try:
            for _ in range(CONNECTIONS):
                clients.append(Client(self.service.port))
            # Everybody asks, then everybody listens; twice, with each one's own answer.
            for turn in range(2):
                for n, c in enumerate(clients):
                    c.send(request('PUT', f'/kv/many{n}', b'%d of %d' % (n, turn)) + request('GET', f'/kv/many{n}'))
                for n, c in enumerate(clients):
                    self.assertEqual(c.reply().status, 204 if turn else 201)
                    self.assertEqual(c.reply().body, b'%d of %d' % (n, turn))
            self.assertGreaterEqual(self.service.metrics()['paste_http_connections'], CONNECTIONS)
            self.assertLess(self.service.memory(), 64 << 20)
        finally:
            for c in clients:
                c.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(lambda: self.service.metrics()['paste_stack_connections'] < 10, 'the connections are gone')


class OnShm(Connections, unittest.TestCase):
    medium = 'shm'


class OnFile(Connections, unittest.TestCase):
    medium = 'file'


class Limited(unittest.TestCase):
    def test_more_connections_than_allowed_are_refused_and_the_others_live(self):
        with folder_on('shm') as folder:
            region = create(PST, folder / 'region', '16M')
            with Service(PST, region, '--connections', 5) as service:
                clients = [service.client() for _ in range(5)]
                for n, c in enumerate(clients):
                    self.assertEqual(c.ask('PUT', f'/kv/{n}', b'x').status, 201)
                with service.client() as c:
                    with self.assertRaises((ConnectionError, AttributeError)):
                        c.ask('GET', '/kv/0').status
                clients.pop().close()
                time.sleep(.1)
                with service.client() as c:
                    self.assertEqual(c.ask('GET', '/kv/0').status, 200)
                for c in clients:
                    self.assertEqual(c.ask('GET', '/kv/0').status, 200)
                    c.close()


class Patience(unittest.TestCase):
    def test_idle_and_slow_clients_are_ended_in_time(self):
        with folder_on('shm') as folder:
            region = create(PST, folder / 'region', '16M')
            options = ('--idle-timeout', 3, '--request-timeout', 1)
            with Service(PST, region, *options) as service, service.client() as idle, service.client() as slow, \
                    service.client() as body:
                began = time.monotonic()
                slow.send(b'GET /kv/a HTTP/1.1\r\n')
                body.send(b'PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n')
                for n in range(8):  # a little at a time does not help
                    with contextlib.suppress(ConnectionError):
                        slow.send(b'X: y\r\n')
                        body.send(b'x')
                    time.sleep(.1)
                self.assertEqual(slow.reply().status, 408)
                self.assertEqual(body.reply().status, 408)
                self.assertTrue(slow.is_closed() and body.is_closed())
                self.assertGreater(time.monotonic() - began, 1)
                self.assertTrue(idle.is_closed())
                self.assertGreater(time.monotonic() - began, 3)
                self.assertEqual(service.metrics()['paste_http_timed_out_total'], 2)

    def test_small_requests_pass_by_large_bodies(self):
        size = 12 << 20
        with folder_on('shm') as folder:
            region = create(PST, folder / 'region', '256M')
            with Service(PST, region) as service, service.client() as small:
                large = [service.client() for _ in range(4)]
                sent = [threading.Thread(target=c.send, args=(request('PUT', f'/kv/{n}', bytes(size)),))
                        for n, c in enumerate(large)]
                for thread in sent:
                    thread.start()
                asked = 0
                while asked < 50 or any(thread.is_alive() for thread in sent):
                    began = time.monotonic()
                    self.assertEqual(small.ask('GET', '/kv/none').status, 404)
                    self.assertLess(time.monotonic() - began, 2)  # of a loaded machine
                    asked += 1
                for c, thread in zip(large, sent):
                    thread.join()
                    self.assertEqual(c.reply().status, 201)
                    c.close()

    def test_ten_thousand_idle_connections_cost_little(self):
        connections = 10000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < connections + 200:
            self.skipTest(f'the limit of open files is {hard}')
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        clients = []
        try:
            with folder_on('shm') as folder:
                region = create(PST, folder / 'region', '64M')
                with Service(PST, region, '--connections', connections + 10) as service, service.client() as other:
                    before = service.memory()
                    for _ in range(connections):
                        clients.append(socket.create_connection(('127.0.0.1', service.port)))
                    for c in clients:
                        c.sendall(request('GET', '/kv/none'))
                        c.recv(1000)
                    self.assertLess((service.memory() - before) / connections, 1024)
                    self.assertEqual(other.ask('PUT', '/kv/a', b'x').status, 201)
                    for c in clients:
                        c.close()
        finally:
            for c in clients:
                c.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == '__main__':
    main()
