# SPDX-License-Identifier: BSD-2-Clause
"""What `pst` says when it is used wrongly, and when it is asked for help."""
import os
import re
import subprocess
import sys
import unittest

PST = os.path.abspath(sys.argv.pop(1))
COMMANDS = ['create', 'info', 'check', 'top', 'ss', 'dump', 'restore', 'grow', 'serve', 'bench', 'port']
URL = 'http://127.0.0.1:1'

# What is given, and what the one line on stderr must name.
WRONG = [
    ('create', 'PATH'),
    ('create x', '--size is missing'),
    ('create --size 1G', 'PATH'),
    ('create x y --size 1G', "'y'"),
    ('create x --size 12Q', "'12Q'"),
    ('create x --size -5', "'-5'"),
    ('create x --size 1GB', "'1GB'"),
    ('create x --size 0', "'0'"),
    ('create x --size 18446744073709551616', "'18446744073709551616'"),
    ('create x --size', '--size needs a value'),
    ('create x --size 1G --buffer-size 1024', "'1024'"),
    ('create x --size 1G --medium tape', "'tape'"),
    ('create x --size 1G --name ' + 'n' * 64, '63'),
    ('create x --size 1G --force=yes', 'takes no value'),
    ('create x --colour', '--colour'),
    ('restore x', 'FILE and a PATH'),
    ('restore x y', '--size is missing'),
    ('restore x y --size 12Q', "'12Q'"),
    ('restore x y --size 1G --medium tape', "'tape'"),
    ('restore x y --size 1G --name ' + 'n' * 64, '63'),
    ('restore x y --size 1G --buffer-size 1024', "'1024'"),
    ('restore x y --lost', '--lost'),
    ('info', 'PATH'),
    ('info a b', "'b'"),
    ('info a -z', '-z'),
    ('check', 'PATH'),
    ('check a --fix', '--fix'),
    ('port', 'IFACE'),
    ('port a b', "'b'"),
    ('port a --region', '--region needs a value'),
    ('port a --json=1', 'takes no value'),
    ('bench', 'URL'),
    ('bench ftp://127.0.0.1', 'ftp://'),
    ('bench http://', 'http://'),
    ('bench http://host:0', 'host:0'),
    ('bench http://host:99999', '99999'),
    ('bench http://[::1', '[::1'),
    ('bench http://a:80/kv', '/kv'),
    (f'bench {URL} {URL}', 'one too many'),
    ('serve x --http bad', "--http 'bad'"),
    ('serve x --http 127.0.0.1:99999', "--http '127.0.0.1:99999'"),
    ('serve x --http 127.0.0.1:', "--http '127.0.0.1:'"),
    ('serve x --http ::1:80', "--http '::1:80'"),
    ('serve x --http unix:', "--http 'unix:'"),
    ('serve x --workers 0', "--workers '0'"),
    ('serve x --workers 65', "--workers '65'"),
    ('serve x --workers two', "--workers 'two'"),
    ('serve x --workers 2 --udp 9999', '--udp'),
    ('serve x --workers 2 --xdp lo --public', '--xdp'),
    ('serve x --workers 2 --spin', '--spin'),
    ('serve x --workers 2 --http none', '--http'),
    (f'bench {URL} -c 0', "-c '0'"),
    (f'bench {URL} -c 10001', "-c '10001'"),
    (f'bench {URL} -c', '-c needs a value'),
    (f'bench {URL} -d 0', "-d '0'"),
    (f'bench {URL} -d 1e3', "-d '1e3'"),
    (f'bench {URL} -n many', "-n 'many'"),
    (f'bench {URL} -n 5 -d 5', '-d and -n'),
    (f'bench {URL} --size 2G', "--size '2G'"),
    (f'bench {URL} --size 9-3', "--size '9-3'"),
    (f'bench {URL} --mix 1:1', "--mix '1:1'"),
    (f'bench {URL} --mix 0:0:0', "--mix '0:0:0'"),
    (f'bench {URL} --mix 1:1:1:1:1', "--mix '1:1:1:1:1'"),
    (f'bench {URL} --mix 1:-1:1', "--mix '1:-1:1'"),
    (f'bench {URL} --zipf 1', "--zipf '1'"),
    (f'bench {URL} --keys 0', "--keys '0'"),
    (f'bench {URL} --keys 10 -c 11 --verify f', '--keys 10'),
    (f'bench {URL} --verify-sync', '--verify-sync'),
    (f'bench {URL} --verify f --check f', '--verify'),
    (f'bench {URL} --check f -n 5', '-n'),
    (f'bench {URL} --check f --mix=1:1:1', '--mix=1:1:1'),
    (f'bench {URL} --quiet', '--quiet'),
]


def pst(*args):
    return subprocess.run([PST, *args], capture_output=True, text=True, timeout=20)


class Usage(unittest.TestCase):
    def test_a_wrong_use_is_named_in_one_line_and_exits_2(self):
        for line, named in WRONG:
            with self.subTest(line):
                r = pst(*line.split())
                self.assertEqual(r.returncode, 2, r)
                self.assertEqual(r.stdout, '')
                self.assertEqual(r.stderr.count('\n'), 1, r.stderr)
                self.assertIn(named, r.stderr)
                self.assertIn(f"(try 'pst help {line.split()[0]}')", r.stderr)

    def test_no_or_an_unknown_subcommand(self):
        for args in ([], ['nonesuch'], ['help', 'nonesuch'], ['help', 'info', 'more'], ['--nonesuch'], ['']):
            with self.subTest(args):
                r = pst(*args)
                self.assertEqual((r.returncode, r.stdout), (2, ''))
                self.assertNotEqual(r.stderr, '')

    def test_help_lists_every_subcommand(self):
        for args in (['help'], ['--help'], ['-h'], ['help', 'help']):
            r = pst(*args)
            self.assertEqual((r.returncode, r.stderr), (0, ''))
            for command in COMMANDS:
                self.assertRegex(r.stdout, rf'\n  {command} +\w')

    def test_help_explains_each(self):
        for command in COMMANDS:
            ways = ['help', command], [command, '--help'], [command, 'x', '-h']
            texts = {pst(*way).stdout for way in ways}
            self.assertEqual(len(texts), 1)
            text = texts.pop()
            self.assertTrue(text.startswith(f'usage: pst {command} '))
            self.assertIn('exit status: 0', text)
            usage, _, rest = text.partition('\n\n')
            for option in re.findall(r'^  (--[a-z-]+)', rest, re.M) if '...\n' not in usage + '\n' else ():
                self.assertIn(option, usage, f'the usage of {command}')
            self.assertIn('example: pst ', text)
            self.assertLessEqual(max(map(len, text.splitlines())), 110)

    def test_the_version(self):
        r = pst('--version')
        self.assertEqual(r.returncode, 0)
        self.assertRegex(r.stdout, r'^pst \d+\.\d+\.\d+\n$')

    def test_help_that_cannot_be_written_is_no_success(self):
        with open('/dev/full', 'w') as full:
            r = subprocess.run([PST, 'help'], stdout=full, stderr=subprocess.PIPE, timeout=20)
        self.assertEqual(r.returncode, 1)


if __name__ == '__main__':
    unittest.main()
