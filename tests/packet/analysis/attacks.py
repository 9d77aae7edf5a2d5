"""What must be told of each attack that captures/make.py makes, on record and on an interface."""

# What must be found, and what else may be said of the same packets.
ATTACKS = {
    "scan_syn": ({"port_scan"}, set()),
    "scan_connect": ({"port_scan"}, set()),
    "scan_udp": ({"port_scan"}, set()),
    "sweep_arp": ({"sweep"}, set()),
    "sweep_port": ({"sweep"}, set()),
    "sweep_echo": ({"sweep"}, set()),
    "flood_syn": ({"syn_flood", "spoofed_sources"}, {"bogon_source"}),
    "flood_syn_one_source": ({"syn_flood"}, set()),
    "flood_udp": ({"udp_flood"}, set()),
    "flood_icmp": ({"icmp_flood"}, set()),
    "reflection_dns": ({"reflection"}, set()),
    "reflection_ntp": ({"reflection"}, set()),
    "reflection_memcached": ({"reflection"}, set()),
    "amplification": ({"amplification"}, set()),
    "brute_force": ({"brute_force"}, set()),
    "tunnel_iodine": ({"dns_tunnel"}, set()),
    "tunnel_dns2tcp": ({"dns_tunnel"}, set()),
    "beacon": ({"beacon"}, set()),
    "bogon": ({"bogon_source"}, set()),
}  # fmt: skip
