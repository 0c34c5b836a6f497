# SPDX-License-Identifier: BSD-2-Clause
"""The disk under a `pst` that was linked with disk_layer.c: what it does is a word in a file that both have mapped."""
import errno
import mmap
import struct

NAMES = ('mode', 'error', 'after', 'times', 'delay_us', 'cache', 'injected', 'held', 'writes', 'syncs')
MODES = {'works': 0, 'write fails': 1, 'sync fails': 2, 'stalled': 3, 'slow': 4}


class Disk:
    def __init__(self, path, cache=False):
        with open(path, 'w+b') as f:
            f.truncate(4096)
            self.map = mmap.mmap(f.fileno(), 4096)
        self.env = {'PASTE_TEST_DISK': str(path)}
        self.set('cache', int(cache))

    def set(self, name, value):
        struct.pack_into('<I', self.map, 4 * NAMES.index(name), value)

    def get(self, name):
        return struct.unpack_from('<I', self.map, 4 * NAMES.index(name))[0]

    def fail(self, what, error=errno.EIO, after=0, times=0):
        """what: 'write fails' or 'sync fails'; `times` 0: from now on, else it works again after so many."""
        self.set('error', error)
        self.set('after', after)
        self.set('times', times)
        self.set('injected', 0)
        self.set('mode', MODES[what])

    def stall(self):
        self.set('mode', MODES['stalled'])

    def slow(self, delay_us):
        self.set('delay_us', delay_us)
        self.set('mode', MODES['slow'])

    def work(self):
        self.set('mode', MODES['works'])
