# SPDX-License-Identifier: BSD-2-Clause
"""How requests arrive: many in one write, one in many writes, from thousands of connections at once."""
import os
import resource
import socket
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


if __name__ == '__main__':
    main()
