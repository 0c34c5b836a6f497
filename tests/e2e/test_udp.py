# SPDX-License-Identifier: BSD-2-Clause
"""pst serve --udp over kernel sockets: datagrams become entries, and an answer says which."""
import contextlib
import os
import signal
import socket
import unittest

from datagrams import FULL, REFUSED, TOO_LARGE, Sender, split
from running import Bench, Service, check, create, folder_on, main, prove, run, take_pst

PST = take_pst()


class Udp(unittest.TestCase):
    def setUp(self):
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)

    def region(self, medium='shm', size='32M'):
        return create(PST, self.open.enter_context(folder_on(medium)) / 'region', size, medium)

    def start(self, region, *args, **kwargs):
        service = self.open.enter_context(Service(PST, region, *args, **kwargs))
        self.addresses = [split(a) for a in service.listens['udp'].split(',')]
        return service

    def entry(self, service, stream, sequence):
        with service.client() as c:
            reply = c.ask('GET', f'/log/{stream}/{sequence}')
            return reply.body if reply.status == 200 else reply.status

    def test_entries_of_both_media_are_read_back_after_a_kill(self):
        for medium in ('shm', 'file'):
            with self.subTest(medium):
                region = self.region(medium)
                sent = {}
                with self.start(region, '--udp', '0:messages') as service:
                    for host, port in self.addresses:
                        with Sender(host, port) as s:
                            for size in (0, 1, 64, 65, 700, 1472, 1920):
                                body = os.urandom(size)
                                sent[s.ask(body)] = body
                    service.end(signal.SIGKILL)
                self.assertEqual(sorted(sent), list(range(1, len(sent) + 1)))
                with self.start(region, '--udp', '0:messages') as service:
                    for sequence, body in sent.items():
                        self.assertEqual(self.entry(service, 'messages', sequence), body)
                    with Sender(*self.addresses[0]) as s:
                        self.assertEqual(s.ask(b'more'), len(sent) + 1)
                    self.assertEqual(service.end(), 0)
                check(PST, region)

    def test_a_burst_is_answered_in_order(self):
        service = self.start(self.region(), '--udp', '0')
        with Sender(*self.addresses[0]) as s:
            bodies = [b'%d ' % i * 100 for i in range(100)]
            for b in bodies:
                s.send(b)
            answers = [s.answer() for _ in bodies]
        self.assertEqual(answers, list(range(1, 101)))
        self.assertEqual([self.entry(service, 'udp', i) for i in answers], bodies)
        metrics = service.metrics()
        self.assertEqual(metrics['paste_udp_kept_total'], 100)
        self.assertEqual(metrics['paste_udp_answered_total'], 100)
        self.assertEqual(metrics['paste_udp_kept_bytes_total'], sum(map(len, bodies)))

    def test_streams_and_http_beside_one_another(self):
        service = self.start(self.region(), '--udp', '127.0.0.1:0:a', '--udp', '127.0.0.1:0:b')
        self.assertEqual(len(self.addresses), 2)
        for (host, port), stream in zip(self.addresses, 'ab'):
            with Sender(host, port) as s, service.client() as c:
                self.assertEqual(s.ask(b'datagram'), 1)
                self.assertIn(b'2', c.ask('POST', f'/log/{stream}', b'request').body)
                self.assertEqual(s.ask(b'datagram'), 3)
                self.assertEqual(self.entry(service, stream, 2), b'request')

    def test_too_large_is_an_answer(self):
        service = self.start(self.region(), '--udp', '127.0.0.1:0')
        with Sender(*self.addresses[0]) as s:
            self.assertEqual(s.ask(bytes(1921)), REFUSED | TOO_LARGE)
            self.assertEqual(s.ask(bytes(60000)), REFUSED | TOO_LARGE)
            self.assertEqual(s.ask(bytes(1920)), 1)
        self.assertEqual(self.entry(service, 'udp', 1), bytes(1920))
        self.assertEqual(self.entry(service, 'udp', 2), 404)

    def test_full_is_an_answer_and_reading_goes_on(self):
        region = self.region(size='2M')
        service = self.start(region, '--udp', '127.0.0.1:0')
        kept = {}
        with Sender(*self.addresses[0]) as s:
            for i in range(4000):
                body = b'%6d' % i * 200
                answer = s.ask(body)
                if answer & REFUSED:
                    break
                kept[answer] = body
            self.assertEqual(answer, REFUSED | FULL)
            self.assertGreater(len(kept), 100)
            self.assertEqual(s.ask(bytes(1200)), REFUSED | FULL)
        for sequence, body in kept.items():
            self.assertEqual(self.entry(service, 'udp', sequence), body)
        self.assertEqual(service.end(), 0)
        check(PST, region)

    def test_the_answer_comes_from_the_address_that_was_asked(self):
        self.start(self.region(), '--udp', '0', '--public')
        port = self.addresses[0][1]
        for host in ('127.0.0.1', '127.0.0.9', '::1'):
            with Sender(host, port) as s:  # connected: takes answers of that address only
                self.assertLess(s.ask(b'x'), 10)

    def test_what_was_taken_is_answered_at_the_end(self):
        region = self.region('file')
        service = self.start(region, '--udp', '127.0.0.1:0')
        with Sender(*self.addresses[0]) as s:
            self.assertEqual(s.ask(b'first'), 1)
            for _ in range(50):
                s.send(b'x' * 500)
            self.assertEqual(service.end(), 0)
            answers = []
            with contextlib.suppress(OSError):
                s.socket.settimeout(0.2)
                while True:
                    answers.append(s.answer())
        self.assertEqual(answers, list(range(2, 2 + len(answers))))
        check(PST, region)

    def test_a_load_is_verified_and_checked(self):
        region = self.region(size='64M')
        service = self.start(region, '--udp', '127.0.0.1:0:s')
        ledger = region.parent / 'acknowledged'
        url = f"udp://{service.listens['udp']}"
        status, found = Bench(PST, service, '-n', 2000, '-c', 8, '--size', '0-1900', '--stream', 's', '--verify', ledger,
                              url=url).result()
        self.assertEqual(status, 0, found)
        self.assertEqual(found['acknowledged'] + found['unanswered'], 2000)
        self.assertEqual(found['latency_us']['count'], found['acknowledged'])
        checked = prove(PST, service, ledger, '--stream', 's')
        self.assertEqual(checked['checked'], found['acknowledged'])
        # Another one's entries are not ours: the check must notice.
        status, wrong = Bench(PST, service, '--check', ledger, '--stream', 'other').result()
        self.assertEqual(status, 1)
        self.assertEqual(wrong['lost'], found['acknowledged'])
        status, found = Bench(PST, service, '-n', 10, '-c', 1, '--size', '3000', url=url).result()
        self.assertEqual((status, found['status']), (1, {'413': 10}))

    def test_a_service_that_is_gone_is_lost(self):
        service = self.start(self.region(), '--udp', '127.0.0.1:0')
        url = f"udp://{service.listens['udp']}"
        service.end(signal.SIGKILL)
        status, found = Bench(PST, service, '-n', 10, url=url).result()
        self.assertEqual(status, 3, found)

    def test_options(self):
        region = self.region()
        for args, why in (
                (['--udp', 'x'], '[HOST:]PORT'), (['--udp', '70000'], '[HOST:]PORT'), (['--udp', '9000:'], '[HOST:]PORT'),
                (['--udp', '[::1:9000'], '[HOST:]PORT'), (['--udp', '10.0.0.1:'], '[HOST:]PORT'),
                (['--udp', '1:' + 'n' * 1025], '[HOST:]PORT'), (['--udp', '0'] * 9, 'too many'),
                (['--udp', '0.0.0.0:0'], '--public'), (['--udp', '[::]:0'], '--public'),
                (['--xdp', 'lo', '--udp', '9000'], '--public')):
            with self.subTest(args=args):
                r = run(PST, 'serve', region, '--http', '127.0.0.1:0', *args)
                self.assertEqual(r.returncode, 2, r.stderr)
                self.assertIn(why, r.stderr)
        for args, why in (
                (['udp://127.0.0.1:1', '--check', 'x'], 'over HTTP'), (['udp://127.0.0.1:1', '--size', '65508'], '65507'),
                (['udp://127.0.0.1:1', '--fill'], 'no keys'), (['http://127.0.0.1:1', '--stream', 's'], '--stream'),
                (['udp://'], 'URL')):
            with self.subTest(args=args):
                r = run(PST, 'bench', *args)
                self.assertEqual(r.returncode, 2, r.stderr)
                self.assertIn(why, r.stderr)
        for args, why in (
                (['--xdp', 'lo', '--udp', '9000', '--udp', '0'], '1 to 65535'),
                (['--xdp', 'lo', '--udp', '0'], '1 to 65535'), (['--xdp', 'lo', '--udp', 'host:9000'], 'address'),
                (['--xdp', 'no-such', '--udp', '9000'], 'no-such')):
            with self.subTest(args=args):
                r = run(PST, 'serve', region, '--public', '--http', '127.0.0.1:0', *args)
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn(why, r.stderr)

    def test_a_port_in_use_is_named(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
            r = run(PST, 'serve', self.region(), '--http', '127.0.0.1:0', '--udp', port)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f'127.0.0.1:{port}', r.stderr)


if __name__ == '__main__':
    main()
