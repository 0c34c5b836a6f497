# SPDX-License-Identifier: BSD-2-Clause
"""The other end of the guest's network cable: frames as bytes, sent and received by the test itself.

What has come out of the cable has left the machine, and stays when the machine dies.
"""

import ipaddress
import socket
import struct
import time

GUEST_MAC = "52:54:00:70:73:74"
GUEST_ADDRESS = "10.99.0.2"
OUR_MAC = "52:54:00:00:00:01"
OUR_ADDRESS = "10.99.0.1"
HEADER_BYTES = 14 + 20 + 8  # Ethernet, IPv4, UDP
LENGTH = struct.Struct(">I")  # what the emulator puts before each frame
MORE_BYTES = 1 << 16


class Wire:
    def __init__(self, end):
        self._end = end
        self._received = b""

    def send(self, frame):
        self._end.settimeout(60)
        self._end.sendall(LENGTH.pack(len(frame)) + frame)

    def receive(self, seconds):
        """The next frame; None after `seconds` without one, or when the cable has nothing more and no other end."""
        deadline = time.monotonic() + seconds
        while (frame := self._take()) is None:
            self._end.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                piece = self._end.recv(MORE_BYTES)
            except (TimeoutError, ConnectionResetError):
                return None
            if not piece:
                return None
            self._received += piece
        return frame

    def close(self):
        self._end.close()

    def _take(self):
        if len(self._received) < LENGTH.size:
            return None
        end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        frame, self._received = self._received[LENGTH.size:end], self._received[end:]
        return frame


def datagram(from_port, to_port, payload):
    """A UDP datagram to the guest, as a frame."""
    source, target = (ipaddress.ip_address(address).packed for address in (OUR_ADDRESS, GUEST_ADDRESS))
    udp = struct.pack(">HHHH", from_port, to_port, 8 + len(payload), 0)
    pseudo = source + target + struct.pack(">BBH", 0, socket.IPPROTO_UDP, 8 + len(payload))
    udp = udp[:6] + struct.pack(">H", _checksum(pseudo + udp + payload) or 0xffff)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0x4000, 64, socket.IPPROTO_UDP, 0) + source + target
    ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    return _mac(GUEST_MAC) + _mac(OUR_MAC) + b"\x08\x00" + ip + udp + payload


def datagram_from(frame):
    """(from port, to port, payload) of a UDP datagram of the guest's, or None."""
    if len(frame) < HEADER_BYTES or frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or frame[23] != socket.IPPROTO_UDP:
        return None
    from_port, to_port, length = struct.unpack_from(">HHH", frame, 34)
    return from_port, to_port, frame[HEADER_BYTES:HEADER_BYTES + length - 8]


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))
