# SPDX-License-Identifier: BSD-2-Clause
"""pst serve --xdp --udp over a veth pair: packets land in the region, the rest of the interface stays with the kernel."""
import http.client
import json
import os
import signal
import socket
import subprocess

import pcapng
from datagrams import REFUSED, Sender, split
from running import Service, check, create, folder_on, main, run, take_pst
from veth_pair import ADDRESS, HERE, THERE, PairTest, skip_if_needed

PST = take_pst()
PORT = 9000


class UdpXdp(PairTest):
    queues = 2

    def start(self, region, *args, where='127.0.0.1:0'):
        return self.open.enter_context(Service(PST, region, '--public', '--xdp', HERE, *args, http=where))

    def over_http(self, method, path, body=None):
        """Asked from the other namespace; a connection each."""
        with self.pair.socket(4, socket.SOCK_STREAM) as s:
            s.settimeout(20)
            s.connect((ADDRESS[4][0], 8080))
            c = http.client.HTTPConnection(ADDRESS[4][0])
            c.sock = s
            c.request(method, path, body)
            reply = c.getresponse()
            return reply.status, reply.read()

    def region(self, medium='shm', size='32M'):
        return create(PST, self.open.enter_context(folder_on(medium)) / 'region', size, medium)

    def sender(self, version, port=PORT, timeout=10):
        return self.open.enter_context(Sender(ADDRESS[version][0], port, self.pair.socket(version), timeout))

    def entry(self, service, stream, sequence):
        with service.client() as c:
            reply = c.ask('GET', f'/log/{stream}/{sequence}')
            return reply.body if reply.status == 200 else reply.status

    def test_entries_of_both_families_survive_a_kill(self):
        for medium in ('shm', 'file'):
            with self.subTest(medium):
                region = self.region(medium)
                sent = {}
                with self.start(region, '--udp', f'{PORT}:messages') as service:
                    self.assertEqual(service.listens['udp'], f'{HERE}:{PORT}')
                    for version, most in ((4, 1472), (6, 1452)):
                        # Several source ports: both queues have some.
                        for _ in range(8):
                            s = self.sender(version)
                            for size in (0, 1, 64, 65, 700, most):
                                body = os.urandom(size)
                                sent[s.ask(body)] = body
                    self.assertIn(' xdp=copy', service.said())  # all that a veth can do
                    service.end(signal.SIGKILL)
                self.assertEqual(sorted(sent), list(range(1, len(sent) + 1)))
                with self.start(region, '--udp', f'{PORT}:messages') as service:
                    for sequence, body in sent.items():
                        self.assertEqual(self.entry(service, 'messages', sequence), body)
                    self.assertEqual(self.sender(4).ask(b'more'), len(sent) + 1)
                    self.assertEqual(service.end(), 0)
                check(PST, region)

    def test_the_kernel_keeps_the_rest_and_gets_our_port_back(self):
        ours = self.open.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        ours.bind(('::', PORT + 1))
        ours.settimeout(10)
        with self.start(self.region(), '--udp', str(PORT)) as service:
            self.assertEqual(self.sender(4).ask(b'x'), 1)
            for version in (4, 6):
                self.sender(version, PORT + 1).send(b'for the kernel')
                self.assertEqual(ours.recv(100), b'for the kernel')
            # An echo request: type 8, sum, identity 1, number 1; the reply is type 0.
            ping = self.open.enter_context(self.pair.socket(4, socket.SOCK_RAW, socket.IPPROTO_ICMP))
            ping.settimeout(10)
            ping.sendto(b'\x08\0\xf7\xfd\0\1\0\1', (ADDRESS[4][0], 0))
            self.assertEqual(ping.recv(100)[20:], b'\0\0\xff\xfd\0\1\0\1')
            service.end(signal.SIGKILL)
        gone = self.sender(4)
        gone.send(b'x')
        with self.assertRaises(ConnectionRefusedError):
            gone.answer()

    def test_one_address_is_ours_and_the_other_the_kernels(self):
        with self.start(self.region(), '--udp', f'{ADDRESS[4][0]}:{PORT}:s') as service:
            self.assertEqual(service.listens['udp'], f'{HERE}/{ADDRESS[4][0]}:{PORT}')
            self.assertEqual(self.sender(4).ask(b'x'), 1)
            other = self.sender(6)
            other.send(b'x')
            with self.assertRaises(ConnectionRefusedError):
                other.answer()

    def test_several_streams_and_http_share_the_interface(self):
        for spin in ((), ('--spin',)):
            with self.subTest(spin):
                region, kept = self.region(), {'a': [], 'b': []}
                udp = ('--udp', f'{PORT}:a', '--udp', f'{ADDRESS[4][0]}:{PORT + 1}:b')
                with self.start(region, *udp, *spin, where=f'{ADDRESS[4][0]}:8080') as service:
                    self.assertEqual(service.listens['udp'], f'{HERE}:{PORT},{HERE}/{ADDRESS[4][0]}:{PORT + 1}')
                    for i in range(40):
                        for stream, port, version in (('a', PORT, 6 if i % 2 else 4), ('b', PORT + 1, 4)):
                            kept[stream].append(os.urandom(37 * i))
                            self.assertEqual(self.sender(version, port).ask(kept[stream][-1]), i + 1)
                        self.assertIn(self.over_http('PUT', '/kv/k', str(i))[0], (201, 204))
                        self.assertEqual(self.over_http('GET', f'/log/a/{i + 1}'), (200, kept['a'][-1]))
                    # A burst to one of them, larger than what is taken at once.
                    s = self.sender(4)
                    for i in range(150):
                        s.send(b'%d ' % i * 300)
                        kept['a'].append(b'%d ' % i * 300)
                    self.assertEqual([s.answer() for _ in range(150)], list(range(41, 191)))
                    service.end(signal.SIGKILL)
                with self.start(region) as service:
                    for stream, bodies in kept.items():
                        for i, body in enumerate(bodies):
                            self.assertEqual(self.entry(service, stream, i + 1), body)
                    self.assertEqual(service.end(), 0)
                check(PST, region)

    def test_several_streams_without_http_on_the_interface(self):
        udp = [x for i in range(8) for x in ('--udp', f'{PORT + i}:s{i}')]
        with self.start(self.region(), *udp) as service:
            for n in range(1, 4):
                senders = [self.sender(4, PORT + i) for i in range(8)]
                for i, s in enumerate(senders):
                    s.send(b'%d' % i * 500)
                self.assertEqual([s.answer() for s in senders], [n] * 8)
            self.assertEqual([self.entry(service, f's{i}', 3) for i in range(8)], [b'%d' % i * 500 for i in range(8)])
            self.assertEqual(service.end(), 0)
        twice = run(PST, 'serve', self.region(), '--public', '--xdp', HERE, '--udp', '1', '--udp', '1')
        self.assertEqual(twice.returncode, 1)
        self.assertIn('UDP port 1 is served already', twice.stderr)

    def test_a_burst_is_answered_whole(self):
        service = self.start(self.region(size='64M'), '--udp', str(PORT), '--spin')
        s = self.sender(4)
        bodies = [b'%d ' % i * 100 for i in range(200)]
        for b in bodies:
            s.send(b)
        answers = [s.answer() for _ in bodies]
        self.assertEqual(answers, list(range(1, len(bodies) + 1)))
        self.assertEqual([self.entry(service, 'udp', i) for i in answers], bodies)

    def test_the_rings_of_a_running_service_are_shown(self):
        region = self.region()
        with self.start(region, '--udp', str(PORT)) as service:
            for i in range(1, 11):
                self.assertEqual(self.sender(4).ask(bytes(1400)), i)
            said = json.loads(run(PST, 'port', HERE, '--region', region, '--json').stdout)
            port, = said['in_use']
            self.assertEqual((port['interface'], port['queues'], len(port['rings'])), (HERE, 2, 2))
            self.assertIn(port['mode'], ('copy', 'generic'))
            self.assertEqual(port['gather_bytes'], 0xffffffff)  # where the kernel copies, one frame is faster
            for way in ('receive', 'transmit'):
                self.assertEqual(sum(ring[way]['packets'] for ring in port['rings']), 10)
            self.assertEqual(sum(ring['kernel']['steered'] for ring in port['rings']), 10)
            self.assertEqual(sum(ring['kernel']['absent'] + ring['kernel']['no_room'] for ring in port['rings']), 0)
            self.assertTrue(all(ring['kernel']['posted'] > 0 for ring in port['rings']))
            text = run(PST, 'port', HERE, '--region', region).stdout
            self.assertIn(f'{HERE}, 2 queues, obtained: {port["mode"]}', text)
            rows = self.counters(text)
            for i, ring in enumerate(port['rings']):
                for row, counted in ((f'receive {i}', ring['receive']), (f'transmit {i}', ring['transmit']),
                                     (f'queue {i}', ring['kernel'])):
                    self.assertEqual(list(rows[row]), list(counted))  # every counter, zeroes too
                    if row != f'queue {i}':  # nothing was sent meanwhile; what the kernel was passed may have grown
                        self.assertEqual(rows[row], counted)
            self.assertEqual(text.count('payloads are copied behind their headers'), 1)
            self.assertIn('copied behind their headers into one frame', text)
            self.assertEqual(service.end(), 0)
        self.assertNotIn('in use', run(PST, 'port', HERE, '--region', region).stdout)

    @staticmethod
    def counters(text):
        """{'receive 0': {'packets': 10, ...}, 'queue 0': {...}}: the rows with numbers below rows with their names."""
        rows, names = {}, []
        for line in text.splitlines():
            first, words = line[:14].rstrip(), line[14:].split()
            if first in ('ring', 'kernel'):
                names = words
            elif names and len(words) == len(names) and all(w.isdigit() for w in words):
                rows[first] = dict(zip(names, map(int, words)))
        return rows

    def test_an_interface_without_a_link_is_warned_of(self):
        def warnings(service):
            return [line for line in service.said().splitlines() if 'level=warn' in line]

        def link(name, how, *there):
            subprocess.run([*there, 'ip', 'link', 'set', name, how], check=True, timeout=20)

        self.addCleanup(self.pair.address)  # a link that is set down loses its IPv6 addresses
        self.addCleanup(link, THERE, 'up', *self.pair.there())
        self.addCleanup(link, HERE, 'up')
        link(THERE, 'down', *self.pair.there())
        for how, said in (('up', 'no carrier'), ('down', 'is down')):
            link(HERE, how)
            with self.start(self.region(), '--udp', str(PORT)) as service:
                line, = warnings(service)
                self.assertIn(said, line)
                self.assertIn(f'interface={HERE}', line)
                self.assertIn('other end' if how == 'up' else f'ip link set dev {HERE} up', line)
                self.assertIn(said, run(PST, 'port', HERE).stdout)
                link(HERE, 'up')
                link(THERE, 'up', *self.pair.there())
                self.assertEqual(self.sender(4).ask(b'now'), 1)
                self.assertEqual(service.end(), 0)
            link(THERE, 'down', *self.pair.there())
        link(THERE, 'up', *self.pair.there())
        with self.start(self.region(), '--udp', str(PORT)) as service:
            self.assertEqual(warnings(service), [])

    def test_a_trace_without_http_on_the_interface(self):
        for ports in ((PORT,), (PORT, PORT + 1)):
            region = self.region()
            file = f'{region}.pcapng'
            with self.start(region, '--trace', file, *(x for p in ports for x in ('--udp', p))) as service:
                for p in ports:
                    self.assertEqual(self.sender(4, p).ask(b'kept') > 0, True)
                self.assertEqual(service.end(), 0)
            trace = pcapng.read(file)
            self.assertEqual([p.inbound for p in trace.packets], [True, False] * len(ports))
            self.assertEqual([p.data[42:46] for p in trace.packets if p.inbound], [b'kept'] * len(ports))
        refused = run(PST, 'serve', self.region(), '--public', '--xdp', HERE, '--trace', '/dev/full/x')
        self.assertEqual(refused.returncode, 2)  # nothing is served over it
        refused = run(PST, 'serve', self.region(), '--public', '--xdp', HERE, '--udp', PORT, '--trace', '/no/such/folder')
        self.assertEqual(refused.returncode, 1)
        self.assertIn('/no/such/folder', refused.stderr)

    def test_full_is_an_answer(self):
        region = self.region(size='4M')
        service = self.start(region, '--udp', str(PORT))
        s, kept, answer = self.sender(4), {}, 0
        for i in range(8000):
            body = b'%6d' % i * 200
            answer = s.ask(body)
            if answer & REFUSED:
                break
            kept[answer] = body
        self.assertEqual(answer, REFUSED | 1)
        for sequence in list(kept)[::7]:
            self.assertEqual(self.entry(service, 'udp', sequence), kept[sequence])
        self.assertEqual(service.end(), 0)
        check(PST, region)


if __name__ == '__main__':
    skip_if_needed()
    main()
