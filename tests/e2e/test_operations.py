# SPDX-License-Identifier: BSD-2-Clause
"""What people who run it look at: readiness, the service manager, the log, metrics, `pst check` and `pst top` while it serves."""
import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest

import running
from running import ENV, Bench, Service, check, create, folder_on, run, wait_until

PST = running.take_pst()
FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\["\\n]|\\x[0-9a-f]{2})*"|[^\s"=]+)')


def parse_log(text):
    """Each line of the log, as a dict; every byte of it is of the form key=value."""
    lines = []
    for line in text.splitlines():
        fields, at = {}, 0
        while at < len(line):
            match = FIELD.match(line, at)
            assert match and (match.end() == len(line) or line[match.end()] == ' '), line
            fields[match[1]] = match[2].strip('"')
            at = match.end() + 1
        assert list(fields)[:3] == ['ts', 'level', 'msg'], line
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', fields['ts']), line
        assert fields['level'] in ('error', 'warn', 'info'), line
        lines.append(fields)
    return lines


class Operations(unittest.TestCase):
    def setUp(self):
        folder = folder_on('shm')
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.path = create(PST, self.folder / 'region', '64M')

    def test_health_and_readiness(self):
        with Service(PST, self.path) as service:
            with service.client() as c, service.client() as busy:
                busy.send(b'GET /readyz HTTP/1.1\r\n')
                for path in ('/healthz', '/readyz'):
                    reply = c.ask('GET', path)
                    self.assertEqual((reply.status, reply.body), (200, b'ok\n'))
                    self.assertEqual((c.ask('HEAD', path).status, c.ask('PUT', path, b'x').status), (200, 405))
                service.process.send_signal(signal.SIGTERM)
                wait_until(lambda: 'told to end' in service.said(), 'it is about to end')
                busy.send(b'Host: x\r\n\r\n')
                self.assertEqual(busy.reply().status, 503)
            self.assertEqual(service.end(0), 0)

    def test_the_log_is_key_value(self):
        with Service(PST, self.path) as service:
            service.end()
        log = parse_log(service.said())
        self.assertEqual([line['msg'] for line in log][:2], ['region opened', 'ready'])
        self.assertEqual(log[-1]['msg'], 'region closed')
        self.assertEqual(log[1]['http'], f'127.0.0.1:{service.port}')
        r = run(PST, 'serve', self.folder / 'not "there"\nlevel=info')
        line, = parse_log(r.stderr)
        self.assertEqual((r.returncode, line['level']), (1, 'error'))

    def test_the_service_manager_is_told(self):
        place = self.folder / 'notify'
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(place))
            manager.settimeout(20)
            with Service(PST, self.path, env={'NOTIFY_SOCKET': str(place)}, wait=False) as service:
                said = manager.recv(100).decode().split('\n')
                self.assertIn('READY=1', said)
                service.wait_ready()
                with service.client() as c: # what it says is true
                    self.assertEqual(c.ask('GET', '/readyz').status, 200)
                self.assertEqual(manager.recv(100), b'WATCHDOG=1')
                service.process.send_signal(signal.SIGTERM)
                while (said := manager.recv(100)) == b'WATCHDOG=1':
                    pass
                self.assertEqual(said, b'STOPPING=1')
                self.assertEqual(service.end(0), 0)

    def test_metrics(self):
        with Service(PST, self.path) as service, service.client() as c:
            for n in range(20):
                c.ask('PUT', f'/kv/{n}', b'x' * n * 100)
                c.ask('GET', f'/kv/{n}')
            found = running.parse_metrics(c.ask('GET', '/metrics').body.decode())
            for kind in ('read', 'write'):
                self.assertEqual(found[f'paste_http_request_seconds_count{{kind="{kind}"}}'], 20)
            for name, value in {'http_requests_total': 41, 'store_keys': 20, 'store_puts_total': 20, 'store_reads_total': 20,
                                'http_replies_total{code="2xx"}': 40, 'medium_failed': 0}.items():
                self.assertEqual(found[f'paste_{name}'], value, name)
            self.assertEqual(service.end(), 0)

    def test_check_of_a_live_region(self):
        with Service(PST, self.path) as service, service.client() as c:
            mark = os.urandom(9000)
            for n in range(200):
                c.ask('PUT', f'/kv/{n}', os.urandom(5000))
            c.ask('PUT', '/kv/victim', mark)
            r = run(PST, 'check', self.path)
            self.assertEqual((r.returncode, r.stderr), (0, ''), r.stdout)
            self.assertIn('sound', r.stdout)
            # Under load there are no false alarms.
            bench = Bench(PST, service, '-c', 8, '-d', 1.5, '--keys', 500, '--mix', '50:30:10:10', '--size', '64-16384')
            checks = 0
            while bench.process.poll() is None:
                found = json.loads(run(PST, 'check', self.path, '--json').stdout)
                self.assertEqual((found['sound'], found['live'], found['items']), (True, True, []))
                checks += 1
            status, found = bench.result()
            self.assertEqual(status, 0, found)
            self.assertGreater(checks, 1)
            # The region is memory that both share: flip a bit under the service.
            with open(self.path, 'r+b') as f:
                at = f.read().find(mark[1000:1064]) + 30
                self.assertGreater(at, 30)
                f.seek(at)
                f.write(bytes([mark[1030] ^ 4]))
            r = run(PST, 'check', self.path)
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertIn('key victim: its bytes do not match', r.stdout)
            found = json.loads(run(PST, 'check', self.path, '--json').stdout)
            self.assertEqual((found['sound'], found['damaged'], len(found['items'])), (False, 1, 1))
            self.assertEqual(c.ask('GET', '/kv/victim').status, 500)
            self.assertEqual(c.ask('GET', '/kv/7').status, 200)
            self.assertEqual(service.end(), 0)

    def test_background_scrub(self):
        with Service(PST, self.path) as service, service.client() as c:
            mark = os.urandom(9000)
            c.ask('PUT', '/kv/victim', mark)
            for n in range(50):
                c.ask('PUT', f'/kv/{n}', os.urandom(5000))
            self.assertEqual(service.end(), 0)
        content = self.path.read_bytes()
        at = content.find(mark[1000:1064])
        with open(self.path, 'r+b') as f:
            f.seek(at)
            f.write(bytes([content[at] ^ 1]))
        with Service(PST, self.path, '--scrub', 0.0001) as service:
            wait_until(lambda: 'damage found' in service.said(), 'the scrub finds it')
            line, = (line for line in parse_log(service.said()) if line['msg'] == 'damage found')
            self.assertIn('key victim', line['what'])
            wait_until(lambda: 'scrubbed' in service.said(), 'a pass is complete')
            with service.client() as c:
                found = running.parse_metrics(c.ask('GET', '/metrics').body.decode())
            self.assertEqual((found['paste_store_scrub_damage_total'], found['paste_store_damage']), (1, 1))
            self.assertGreaterEqual(found['paste_store_scrub_passes_total'], 1)
            service.end()

    def test_top(self):
        with Service(PST, self.path) as service:
            bench = Bench(PST, service, '-c', 4, '-d', 2, '--keys', 100)
            r = run(PST, 'top', self.path, '--once', '--interval', 0.5)
            self.assertEqual((r.returncode, r.stderr), (0, ''))
            status, found = bench.result()
            self.assertEqual(status, 0, found)
            text = r.stdout
            rate = int(re.search(r'^requests +(\d+)/s   2xx (\d+)', text, re.M)[1])
            self.assertGreater(rate, 0)
            for kind in ('reads', 'writes'):
                p50, p99 = map(int, re.search(rf'^{kind} +p50 (\d+) us .* p99 (\d+)', text, re.M).groups())
                self.assertTrue(0 < p50 <= p99 < 10_000_000, text)
            for word in ('connections', 'network', 'fill', 'objects', 'changes', 'log', 'cleaner', 'medium', 'copies', 'damage'):
                self.assertRegex(text, rf'(?m)^{word} ')
            self.assertIn('coalesce', text)
            self.assertNotIn('\033', text)
            # One after the other, until the service ends.
            top = subprocess.Popen([PST, 'top', self.path, '--interval', '0.05'], env=ENV, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
            running.started.append(top)
            time.sleep(0.5)
            self.assertEqual(service.end(), 0)
            out, said = top.communicate(timeout=20)
            self.assertEqual(top.returncode, 1)
            self.assertGreater(out.count('\nrequests '), 1)
            self.assertIn('went away', said)
        r = run(PST, 'top', self.path, '--once')
        self.assertEqual((r.returncode, r.stdout), (1, ''))
        self.assertIn('no service answers', r.stderr)


if __name__ == '__main__':
    running.main()
