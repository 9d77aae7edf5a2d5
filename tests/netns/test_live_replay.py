"""An interface that receives the packets of a capture says of them what `zsyncctl packet replay` says of the capture."""

import pathlib

import pytest
from lab import wait_until
from scapy.utils import RawPcapReader

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "packet" / "analysis" / "captures"
NAMES = ["web", "dns", "icmp", "dhcp", "quic"]
# What depends on when packets come, and the numbers of flows, which are the kernel's.
TIMES = {"first_us", "last_us", "time_us"}
OF_THE_CAPTURE = {"capture", "alerts", "flow_table", "flows", "messages", "applications", "spread", "sources"}


@pytest.fixture(scope="module", params=[*((name, "native") for name in NAMES), *((name, "generic") for name in NAMES)], ids="-".join)
def both(request):
    """The report of a capture, and that of an interface that has received its frames."""
    from lab import Lab

    name, mode = request.param
    capture = CAPTURES / f"{name}.pcap"
    with Lab() as lab:
        # Nobody answers what comes.
        lab.near.run("sysctl", "-qw", f"net.ipv6.conf.{lab.near.ifname}.disable_ipv6=1")
        lab.near.ip("addr", "flush", "dev", lab.near.ifname)
        lab.attach("--mode", mode)
        lab.ctl("packet", "analyse", lab.near.ifname)
        frames = [frame for frame, _ in RawPcapReader(str(capture))]
        lab.far.send(*frames)

        def whole():
            report = lab.json("flows", lab.near.ifname)
            return report if report["packets"] == len(frames) else None

        live = wait_until("the last packet", whole)
        text = lab.ctl("flows", lab.near.ifname).out
        yield lab.json("packet", "replay", str(capture)), live, text


def without(thing: dict, *keys: str) -> dict:
    return {key: value for key, value in thing.items() if key not in {*keys, *TIMES}}


def ends(flow: dict) -> tuple:
    return tuple(str(flow.get(key)) for key in ("protocol", "source", "destination", "source_port", "destination_port", "icmp_type"))


def test_has_every_field(both):
    replay, live, _ = both
    assert replay.keys() - live.keys() == {"capture", "alerts"}
    assert live.keys() - replay.keys() == {"ifname", "tap"}
    assert replay["flow_table"].keys() <= live["flow_table"].keys()
    assert replay["messages"].keys() == live["messages"].keys()


def test_figures_are_the_same(both):
    replay, live, _ = both
    assert without(live, "ifname", "tap", *OF_THE_CAPTURE) == without(replay, *OF_THE_CAPTURE)
    for key in ("flows", "evicted", "refused", "floods", "packets_without_flow", "contents_passed_over"):
        assert live["flow_table"][key] == replay["flow_table"][key], key
    assert live["tap"] == {"sample_every": 1, "packets": replay["packets"], "sampled": replay["packets"], "lost": 0}


def test_flows_are_the_same(both):
    replay, live, _ = both
    expected = {ends(flow): without(flow, "id", "end") for flow in replay["flows"]["list"]}
    found = {ends(flow): without(flow, "id", "end", "dropped") for flow in live["flows"]["list"]}
    assert len(expected) == len(replay["flows"]["list"])
    assert found == expected
    assert {flow["dropped"] for flow in live["flows"]["list"]} == {0}


def test_messages_are_the_same_and_of_the_same_flows(both):
    def of(report: dict) -> list[tuple]:
        flows = {flow["id"]: ends(flow) for flow in report["flows"]["list"]}
        return [(without(message, "flow"), flows[message["flow"]] if "flow" in message else None) for message in report["messages"]["list"]]

    replay, live, _ = both
    assert of(live) == of(replay)
    assert live["messages"]["left_out"] == 0


def test_what_was_asked_is_in_the_table(both):
    replay, _, text = both
    asked = {question["name"] for message in replay["messages"]["list"] for question in message.get("questions", [])}
    last = {name for name in asked if name in text}
    assert bool(last) == bool(asked)
