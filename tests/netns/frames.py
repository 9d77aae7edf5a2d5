"""Whole Ethernet frames from the far to the near end of a lab, as bytes."""

import logging

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop  # noqa: E402
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether  # noqa: E402
from scapy.layers.sctp import SCTP  # noqa: E402
from scapy.packet import Raw  # noqa: E402

__all__ = [
    *("ARP", "Dot1AD", "Dot1Q", "Ether", "ICMP", "ICMPv6EchoRequest", "IP", "IPv6", "IPv6ExtHdrFragment"),
    *("IPv6ExtHdrHopByHop", "Raw", "SCTP", "TCP", "UDP", "Frames"),
]

PAYLOAD = b"zsync" * 4


class Frames:
    def __init__(self, lab):
        self.lab = lab

    def ether(self, *layers) -> bytes:
        frame = Ether(src=self.lab.far.mac, dst=self.lab.near.mac)
        for layer in layers:
            frame = frame / layer
        return bytes(frame)

    def v4(self, *layers, source: str | None = None, **fields) -> bytes:
        return self.ether(self.ip(source, **fields), *layers)

    def v6(self, *layers, source: str | None = None, **fields) -> bytes:
        return self.ether(self.ip6(source, **fields), *layers)

    def ip(self, source: str | None = None, **fields) -> IP:
        return IP(**{"src": source or self.lab.far.v4, "dst": self.lab.near.v4} | fields)

    def ip6(self, source: str | None = None, **fields) -> IPv6:
        return IPv6(**{"src": source or self.lab.far.v6, "dst": self.lab.near.v6} | fields)

    def udp(self, port: int, source: str | None = None, sport: int = 40000) -> bytes:
        family = self.v6 if source and ":" in source else self.v4
        return family(UDP(sport=sport, dport=port), Raw(PAYLOAD), source=source)

    def tcp(self, port: int, flags: str = "S", source: str | None = None) -> bytes:
        family = self.v6 if source and ":" in source else self.v4
        return family(TCP(sport=40000, dport=port, flags=flags), source=source)
