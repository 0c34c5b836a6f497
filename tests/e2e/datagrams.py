# SPDX-License-Identifier: BSD-2-Clause
"""A client of the UDP service: one datagram, one answer of 8 bytes."""
import socket
import struct

REFUSED = 1 << 63
FULL, TOO_LARGE, MEDIUM_FAILED = 1, 2, 3


def split(address):
    host, port = address.rsplit(':', 1)
    return host.strip('[]'), int(port)


class Sender:
    def __init__(self, host, port, sock=None, timeout=10):
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.socket = sock or socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))

    def send(self, data):
        self.socket.send(data)

    def answer(self):
        got = self.socket.recv(64)
        assert len(got) == 8, f'an answer of {len(got)} bytes'
        return struct.unpack('>Q', got)[0]

    def ask(self, data):
        self.send(data)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
