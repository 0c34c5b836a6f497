# SPDX-License-Identifier: BSD-2-Clause
"""test_workers.py PST [SERVER]: `pst serve --workers`: connections are spread over the threads, and all behave as one.

SERVER, if given, serves instead of PST: the same program built so that it finds data races, and ends with a status that
is not 0 if it found one.
"""
import json
import os
import pathlib
import re
import signal
import sys
import time
import unittest

from running import (Bench, Client, Service, check, create, entries, folder_on, info, main, parse_metrics, prove, request,
                     run, take_pst, wait_until)

PST = take_pst()
SERVER = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 and '/' in sys.argv[1] else PST
ALONE = ['--no-seccomp'] if SERVER != PST else []  # what looks for races makes system calls of its own


def shares(metrics, name):
    """{worker: value}"""
    return {int(re.search(r'\d+', sample)[0]): value for sample, value in metrics.items()
            if sample.startswith(f'paste_worker_{name}{{')}


class Workers:
    """With `medium` in a subclass."""

    def setUp(self):
        self.folder = self.enterContext(folder_on(self.medium))
        self.region = create(PST, self.folder / 'region', '64M', self.medium)

    def service(self, workers, *args, **more):
        return self.enterContext(Service(SERVER, self.region, '--workers', workers, *ALONE, *args, **more))

    def end(self, service):
        status = service.end()
        self.assertEqual((status, [line for line in service.said().splitlines() if 'level=info' not in line]), (0, []))
        self.assertTrue(info(PST, self.region)['clean'])
        check(PST, self.region)

    def clients(self, service, n):
        return [self.enterContext(service.client()) for _ in range(n)]

    def test_a_load_is_spread_and_what_was_acknowledged_is_there_with_any_number(self):
        ledger = self.folder / 'acknowledged'
        service = self.service(2)
        status, found = Bench(PST, service, '-c', 8, '-n', 4000, '--size', '0-6000', '--mix', '400:300:200:100', '--keys', 400,
                              '--verify', ledger).result()
        self.assertEqual((status, found.get('errors'), found.get('lost')), (0, 0, 0), found)
        metrics = service.metrics()
        requests = shares(metrics, 'requests_total')
        self.assertEqual(set(requests), {0, 1})
        self.assertTrue(all(n > 500 for n in requests.values()), requests)
        self.assertEqual(sum(requests.values()), metrics['paste_http_requests_total'])
        self.assertTrue(all(s > 0 for s in shares(metrics, 'turn_seconds_total').values()))
        service.end(signal.SIGKILL)
        check(PST, self.region)
        for workers in 3, 1, 2:
            service = self.service(workers)
            prove(PST, service, ledger)
            self.end(service)

    def test_connections_are_spread_evenly(self):
        service = self.service(3)
        clients = self.clients(service, 9)
        for n, c in enumerate(clients):
            self.assertEqual(c.ask('PUT', f'/kv/{n}', b'x').status, 201)
        metrics = parse_metrics(clients[0].ask('GET', '/metrics').body.decode())
        self.assertEqual(shares(metrics, 'connections'), {0: 3, 1: 3, 2: 3})
        self.assertEqual(sorted(shares(metrics, 'requests_total').values()), [3, 3, 4])
        self.assertEqual(metrics['paste_stack_accepted_total'], 9)
        self.assertEqual(len(json.loads(run(PST, 'ss', self.region, '--json').stdout)['connections']), 9)
        self.end(service)

    def test_so_many_connections_as_are_allowed_for_all_of_them(self):
        service = self.service(3, '--connections', 4)
        clients = self.clients(service, 4)
        for _ in range(3):
            for c in clients:
                self.assertEqual(c.ask('GET', '/kv/a').status, 404)
            with service.client() as c:
                self.assertTrue(c.is_closed())
            clients.pop(0).close()
            wait_until(lambda: len(json.loads(run(PST, 'ss', self.region, '--json').stdout)['connections']) == 3, 'one is gone')
            clients += self.clients(service, 1)
        self.end(service)

    def test_every_worker_gives_back_the_memory_of_a_large_batch(self):
        """libc may do that in another way in a thread than in the first one, with system calls that are refused."""
        service = self.service(3)
        batch = b''.join(b'put m%d 0\n\n' % n for n in range(4096))
        for status, body in (413, batch), (200, batch[:batch.index(b'put m900 ')]):
            for c in self.clients(service, 6):
                for _ in range(2):
                    self.assertEqual(c.ask('POST', '/batch', body).status, status)
        self.assertTrue(all(n >= 8 for n in shares(service.metrics(), 'requests_total').values()))
        self.end(service)

    def test_what_one_has_answered_every_other_one_shows(self):
        service = self.service(2)
        writer, reader = self.clients(service, 2)
        begun = time.monotonic()
        for n in range(100):
            self.assertIn(writer.ask('PUT', '/kv/a', b'%d' % n).status, (201, 204))
            self.assertEqual(reader.ask('GET', '/kv/a').body, b'%d' % n)
        # Both under way: the reply shows what is not durable yet, or what was before, and none is forgotten.
        for n in range(100):
            writer.send(request('PUT', '/kv/a', b'%d' % (100 + n)))
            self.assertIn(reader.ask('GET', '/kv/a').body, (b'%d' % (99 + n), b'%d' % (100 + n)))
            self.assertEqual(writer.reply('PUT').status, 204)
        self.assertLess(time.monotonic() - begun, 60)  # who is forgotten is looked at every second
        self.end(service)

    def test_who_waits_for_entries_is_told_by_whoever_got_them(self):
        service = self.service(2)
        writer, follower = self.clients(service, 2)
        waited = 0
        for n in range(1, 31):
            follower.send(request('GET', f'/log/s?from={n}&follow=30'))
            time.sleep(.005)
            self.assertEqual(writer.ask('POST', '/log/s', b'%d' % n).status, 201)
            begun = time.monotonic()
            self.assertEqual(entries(follower.reply().body), [(n, b'%d' % n)])
            waited += time.monotonic() - begun
        self.assertLess(waited, 10)  # forgotten, it would be half a second each time
        self.end(service)

    def test_batches_and_lists_are_of_all_that_there_is(self):
        service = self.service(2)
        one, other = self.clients(service, 2)
        keys = [f'k{n:02}' for n in range(20)]
        batch = ''.join(f'put {key} 1\nx\n' for key in keys) + 'append s 1\ny\n'
        self.assertEqual(one.ask('POST', '/batch', batch.encode()).status, 200)
        found = json.loads(other.ask('GET', '/kv?prefix=k').body)
        self.assertEqual([key['key'] for key in found['keys']], keys)
        self.assertEqual(other.ask('DELETE', '/kv?prefix=k').status, 200)
        self.assertEqual(json.loads(one.ask('GET', '/kv?prefix=k').body)['keys'], [])
        self.end(service)

    def test_told_to_end_all_do(self):
        service = self.service(2)
        idle = self.clients(service, 4)
        for c in idle:
            self.assertEqual(c.ask('GET', '/kv/a').status, 404)
        asked = self.clients(service, 2)
        for c in asked:
            c.send(b'PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345')
        time.sleep(.1)
        service.process.send_signal(signal.SIGTERM)
        for c in idle:
            self.assertTrue(c.is_closed())
        for c in asked:
            c.send(b'67890')
            self.assertIn(c.reply('PUT').status, (201, 204))
        self.end(service)


