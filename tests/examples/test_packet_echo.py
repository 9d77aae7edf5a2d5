"""The AF_XDP example: what is sent to its interface comes back with its addresses exchanged, once each."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

import pytest

HERE, THERE = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
EXPERIMENTAL = 0x88B5  # IEEE 802, local experimental EtherType 1
FRAMES = 1000
SECONDS_MAX = 20


@pytest.fixture
def wire():
    """A packet socket at one end of a veth pair; the example runs at the other. The namespace ends with this process."""
    os.unshare(os.CLONE_NEWNET)
    subprocess.run("ip link add near0 type veth peer name far0 && ip link set near0 up && ip link set far0 up", shell=True, check=True)
    program = shutil.which("packet_echo")
    echo = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", program, "near0"])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENTAL)) as end:
        end.bind(("far0", EXPERIMENTAL))
        end.settimeout(0.1)
        yield end
    assert echo.poll() is None, "it runs until it is stopped"
    echo.kill()
    echo.wait()


def frame(payload: bytes) -> bytes:
    return THERE + HERE + EXPERIMENTAL.to_bytes(2, "big") + payload.ljust(50, b".")


def echoed(end: socket.socket) -> bytes | None:
    """The next frame that came in, not one that this end sent."""
    try:
        while True:
            data, address = end.recvfrom(2048)
            if address[2] != socket.PACKET_OUTGOING:
                return data
    except TimeoutError:
        return None


def test_each_frame_comes_back_once_with_its_addresses_exchanged(wire):
    deadline = time.monotonic() + SECONDS_MAX
    while True:  # until it listens
        wire.send(frame(b"hello"))
        if echoed(wire):
            break
        assert time.monotonic() < deadline
    while echoed(wire):
        pass
    for number in range(FRAMES):
        wire.send(frame(b"%d" % number))
        assert echoed(wire) == HERE + THERE + frame(b"%d" % number)[12:]
    assert echoed(wire) is None


def test_it_says_what_is_wrong():
    program = pathlib.Path(shutil.which("packet_echo"))
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: packet_echo INTERFACE\n")
    done = subprocess.run([program, "nowhere0"], capture_output=True, text=True)
    assert done.returncode == 1 and "nowhere0" in done.stderr
