# SPDX-License-Identifier: BSD-2-Clause
"""pst serve --xdp --http over a veth pair: the kernel's TCP as the client, our own as the server."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import signal
import socket
import tempfile
import time

import pcapng
from datagrams import Sender
from running import Service, check, create, folder_on, main, request, run, take_pst, wait_until
from veth_pair import ADDRESS, HERE, PairTest, skip_if_needed

PST = take_pst()
PORT = 8080


class TcpXdp(PairTest):
    queues = 2

    def start(self, region, version, *args):
        host = ADDRESS[version][0]
        where = f'[{host}]:{PORT}' if version == 6 else f'{host}:{PORT}'
        return self.open.enter_context(Service(PST, region, '--public', '--xdp', HERE, *args, http=where))

    def region(self, medium='shm', size='64M'):
        return create(PST, self.open.enter_context(folder_on(medium)) / 'region', size, medium)

    def client(self, version, timeout=20):
        c = http.client.HTTPConnection(ADDRESS[version][0], PORT, timeout=timeout)
        c.sock = self.pair.socket(version, socket.SOCK_STREAM)
        c.sock.settimeout(timeout)
        c.sock.connect((ADDRESS[version][0], PORT))
        self.open.callback(c.close)
        return c

    def ask(self, c, method, path, body=None):
        c.request(method, path, body)
        reply = c.getresponse()
        return reply.status, reply.read()

    def test_values_of_all_sizes_over_both_families_survive_a_kill(self):
        region, kept = self.region(), {}
        for version in (4, 6):
            with self.start(region, version) as service:
                c = self.client(version)
                for size in (0, 1, 64, 1400, 1460, 5000, 65536, 3000000):
                    key, body = f'v{version}-{size}', os.urandom(size)
                    self.assertIn(self.ask(c, 'PUT', f'/kv/{key}', body)[0], (200, 201, 204))
                    self.assertEqual(self.ask(c, 'GET', f'/kv/{key}'), (200, body))
                    kept[key] = body
                self.assertEqual(self.ask(c, 'GET', '/kv/nothing')[0], 404)
                self.assertIn(' xdp=copy', service.said())  # all that a veth can do
                service.end(signal.SIGKILL)
        with self.start(region, 4) as service:
            c = self.client(4)
            for key, body in kept.items():
                self.assertEqual(self.ask(c, 'GET', f'/kv/{key}'), (200, body))
            c.close()
            self.assertEqual(service.end(signal.SIGTERM), 0)
        check(PST, region)

    def test_many_clients_at_once(self):
        region = self.region()
        with self.start(region, 4):
            def work(n):
                c, seen = self.client(4), 0
                for i in range(20):
                    body = hashlib.sha256(f'{n} {i}'.encode()).digest() * (1 + 37 * i % 100)
                    self.assertIn(self.ask(c, 'PUT', f'/kv/{n}-{i}', body)[0], (200, 201, 204))
                    self.assertEqual(self.ask(c, 'GET', f'/kv/{n}-{i}'), (200, body))
                    seen += 1
                c.close()
                return seen
            # Sockets are made in the other namespace one after the other.
            clients = [self.client(4) for _ in range(40)]
            for c in clients:
                self.assertEqual(self.ask(c, 'GET', '/kv/none')[0], 404)
            self.assertEqual(sum(work(n) for n in range(3)), 60)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                statuses = list(pool.map(lambda c: self.ask(c, 'PUT', f'/kv/x{id(c)}', b'y' * 2000)[0], clients))
            self.assertTrue(all(s in (200, 201, 204) for s in statuses), statuses)

    def test_clients_of_a_killed_server_are_reset_and_it_may_start_again(self):
        region = self.region()
        with self.start(region, 4) as service:
            c = self.client(4)
            self.assertIn(self.ask(c, 'PUT', '/kv/a', b'1')[0], (200, 201, 204))
            service.end(signal.SIGKILL)
        with self.start(region, 4):
            began = time.monotonic()
            with self.assertRaises(OSError):
                # The stack knows no such connection: it answers with a reset.
                self.ask(c, 'GET', '/kv/a')
            self.assertLess(time.monotonic() - began, 10)
            self.assertEqual(self.ask(self.client(4), 'GET', '/kv/a'), (200, b'1'))

    def test_connections_are_listed(self):
        region = self.region()
        for version in (4, 6):
            with self.start(region, version) as service:
                clients = [self.client(version) for _ in range(3)]
                for c in clients:
                    self.assertEqual(self.ask(c, 'PUT', '/kv/a', b'x' * 9000)[0] // 100, 2)
                said = json.loads(run(PST, 'ss', region, '--json').stdout)
                self.assertEqual((said['transport'], said['connections_now'], said['half_open']), ('own', 3, 0))
                self.assertGreater(said['segments_received'], 3 * 9000 / 1460)
                listed = {c['peer']: c for c in said['connections']}
                for c in clients:
                    host, port = c.sock.getsockname()[:2]
                    one = listed[f'[{host}]:{port}' if version == 6 else f'{host}:{port}']
                    self.assertEqual((one['state'], one['local']), ('ESTABLISHED', f'{service.host}:{service.port}'))
                    self.assertGreater(one['received_bytes'], 9000)
                    self.assertGreater(one['sent_bytes'], 20)
                    self.assertEqual((one['unsent'], one['held'], one['retransmitted']), (0, 0, 0))
                    self.assertTrue(0 < one['rtt_us'] < 5000000 and 1200 < one['mss'] <= 1460, one)
                    self.assertTrue(one['cwnd'] >= 10 * 1220 and one['window'] and one['peer_window'], one)
                text = run(PST, 'ss', region).stdout.splitlines()
                self.assertEqual(len(text), 8)
                self.assertTrue(text[-1].startswith('our own TCP: connections_now:3 accepted:3 '), text[-1])
                clients[0].sock.close()
                wait_until(lambda: sorted(c['state'] for c in json.loads(run(PST, 'ss', region, '--json').stdout)[
                    'connections'] if c['state'] != 'TIME-WAIT') == ['ESTABLISHED'] * 2, 'one closed')
                service.end(signal.SIGKILL)

    def test_at_a_signal_idle_connections_end_and_busy_ones_get_their_answer(self):
        region, body = self.region(), os.urandom(50000)
        with self.start(region, 4) as service:
            idle, busy = self.client(4), self.client(4)
            self.assertEqual(self.ask(idle, 'PUT', '/kv/idle', b'x')[0], 201)
            sent = request('PUT', '/kv/busy', body)
            busy.sock.sendall(sent[:30000])
            time.sleep(.2)
            service.process.send_signal(signal.SIGTERM)
            self.assertEqual(idle.sock.recv(1), b'')
            busy.sock.sendall(sent[30000:])
            with busy.sock.makefile('rb') as f:
                answer = f.read()  # to the end
            self.assertTrue(answer.startswith(b'HTTP/1.1 201 '), answer)
            self.assertIn(b'connection: close', answer.lower())
            for c in idle, busy:
                c.close()
            self.assertEqual(service.process.wait(20), 0, service.said())
        with self.start(region, 4):
            self.assertEqual(self.ask(self.client(4), 'GET', '/kv/busy'), (200, body))

    def test_a_client_that_never_ends_is_reset_at_the_second_signal(self):
        region = self.region()
        with self.start(region, 4) as service:
            c = self.client(4)
            c.sock.sendall(request('PUT', '/kv/x', b'x' * 1000)[:500])
            time.sleep(.2)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(.3)
            with self.assertRaises(ConnectionRefusedError):
                self.client(4)
            self.assertIsNone(service.process.poll())
            self.assertEqual(service.end(signal.SIGTERM), 0, service.said())
            with self.assertRaises(ConnectionResetError):
                c.sock.recv(1)
        check(PST, region)

    def test_more_connections_than_allowed_wait_and_the_others_live(self):
        with self.start(self.region(), 4, '--connections', '5') as service:
            clients = [self.client(4) for _ in range(5)]
            for c in clients:
                self.assertEqual(self.ask(c, 'GET', '/kv/none')[0], 404)
            with self.assertRaises(TimeoutError):
                self.client(4, timeout=1.5)
            for c in clients:
                self.assertIn(self.ask(c, 'PUT', '/kv/a', b'x')[0], (201, 204))
            clients[0].close()
            late = self.client(4)  # its SYN is sent again, if it has to be
            self.assertEqual(self.ask(late, 'GET', '/kv/a'), (200, b'x'))
            self.assertRegex(self.ask(late, 'GET', '/metrics')[1], rb'paste_stack_refused\S* [1-9]')
            self.assertEqual(service.end(), 0)

    def test_no_descriptor_a_connection_is_needed(self):
        with self.start(self.region(), 4, '--connections', '1000000') as service:
            self.assertNotIn('limit of open files', service.said())
            self.assertEqual(self.ask(self.client(4), 'GET', '/kv/a')[0], 404)
            self.assertEqual(service.end(), 0)

    def test_a_trace_shows_both_ways(self):
        region, body = self.region(), os.urandom(20000)
        file = self.open.enter_context(tempfile.TemporaryDirectory()) + '/trace.pcapng'
        for how in (signal.SIGTERM, signal.SIGKILL):
            began = time.time()
            with self.start(region, 4, '--trace', file, '--udp', '9000') as service:
                c = self.client(4)
                self.assertEqual(self.ask(c, 'PUT', '/kv/a', body)[0] // 100, 2)
                self.assertEqual(self.ask(c, 'GET', '/kv/a'), (200, body))
                with Sender(ADDRESS[4][0], 9000, self.pair.socket(4)) as s:
                    s.ask(b'a datagram')
                port = c.sock.getsockname()[1]
                c.close()
                if how == signal.SIGKILL:  # written before long, although nothing more happens
                    time.sleep(2.5)
                service.end(how)
                if how == signal.SIGTERM:
                    self.assertRegex(service.said(), r'msg="trace closed" path=\S+ packets=\d+ left_out=0')
            trace = pcapng.read(file, whole=how == signal.SIGTERM)
            self.assertEqual((trace.interface, os.stat(file).st_mode & 0o777), (HERE, 0o600))
            if how == signal.SIGTERM:
                self.assertEqual((trace.received, trace.dropped), (len(trace.packets), 0))
            times = [p.time for p in trace.packets]
            self.assertTrue(began - 1 < times[0] and times == sorted(times) and times[-1] < time.time() + 1)
            # What the segments carried, put together again: some came twice, perhaps cut otherwise.
            streams, first = {True: bytearray(), False: bytearray()}, {}
            for p in trace.packets:
                ip = p.data[14:]
                self.assertEqual(p.data[12:14] + ip[:1], b'\x08\0\x45')
                peer = ip[20:22] if p.inbound else ip[22:24]
                if ip[9] == 6 and int.from_bytes(peer, 'big') == port:
                    payload = ip[20 + (ip[32] >> 4) * 4:int.from_bytes(ip[2:4], 'big')]
                    if payload:
                        seq = int.from_bytes(ip[24:28], 'big')
                        at = seq - first.setdefault(p.inbound, seq) & 0xffffffff
                        streams[p.inbound][at:at + len(payload)] = payload
            for said, starts in ((streams[True], b'PUT /kv/a HTTP/1.1'), (streams[False], b'HTTP/1.1 20')):
                self.assertTrue(said.startswith(starts) and body in said)
            self.assertEqual([p.data[42:52] for p in trace.packets if p.data[23] == 17 and p.inbound], [b'a datagram'])
            self.assertEqual(len([p for p in trace.packets if p.data[23] == 17 and not p.inbound]), 1)

    def test_an_address_that_nobody_has_is_refused(self):
        region = self.region()
        for args in (['--http', '10.9.9.9:8080'], ['--http', '[fd00:9::9]:8080'], ['--udp', '10.9.9.9:9000', '--http', 'none'],
                     ['--udp', '[fd00:9::9]:9000', '--http', 'none']):
            ran = run(PST, 'serve', region, '--public', '--xdp', HERE, *args, timeout=20)
            self.assertEqual((ran.returncode, ran.stdout), (1, ''), args)
            self.assertIn('no interface here has this address', ran.stderr)

    def test_loopback_stays_with_the_kernel(self):
        region = self.region()
        with self.open.enter_context(Service(PST, region, '--public', '--xdp', HERE)) as service:
            with service.client() as c:
                self.assertEqual(c.ask('GET', '/kv/a').status, 404)
            with self.assertRaises(OSError):
                self.client(4, timeout=2)


if __name__ == '__main__':
    skip_if_needed()
    main()
