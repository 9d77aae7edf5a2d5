"""A port of a bond is refused. In a file of its own: it needs the kernel's bonding driver, which not every host has."""

import pytest


def test_port_of_a_bond_is_refused_and_left_alone(lab):
    if lab.near.ip("link", "add", "bond0", "type", "bond", check=False).returncode:
        pytest.skip("needs the kernel's bonding driver; vm.install has it and proves this")
    lab.near.ip("link", "set", lab.near.ifname, "down")
    lab.near.ip("link", "set", lab.near.ifname, "master", "bond0")
    answer = lab.ctl("packet", "attach", lab.near.ifname, check=False)
    assert answer.code == 1 and "bond0" in answer.err and lab.near.ifname in answer.err
    assert "xdp" not in lab.near.link()