class OnShm(Workers, unittest.TestCase):
    medium = 'shm'

    def test_tokens_are_changed_for_all(self):
        tokens = self.folder / 'tokens'
        tokens.write_text('a-first-secret-token rw\n')
        tokens.chmod(0o600)
        service = self.service(2, '--token-file', tokens)
        clients = self.clients(service, 4)
        for token, before in ('a-first-secret-token', 'another-secret-token'), ('another-secret-token', 'a-first-secret-token'):
            for c in clients:
                self.assertEqual(c.ask('GET', '/kv/a', fields=f'Authorization: Bearer {token}\r\n').status, 404)
                self.assertEqual(c.ask('GET', '/kv/a', fields=f'Authorization: Bearer {before}\r\n').status, 401)
            tokens.write_text('another-secret-token rw\n')
            service.process.send_signal(signal.SIGHUP)
            time.sleep(.2)
        self.end(service)


class OnFile(Workers, unittest.TestCase):
    medium = 'file'


@unittest.skipIf(SERVER != PST, 'it makes system calls of its own')
class Confined(unittest.TestCase):
    def test_every_thread_gives_up_what_it_does_not_need(self):
        user = ['--user', 'nobody'] if os.geteuid() == 0 else []
        with folder_on('shm') as folder:
            os.chmod(folder, 0o755)
            region = create(PST, folder / 'region', '16M')
            with Service(PST, region, '--workers', 3, *user) as service:
                threads = list(pathlib.Path(f'/proc/{service.pid}/task').iterdir())
                self.assertGreaterEqual(len(threads), 3)
                for thread in threads:
                    status = dict(re.findall(r'^(\w+):\s*(.*)$', (thread / 'status').read_text(), re.M))
                    self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'), status)
                    if user:
                        self.assertEqual((status['CapEff'], status['CapPrm'], status['CapBnd']), ('0' * 16,) * 3)
                        self.assertNotIn('0', status['Uid'].split())
                with service.client() as one, service.client() as other:
                    self.assertEqual(one.ask('PUT', '/kv/a', b'x' * 100000).status, 201)
                    self.assertEqual(other.ask('GET', '/kv/a').body, b'x' * 100000)
                self.assertEqual(service.end(), 0, service.said())


if __name__ == '__main__':
    main()
