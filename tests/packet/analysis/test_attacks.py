"""Every attack on record is found and called by its name; ordinary traffic raises nothing."""

import gzip

import pytest
from attacks import ATTACKS
from conftest import CAPTURES


def configure(service, thresholds: str) -> None:
    service.config.write_text(f"[packet.alerts]\n{thresholds}\n")
    service.call("Reload", "a{sv}", "0")
    service.listen()  # a reload waits for a service manager that does not


@pytest.fixture(scope="module")
def alerts(service, replay, tmp_path_factory):
    """The alerts that a capture raises, with the defaults but for a beat of a second, which saves the captures time."""
    configure(service, "beacon_interval_seconds_min = 0.5")
    folder = tmp_path_factory.mktemp("attacks")

    def run(name: str) -> list[dict]:
        path = CAPTURES / f"{name}.pcap"
        if not path.exists():
            path = folder / f"{name}.pcap"
            path.write_bytes(gzip.decompress((CAPTURES / f"{name}.pcap.gz").read_bytes()))
        done = replay(path)
        assert done.code == 0, done.errors
        return done.report["alerts"]["list"]

    yield run
    configure(service, "")


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_found(alerts, name):
    must, may = ATTACKS[name]
    found = alerts(name)
    kinds = {alert["kind"] for alert in found}
    assert must <= kinds <= must | may, found
    for alert in found:
        assert alert["reason"] and alert["value"] and alert["threshold"]


@pytest.mark.parametrize("name", ["web", "dns", "icmp", "dhcp", "quic", "sll", "sll2"])
def test_ordinary_traffic_raises_nothing(alerts, name):
    assert alerts(name) == []


def test_every_capture_is_judged():
    recorded = {path.name.partition(".")[0] for path in CAPTURES.glob("*.pcap.gz")}
    assert recorded == set(ATTACKS)


@pytest.mark.parametrize(
    "name, subject",
    [
        ("scan_syn", {"source": "10.78.0.1", "destination": "10.78.0.2", "protocol": "tcp"}),
        ("sweep_port", {"source": "10.78.0.1", "port": 22, "protocol": "tcp"}),
        ("flood_syn_one_source", {"destination": "10.78.0.2", "port": 80}),
        ("reflection_ntp", {"destination": "10.78.0.2", "port": 123, "protocol": "udp"}),
        ("amplification", {"source": "10.78.0.2", "destination": "10.78.0.1", "port": 53}),
        ("brute_force", {"source": "10.78.0.1", "destination": "10.78.0.2", "port": 23}),
        ("tunnel_iodine", {"source": "10.78.0.1", "domain": "example.test"}),
        ("beacon", {"source": "10.78.0.1", "destination": "10.78.0.2", "port": 80}),
    ],
)
def test_alert_names_who_and_whom(alerts, name, subject):
    assert subject.items() <= alerts(name)[0].items()


@pytest.mark.parametrize("name, key", [("scan_syn", "port_scan_ports"), ("flood_icmp", "icmp_flood_per_second")])
def test_a_threshold_of_0_switches_a_detector_off(service, alerts, name, key):
    configure(service, f"{key} = 0")
    assert alerts(name) == []
    configure(service, "")
    assert len(alerts(name)) == 1


def test_the_same_is_told_again_after_quiet_seconds(service, alerts):
    configure(service, "quiet_seconds = 0")
    assert len(alerts("flood_icmp")) > 100
    configure(service, "")
    assert len(alerts("flood_icmp")) == 1
