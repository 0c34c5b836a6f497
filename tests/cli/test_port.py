# SPDX-License-Identifier: BSD-2-Clause
"""`pst port`: it only asks, so that the loopback interface is enough here. tests/port has what it finds on others."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PST = os.path.abspath(sys.argv.pop(1))


def pst(*args):
    return subprocess.run([PST, *args], capture_output=True, text=True, timeout=20)


class Port(unittest.TestCase):
    def test_an_interface_that_is_not_there(self):
        done = pst('port', 'no-such-if')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, '')
        self.assertIn('no-such-if', done.stderr)
        self.assertIn('ip link', done.stderr)

    def test_every_refusal_has_a_remedy(self):
        done = pst('port', 'lo', '--json')
        self.assertEqual(done.returncode, 1)
        said = json.loads(done.stdout)
        self.assertEqual(said['interface'], 'lo')
        self.assertFalse(said['possible'])
        refusals = [f for f in said['findings'] if f['refusal']]
        self.assertTrue(any('Ethernet' in f['reason'] for f in refusals))
        for finding in said['findings']:
            self.assertTrue(finding['reason'])
            self.assertTrue(finding['remedy'])

    def test_the_table_says_the_same(self):
        said, table = json.loads(pst('port', 'lo', '--json').stdout), pst('port', 'lo').stdout
        for finding in said['findings']:
            self.assertIn(finding['reason'], table)
            self.assertIn(finding['remedy'], table)
        self.assertIn('a port cannot be opened', table)

    def test_a_region_and_what_the_kernel_spends_on_it(self):
        with tempfile.TemporaryDirectory(dir='/dev/shm') as directory:
            region = os.path.join(directory, 'r')
            self.assertEqual(pst('create', region, '--size', '64M').returncode, 0)
            said = json.loads(pst('port', 'lo', '--region', region, '--json').stdout)
            self.assertEqual(said['region_backing'], 'tmpfs')
            # 128 bytes a buffer, and the rings
            chunks = said['region_bytes'] // said['buffer_size']
            self.assertGreaterEqual(said['kernel_memory_per_queue'], chunks * 128)
            self.assertLess(said['kernel_memory_per_queue'], chunks * 128 + (1 << 20))
            with open(os.path.join(directory, 'no-region'), 'wb') as f:
                f.write(bytes(1 << 20))
            done = pst('port', 'lo', '--region', os.path.join(directory, 'no-region'))
            self.assertEqual(done.returncode, 1)
            self.assertIn('no region', done.stderr)


if __name__ == '__main__':
    unittest.main()
