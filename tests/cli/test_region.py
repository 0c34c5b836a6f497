# SPDX-License-Identifier: BSD-2-Clause
"""`pst create`, `info` and `check` on real regions: what they print and how they exit."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

PST = os.path.abspath(sys.argv.pop(1))
SIZE = 16 << 20


def pst(*args):
    return subprocess.run([PST, *map(str, args)], capture_output=True, text=True, timeout=60)


class Served:
    def __init__(self, path):
        self.process = subprocess.Popen([PST, 'serve', path, '--http', '127.0.0.1:0'], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('ready http='):
            _, said = self.process.communicate()
            if 'io_uring' in said:
                raise unittest.SkipTest(f'no service here: {said.strip()}')
            raise AssertionError(said)
        self.url = 'http://' + line.strip().split('=', 1)[1]

    def put(self, key, value):
        request = urllib.request.Request(f'{self.url}/kv/{key}', data=value, method='PUT')
        urllib.request.urlopen(request, timeout=20).close()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.communicate(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class Region(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.environ['PST_CONTROL_DIR'] = self.folder
        self.path = os.path.join(self.folder, 'region')

    def create(self, *args):
        r = pst('create', self.path, '--size', '16M', *args)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def info(self):
        r = pst('info', self.path, '--json')
        self.assertEqual((r.returncode, r.stderr), (0, ''))
        return json.loads(r.stdout)

    def test_a_name_makes_no_lines_and_does_not_steer_the_terminal(self):
        said = self.create('--name', 'a\nsurvives       everything\x1b[1m')
        for text in said, pst('info', self.path).stdout:
            self.assertIn('a?survives       everything?[1m\n', text)
            self.assertNotIn('\x1b', text)
        self.assertEqual(self.info()['name'], 'a\nsurvives       everything\x1b[1m')

    def test_what_was_created_is_told(self):
        said = self.create('--name', 'a "name"', '--buffer-size', '4096')
        self.assertIn(f'created {self.path}\n', said)
        self.assertIn('16 MiB', said)
        i = self.info()
        self.assertEqual((i['name'], i['buffer_size'], i['size'], i['keys']), ('a "name"', 4096, SIZE, 0))
        self.assertIn(i['survives'], said)
        self.assertEqual('does not survive power loss' in said, i['medium'] == 'shm')
        self.assertIn(f"{i['buffers']} of 4096 bytes", said)
        self.assertRegex(i['uuid'], r'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
        self.assertTrue(i['clean'])
        self.assertEqual(i['path'], self.path)

    def test_a_table_for_people_is_aligned(self):
        self.create()
        r = pst('info', self.path)
        self.assertEqual(r.returncode, 0)
        for line in r.stdout.splitlines():
            self.assertRegex(line, r'^[a-z][a-z ]{13} \S')
        for word in ('uuid', 'epoch', 'medium', 'survives', 'buffers', 'logs', 'objects', 'last time'):
            self.assertIn('\n' + word, r.stdout)

    def test_nothing_is_overwritten_without_force(self):
        self.create()
        before = self.info()['uuid']
        r = pst('create', self.path, '--size', '16M')
        self.assertEqual(r.returncode, 1)
        self.assertIn('--force', r.stderr)
        self.assertEqual(self.info()['uuid'], before)
        self.create('--force')
        self.assertNotEqual(self.info()['uuid'], before)

    def test_a_failed_creation_leaves_nothing(self):
        nowhere = os.path.join(self.folder, 'no/such')
        for path, args in ((self.path, ['4K']), (self.folder, ['16M']), (nowhere, ['16M']),
                           (self.path, ['16M', '--medium', 'pmem']), (self.path, ['8000T'])):
            r = pst('create', path, '--size', *args)
            self.assertEqual((r.returncode, r.stdout), (1, ''), (path, args))
            self.assertRegex(r.stderr, r'^pst create: .+\n$')
            self.assertEqual(os.listdir(self.folder), [])

    def test_what_is_no_region(self):
        files = {'empty': b'', 'text': b'hello\n', 'zeroes': bytes(SIZE), 'noise': os.urandom(1 << 20)}
        for name, content in files.items():
            path = os.path.join(self.folder, name)
            with open(path, 'wb') as f:
                f.write(content)
        for name in [*files, 'missing', '.']:
            path = os.path.join(self.folder, name)
            for command, status in (('info', 1), ('check', 2)):
                for more in ([], ['--json']):
                    r = pst(command, path, *more)
                    self.assertEqual((r.returncode, r.stdout), (status, ''), (command, name, r.stderr))
                    self.assertRegex(r.stderr, rf'^pst {command}: .+\n$')

    def test_a_sound_region(self):
        self.create()
        with Served(self.path) as s:
            for n in range(50):
                s.put(f'key{n}', bytes([n]) * n * 100)
            s.end()
        r = pst('check', self.path)
        self.assertEqual((r.returncode, r.stderr), (0, ''), r.stdout)
        self.assertIn('sound', r.stdout)
        c = json.loads(pst('check', self.path, '--json').stdout)
        self.assertEqual((c['sound'], c['keys'], c['items'], c['damaged']), (True, 50, [], 0))
        i = self.info()
        self.assertEqual((i['keys'], i['clean']), (50, True))
        self.assertGreater(i['live_bytes'], 100 * sum(range(50)))

    def test_damage_is_named_and_exits_1(self):
        mark = os.urandom(8000)
        self.create()
        with Served(self.path) as s:
            s.put('good', b'x' * 8000)
            s.put('victim', mark)
            s.end()
        with open(self.path, 'r+b') as f:
            at = f.read().find(mark[1000:1064]) + 30
            self.assertGreater(at, 30)
            f.seek(at)
            f.write(bytes([mark[1030] ^ 4]))
        r = pst('check', self.path)
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertIn('victim', r.stdout)
        self.assertNotIn('good', r.stdout)
        r = pst('check', self.path, '--json')
        self.assertEqual(r.returncode, 1)
        c = json.loads(r.stdout)
        self.assertEqual((c['sound'], c['damaged'] + c['repaired']), (False, len(c['items'])))
        self.assertTrue(any('victim' in item['what'] for item in c['items']))

    def test_a_region_in_use(self):
        self.create()
        with Served(self.path) as s:
            s.put('key', b'value')
            r = pst('check', self.path)
            self.assertEqual((r.returncode, r.stderr), (0, ''), r.stdout)
            self.assertIn('it is being served', r.stdout)
            os.environ['PST_CONTROL_DIR'] = '/nowhere'
            r = pst('check', self.path)
            self.assertEqual((r.returncode, r.stdout), (2, ''), r.stderr)
            self.assertIn('a process is writing it', r.stderr)
            self.assertTrue(self.info()['in_use'])
            r = pst('create', self.path, '--size', '16M', '--force')
            self.assertEqual(r.returncode, 1)
            s.end(signal.SIGKILL)
        i = self.info()
        self.assertEqual((i['clean'], i['in_use'], i['keys']), (False, False, 1))
        self.assertEqual(pst('check', self.path).returncode, 0)


if __name__ == '__main__':
    unittest.main()
