"""Every attack is found while it goes on, on an interface as in its capture; ordinary traffic raises nothing.

The attackers are those of the captures (tests/packet/analysis/captures/make.py), each in a lab of its own, some at a time.
"""

import concurrent.futures
import contextlib
import pathlib
import sys

import pytest
from lab import Lab, wait_until

ANALYSIS = pathlib.Path(__file__).resolve().parents[1] / "packet" / "analysis"
sys.path[:0] = [str(ANALYSIS), str(ANALYSIS / "captures")]

import make  # noqa: E402
from attacks import ATTACKS  # noqa: E402

LABS_AT_A_TIME = 4
ORDINARY = ["web", "dns", "icmp", "dhcp", "quic"]
# A beat of a second saves time, and four labs on two processors are not as punctual as one.
CONFIG = "[packet.alerts]\nbeacon_interval_seconds_min = 0.5\nbeacon_jitter_max = 0.3\n"


def analysed(lab) -> dict:
    """What is known of the traffic once every packet of it has been looked at."""

    def whole():
        report = lab.json("flows", lab.near.ifname)
        return report if report["packets"] == report["tap"]["sampled"] - report["tap"]["lost"] else None

    return wait_until("the analysis of every packet", whole)


def alerts_of(name: str) -> list[dict]:
    with Lab(daemon=False) as lab:
        lab.config.write_text(CONFIG)
        lab.start_daemon()
        lab.attach()
        lab.ctl("packet", "analyse", lab.near.ifname)
        getattr(make, name)(lab)
        assert analysed(lab)["packets"] > 0
        return lab.json("alerts", lab.near.ifname)


@pytest.fixture(scope="module")
def alerts():
    """The alerts of each kind of traffic, by its name. All begin with the first that is asked for."""
    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ThreadPoolExecutor(LABS_AT_A_TIME) as labs:
        patch.setattr(make, "recorded", lambda *_, **__: contextlib.nullcontext())
        found = {name: labs.submit(alerts_of, name) for name in [*ATTACKS, *ORDINARY]}
        yield lambda name: found[name].result()


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_found_while_it_goes_on(alerts, name):
    must, may = ATTACKS[name]
    found = alerts(name)
    kinds = {alert["kind"] for alert in found}
    assert must <= kinds <= must | may, found


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_traffic_raises_nothing(alerts, name):
    assert alerts(name) == []
