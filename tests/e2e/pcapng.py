# SPDX-License-Identifier: BSD-2-Clause
"""Reads the pcapng files that pst writes, strictly."""
import collections
import struct

SECTION, INTERFACE, STATISTICS, PACKET = 0x0a0d0d0a, 1, 5, 6
Packet = collections.namedtuple('Packet', 'time inbound data')
Trace = collections.namedtuple('Trace', 'interface packets received dropped')


def options(data):
    found = {}
    while data:
        code, length = struct.unpack_from('<HH', data)
        if code == 0:
            assert (length, len(data)) == (0, 4), 'the end of options is the end'
            return found
        found[code] = data[4:4 + length]
        data = data[4 + (length + 3) // 4 * 4:]
    raise AssertionError('options without an end')


def blocks(data):
    while data:
        kind, length = struct.unpack_from('<II', data)
        assert length % 4 == 0 and 12 <= length <= len(data), (kind, length, len(data))
        assert struct.unpack_from('<I', data, length - 4)[0] == length
        yield kind, data[8:length - 4]
        data = data[length:]


def read(path, whole=True):
    with open(path, 'rb') as f:
        data = f.read()
    if not whole:  # its writer was killed: complete blocks up to there
        end = 0
        while len(data) - end >= 8 and end + struct.unpack_from('<I', data, end + 4)[0] <= len(data):
            end += struct.unpack_from('<I', data, end + 4)[0]
        data = data[:end]
    (kind, section), (second, interface), *rest = blocks(data)
    assert (kind, second) == (SECTION, INTERFACE)
    assert struct.unpack_from('<IHHq', section) == (0x1a2b3c4d, 1, 0, -1)
    options(section[16:])
    assert struct.unpack_from('<HHI', interface) == (1, 0, 0)  # Ethernet, whole packets
    told = options(interface[8:])
    assert told[9] == b'\x09'  # nanoseconds
    packets, counts = [], (None, None)
    for i, (kind, body) in enumerate(rest):
        if kind == STATISTICS:
            assert i == len(rest) - 1
            o = options(body[12:])
            counts = tuple(struct.unpack('<Q', o[k])[0] for k in (4, 5))
            continue
        assert kind == PACKET
        number, high, low, captured, original = struct.unpack_from('<IIIII', body)
        assert number == 0 and captured == original
        end = 20 + (captured + 3) // 4 * 4
        flags, = struct.unpack('<I', options(body[end:])[2])
        packets.append(Packet((high << 32 | low) / 1e9, {1: True, 2: False}[flags], body[20:20 + captured]))
    assert counts != (None, None) or not whole
    return Trace(told[2].decode(), packets, *counts)
