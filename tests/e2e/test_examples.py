# SPDX-License-Identifier: BSD-2-Clause
"""The examples over AF_XDP: the servers with the kernel's TCP and with the client as peers."""
import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

from running import Service, check, create, folder_on, main, take_pst
from veth_pair import ADDRESS, HERE, THERE, Pair, skip_if_needed

PST = take_pst()
ECHO, APPEND, CLIENT = (sys.argv.pop(1) for _ in range(3))
PORT = 7


class Examples(unittest.TestCase):
    def setUp(self):
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)
        self.folder = pathlib.Path(self.open.enter_context(folder_on('shm')))

    def start(self, server, region):
        p = subprocess.Popen([server, region, HERE, f'{ADDRESS[4][0]}:{PORT}'], stdout=subprocess.PIPE, text=True)
        self.open.callback(p.stdout.close)
        self.open.callback(p.kill)
        self.assertEqual(p.stdout.readline(), 'ready\n')
        return p

    def talk(self, lines, read):
        with PAIR.socket(4, socket.SOCK_STREAM) as s:
            s.settimeout(20)
            s.connect((ADDRESS[4][0], PORT))
            s.sendall(''.join(lines).encode())
            with s.makefile() as f:
                return read(f)

    def client(self, lines):
        region = self.folder / 'client'
        if not region.exists():
            create(PST, region, '64M')
        mac = json.loads(subprocess.check_output(['ip', '-j', 'link', 'show', HERE]))[0]['address']
        run = subprocess.run(PAIR.there(CLIENT, region, THERE, ADDRESS[4][1], mac, f'{ADDRESS[4][0]}:{PORT}'),
                             input=''.join(lines), capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (0, ''))
        return run.stdout.splitlines(True)

    def test_echo(self):
        server = self.start(ECHO, create(PST, self.folder / 'region', '64M'))
        lines = [f'{i} ' * (i % 200) + '\n' for i in range(1, 500)]
        self.assertEqual(self.talk(lines, lambda f: [f.readline() for _ in lines]), lines)
        self.assertEqual(self.client(lines[:50]), lines[:50])
        server.terminate()
        self.assertEqual(server.wait(20), 0)

    def test_append(self):
        region = create(PST, self.folder / 'region', '64M')
        lines = [f'{i} ' * (i % 200) + '\n' for i in range(1, 400)]
        kept = 0

        def to_the_last(f):
            numbers = [0]
            while numbers[-1] < kept + len(lines):
                numbers.append(int(f.readline()))
            return numbers[1:]
        for how, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            server = self.start(APPEND, region)
            answers = self.talk(lines, to_the_last)
            self.assertEqual((answers, answers[-1]), (sorted(set(answers)), kept + len(lines)))
            kept += len(lines)
            self.assertEqual([int(n) for n in self.client(lines[:20])], list(range(kept + 1, kept + 21)))
            kept += 20
            server.send_signal(how)
            self.assertEqual(server.wait(20), status)
        with Service(PST, region) as service, service.client() as c:
            for i, line in enumerate(2 * (lines + lines[:20]), 1):
                self.assertEqual(c.ask('GET', f'/log/lines/{i}').body, line[:-1].encode())
            self.assertEqual(service.end(), 0)
        check(PST, region)


if __name__ == '__main__':
    skip_if_needed()
    PAIR = Pair()
    try:
        main()
    finally:
        PAIR.close()
