"""Every packet that goes out of an interface, decoded as far as it takes to say where to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass

_OUTGOING = 4  # linux/if_packet.h, PACKET_OUTGOING
_ALL = 0x0003  # linux/if_ether.h, ETH_P_ALL
_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6", 2: "igmp", 0: "icmp6"}


@dataclass(frozen=True, slots=True)
class Packet:
    protocol: str
    source: str
    source_port: int
    target: str
    target_port: int


class Capture:
    """From the moment it is made until `stop`. Needs to be root in its network namespace."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self.packets: list[Packet] = []
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self._sock.bind((interface, 0))
        self._sock.settimeout(0.2)
        self._stopping = False
        self._thread = threading.Thread(target=self._read, name=f"capture-{interface}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        time.sleep(0.5)
        self._stopping = True
        self._thread.join(5)
        self._sock.close()

    def _read(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                data, address = self._sock.recvfrom(65_535)
                if address[2] == _OUTGOING:
                    self.packets.append(decode(data))


def decode(frame: bytes) -> Packet:
    """An Ethernet frame."""
    kind = struct.unpack("!H", frame[12:14])[0]
    packet = frame[14:]
    if kind == 0x0800:
        length, number = (packet[0] & 15) * 4, packet[9]
        source, target, rest = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), packet[length:]
    elif kind == 0x86DD:
        number, rest = packet[6], packet[40:]
        source, target = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return Packet(f"frame {kind:#06x}", "", 0, frame[:6].hex(":"), 0)
    ports = struct.unpack("!HH", rest[:4]) if number in (6, 17) and len(rest) >= 4 else (0, 0)
    return Packet(_PROTOCOLS.get(number, str(number)), source, ports[0], target, ports[1])


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be seen on the loopback: the gateway's own port, the declared providers, the resolver."""

    gateway_port: int
    providers: frozenset[tuple[str, int]]
    resolver: str


def judge(exit_packets: list[Packet], loopback_packets: list[Packet], allowed: Allowed) -> tuple[dict[str, int], dict[str, int]]:
    """Undeclared packets and declared ones, each by where to."""
    bad: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for packet in exit_packets:
        if packet.protocol == "igmp" or (packet.protocol == "icmp6" and (packet.source == "::" or packet.source.startswith("fe80"))):
            continue  # the kernel's own: it announces the interface
        bad[f"exit {_where(packet)}"] += 1
    for packet in loopback_packets:
        ends = {(packet.source, packet.source_port), (packet.target, packet.target_port)}
        if ends & allowed.providers and packet.protocol == "tcp":
            good["provider"] += 1
        elif (allowed.resolver, 53) in ends and packet.protocol == "udp":
            good["resolver"] += 1
        elif packet.protocol == "tcp" and any(host in ("127.0.0.1", "::1") and port == allowed.gateway_port for host, port in ends):
            good["gateway"] += 1
        elif packet.protocol == "icmp" and packet.target == allowed.resolver:
            continue  # the kernel says that the resolver we took down is down
        elif packet.protocol == "icmp" and packet.source == allowed.resolver:
            continue
        else:
            bad[f"loopback {_where(packet)}"] += 1
    return dict(bad), dict(good)


def _where(packet: Packet) -> str:
    return f"{packet.protocol} {packet.target}:{packet.target_port}"
