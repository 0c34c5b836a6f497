# SPDX-License-Identifier: BSD-2-Clause
"""Two network namespaces with a pair of interfaces between them.

      here (this process and its children)             there (only who asks for it)
    ┌────────────────────────────────────┐       ┌────────────────────────────────────┐
    │ pst0  10.1.1.1/24  fd00:1::1/64    │═══════│ pst1  10.1.1.2/24  fd00:1::2/64    │
    └────────────────────────────────────┘ veth  └────────────────────────────────────┘

Neither has a name or a way out; both vanish with the processes in them. Needs root.
"""
import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import unittest

HERE, THERE = 'pst0', 'pst1'
ADDRESS = {4: ('10.1.1.1', '10.1.1.2'), 6: ('fd00:1::1', 'fd00:1::2')}
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _check(rc, what):
    if rc:
        raise unittest.SkipTest(f'{what}: {os.strerror(ctypes.get_errno())}')


def _ip(*args, there=None):
    command = ['ip', *args]
    if there:
        command = ['nsenter', f'--net=/proc/{there}/ns/net', *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=20)


# Look for no duplicates of addresses (RFC 4862 5.4): it takes seconds, in which the kernel's link-local address, from
# where it looks for neighbours, cannot be used.
_TRUST = 'for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done'


class Pair:
    """Moves this process to a namespace of its own, once, and makes the other one and the pair."""

    def __init__(self, queues=1, mtu=1500):
        if os.geteuid():
            raise unittest.SkipTest('network namespaces are for root')
        _check(libc.unshare(CLONE_NEWNET), 'no network namespace')
        self.home = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        # The other namespace lives as long as this child, and the child as long as our end of its stdin.
        self.child = subprocess.Popen(['unshare', '--net', 'sh', '-c', f'{_TRUST}; echo; read x'],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.child.stdout.readline() != b'\n':
            raise unittest.SkipTest('no second network namespace')
        pid = self.child.pid
        subprocess.run(['sh', '-c', _TRUST], check=True, timeout=20)
        _ip('link', 'set', 'lo', 'up')
        _ip('link', 'add', HERE, 'numrxqueues', str(queues), 'numtxqueues', str(queues), 'type', 'veth', 'peer', 'name',
            THERE, 'numrxqueues', str(queues), 'numtxqueues', str(queues), 'netns', str(pid))
        self.address()
        for end, name in enumerate((HERE, THERE)):
            _ip('link', 'set', name, 'mtu', str(mtu), 'up', there=pid if end else None)

    def address(self):
        """Give both ends their addresses, those that they have already as well."""
        for end, name in enumerate((HERE, THERE)):
            for version, bits in ((4, '24'), (6, '64')):
                _ip('addr', 'replace', f'{ADDRESS[version][end]}/{bits}', 'dev', name,
                    *(['nodad'] if version == 6 else []), there=self.child.pid if end else None)

    def there(self, *command):
        """The command, to be run in the other namespace."""
        return ['nsenter', f'--net=/proc/{self.child.pid}/ns/net', *(str(c) for c in command)]

    @contextlib.contextmanager
    def visit(self):
        """What is made in here (sockets) is made in the other namespace."""
        other = os.open(f'/proc/{self.child.pid}/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(libc.setns(other, CLONE_NEWNET), 'setns')
            yield
        finally:
            os.close(other)
            libc.setns(self.home, CLONE_NEWNET)

    def socket(self, version, kind=socket.SOCK_DGRAM, protocol=0):
        with self.visit():
            return socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, kind, protocol)

    def close(self):
        self.child.communicate(b'\n', timeout=20)
        os.close(self.home)


class PairTest(unittest.TestCase):
    """Tests over one pair, `self.pair`; what a test opens on the stack `self.open` is closed after it."""
    queues = 1

    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(queues=cls.queues)

    @classmethod
    def tearDownClass(cls):
        cls.pair.close()

    def setUp(self):
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)


def skip_if_needed():
    if os.geteuid():
        print('needs root: network namespaces', file=sys.stderr)
        sys.exit(77)
