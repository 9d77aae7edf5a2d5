"""dbus/*.xml says what the running daemon shows of itself: members, types, argument names, access, change signals."""

import os
import pathlib
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

DBUS = pathlib.Path(__file__).resolve().parents[2] / "dbus"
CHANGES = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def members(text: str, interface: str) -> dict:
    """What of an interface's introspection matters to a caller."""
    found = {}
    node = ElementTree.fromstring(text).find(f"interface[@name='{interface}']")
    assert node is not None, f"no {interface} in\n{text}"
    for member in node:
        # Anything else, such as annotations of sd-bus itself, is not for callers.
        if member.tag not in ("method", "signal", "property"):
            continue
        key = (member.tag, member.get("name"))
        default = "out" if member.tag == "signal" else "in"
        arguments = [(a.get("name"), a.get("type"), a.get("direction", default)) for a in member.findall("arg")]
        annotations = {a.get("name"): a.get("value") for a in member.findall("annotation")}
        changes = annotations.get(CHANGES, "true") if member.tag == "property" else None
        found[key] = (arguments, member.get("type"), member.get("access"), changes)
    return found


def assert_documented(service, path: str, interface: str) -> None:
    written = members((DBUS / f"{interface}.xml").read_text(), interface)
    shown = members(service.introspect(path), interface)
    assert shown == written


def test_manager(running):
    assert_documented(running, "/org/zsync1", "org.zsync1.Manager")


def test_packet(running):
    assert_documented(running, "/org/zsync1/packet", "org.zsync1.Packet")


def test_job(running):
    reload = running.hold_reload()
    assert_documented(running, running.running_job(), "org.zsync1.Job")
    running.listen()
    assert reload.wait(timeout=20) == 0
    reload.stderr.close()


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.ismount("/sys/fs/bpf"), reason="needs CAP_BPF and a bpffs")
def test_packet_interface(service):
    service.bpf_dir = pathlib.Path(f"/sys/fs/bpf/zsync-introspection-{os.getpid()}")
    service.prefix = ["unshare", "--net"]
    service.start()
    packet = ("call", "org.zsync1", "/org/zsync1/packet", "org.zsync1.Packet")
    try:
        service.busctl(*packet, "Attach", "ssa{sv}", "lo", "generic", "0")
        assert_documented(service, "/org/zsync1/packet/lo", "org.zsync1.PacketInterface")
        service.busctl(*packet, "Detach", "sa{sv}", "lo", "0")
    finally:
        service.stop()
        subprocess.run(["rm", "-rf", str(service.bpf_dir)], check=True)


def test_every_file_is_well_formed_and_documented():
    for path in sorted(DBUS.glob("*.xml")):
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        interface = ElementTree.parse(path, parser).find("interface")
        assert interface.get("name") == path.stem
        assert sum(child.tag is ElementTree.Comment for child in interface) >= len(interface) // 3
