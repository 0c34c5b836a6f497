# SPDX-License-Identifier: BSD-2-Clause
"""What is no region, no longer one, or one of another version: told clearly by info, check and serve, and left as it
is."""
import os
import struct
import unittest

from running import Service, check, create, folder_on, info, main, run, take_pst

PST = take_pst()
MIB = 1 << 20
SIZE = 16 * MIB
SUPERBLOCKS = (0, 32 << 10)  # docs/format.md
# Where in a superblock, as `struct` writes it.
CRC, FORMAT, COMPAT, RO_COMPAT, INCOMPAT = 8, 12, 16, 20, 24
STATUS = {'info': 1, 'check': 2, 'serve': 1}


def crc32c(data):
    if not TABLE:
        for n in range(256):
            for _ in range(8):
                n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
            TABLE.append(n)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


TABLE = []


class BadFiles(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(folder_on(self.medium))
        self.path = self.folder / 'region'

    def region(self):
        """A region with something in it."""
        self.path.unlink(missing_ok=True)
        create(PST, self.path, '16M', self.medium)
        with Service(PST, self.path) as service, service.client() as c:
            for n in range(30):
                self.assertEqual(c.ask('PUT', f'/kv/key{n}', bytes([n]) * n * 2000).status, 201)
                self.assertEqual(c.ask('POST', '/log/s', b'entry').status, 201)
            c.close()
            service.end()

    def refused(self, *words, commands=STATUS, path=None, unchanged=True):
        path = path or self.path
        before = path.read_bytes() if unchanged else None
        for command in commands:
            with self.subTest(command):
                args = ['--http', '127.0.0.1:0'] if command == 'serve' else []
                r = run(PST, command, path, *args, timeout=30)
                self.assertEqual((r.returncode, r.stdout), (STATUS[command], ''), r.stderr)
                # One line, which names the command and the file, and says what is wrong.
                self.assertRegex(r.stderr, rf'\A(pst {command}: |ts=\S+ level=error msg=).*{path.name}.*\n\Z')
                for word in words:
                    self.assertIn(word, r.stderr)
        if unchanged:
            self.assertTrue(path.read_bytes() == before, 'it was written to')

    def rewrite(self, at, content, copies=SUPERBLOCKS):
        """Change superblocks, with the right checksum."""
        with open(self.path, 'r+b') as f:
            for start in copies:
                f.seek(start)
                block = bytearray(f.read(4096))
                self.assertEqual(struct.unpack_from('<I', block, CRC)[0], crc32c(block[:CRC] + bytes(4) + block[CRC + 4:]))
                block[at:at + len(content)] = content
                struct.pack_into('<I', block, CRC, crc32c(block[:CRC] + bytes(4) + block[CRC + 4:]))
                f.seek(start)
                f.write(block)

    def test_truncated(self):
        self.region()
        for size in SIZE - 1, SIZE - 4096, SIZE // 2, MIB, MIB - 1, 65536, 40960, 4096, 4095, 100, 1, 0:
            with self.subTest(size=size):
                os.truncate(self.path, size)
                words = ['truncated'] if size >= MIB and size % 4096 == 0 else []
                self.refused(*words)

    def test_longer_than_it_was(self):
        """As on a device: what is behind the region is nobody's."""
        self.region()
        os.truncate(self.path, SIZE + 5 * 4096)
        check(PST, self.path)
        with Service(PST, self.path) as service, service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/key7').status, 200)
            c.close()
            self.assertEqual(service.end(), 0)

    def test_zeroed(self):
        self.region()
        content = self.path.read_bytes()
        self.path.write_bytes(bytes(SIZE))
        self.refused('not a region')
        # One of the two superblocks is enough to know it; everything is there.
        for start in SUPERBLOCKS:
            self.path.write_bytes(content[:start] + bytes(4096) + content[start + 4096:])
            r = run(PST, 'check', self.path)
            self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            self.assertIn('superblock', r.stdout)
            self.assertEqual(info(PST, self.path)['keys'], 30)
            with Service(PST, self.path) as service, service.client() as c:
                for n in range(30):
                    self.assertEqual(c.ask('GET', f'/kv/key{n}').body, bytes([n]) * n * 2000)
                c.close()
                self.assertEqual(service.end(), 0)
            check(PST, self.path)  # serving has written both anew
        self.path.write_bytes(bytes(65536) + content[65536:])
        self.refused('not a region')
        # The superblocks alone: everything that they point to is gone, and nothing is made up.
        self.path.write_bytes(content[:65536] + bytes(SIZE - 65536))
        r = run(PST, 'check', self.path)
        self.assertIn(r.returncode, (1, 2), r.stdout + r.stderr)
        self.assertIn('damage', r.stdout + r.stderr)
        with Service(PST, self.path) as service, service.client() as c:
            for n in range(30):
                self.assertEqual(c.ask('GET', f'/kv/key{n}').status, 500)

    def test_foreign(self):
        with open(PST, 'rb') as f:
            program = f.read(2 * MIB)
        ext4 = bytearray(2 * MIB)
        ext4[0x438:0x43a] = b'\x53\xef'
        for name, content in {'program': program, 'noise': os.urandom(2 * MIB), 'text': b'hello, world\n' * 200000,
                              'file system': bytes(ext4), 'short': b'PASTEREG', 'its magic': b'PASTEREG' * (MIB // 4)}.items():
            with self.subTest(name):
                self.path.write_bytes(content)
                self.refused()

    def test_things_that_are_no_files(self):
        for name in 'folder', 'pipe', 'missing', 'loop':
            path = self.folder / name
            if name == 'folder':
                path.mkdir()
            elif name == 'pipe':
                os.mkfifo(path)
            elif name == 'loop':
                path.symlink_to('loop')
            self.refused(path=path, unchanged=False)
        for path in '/dev/null', '/dev/zero':
            for command, status in STATUS.items():
                r = run(PST, command, path, *(['--http', '127.0.0.1:0'] if command == 'serve' else []), timeout=30)
                self.assertEqual((r.returncode, r.stdout), (status, ''), r.stderr)

    def test_a_newer_version(self):
        self.region()
        self.rewrite(FORMAT, struct.pack('<I', 2))
        self.refused('version 2', 'newer pst')
        self.rewrite(FORMAT, struct.pack('<I', 0xffffffff))
        self.refused('version')

    def test_features_of_a_newer_version(self):
        for flag in 0x40000000, 0x80000000:
            self.region()
            # One that everybody may overlook.
            self.rewrite(COMPAT, struct.pack('<I', flag))
            check(PST, self.path)
            with Service(PST, self.path) as service, service.client() as c:
                self.assertEqual(c.ask('GET', '/kv/key9').status, 200)
                c.close()
                self.assertEqual(service.end(), 0)
            self.assertTrue(any(str(flag) in str(v) or f'{flag:x}' in str(v) for v in info(PST, self.path).values()))
            # One that only a writer has to know.
            self.rewrite(RO_COMPAT, struct.pack('<I', flag))
            check(PST, self.path)
            self.assertEqual(info(PST, self.path)['keys'], 30)
            self.refused(f'{flag:x}', 'newer pst', commands=['serve'])
            # One without which nothing can be understood.
            self.rewrite(INCOMPAT, struct.pack('<I', flag))
            self.refused(f'{flag:x}', 'newer pst')

    def test_values_that_make_no_sense_under_a_right_checksum(self):
        # Size, buffer size, segment size, the numbers of areas and logs, the area's start and length.
        for at, content in ((56, struct.pack('<Q', 0)),
                            (56, struct.pack('<Q', 1)), (56, struct.pack('<Q', 1 << 62)), (64, struct.pack('<I', 1000)),
                            (68, struct.pack('<I', 3)), (232, struct.pack('<H', 9)), (234, struct.pack('<H', 0)),
                            (234, struct.pack('<H', 65535)), (288, struct.pack('<Q', 1 << 60)), (296, struct.pack('<Q', 1 << 60))):
            with self.subTest(at=at, content=content):
                self.region()
                self.rewrite(at, content)
                r = run(PST, 'check', self.path, timeout=30)
                self.assertIn(r.returncode, (1, 2), r.stdout + r.stderr)


class OnShm(BadFiles):
    medium = 'shm'


class OnFile(BadFiles):
    medium = 'file'


del BadFiles


if __name__ == '__main__':
    main()
