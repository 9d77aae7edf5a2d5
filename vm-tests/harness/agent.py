#!/usr/bin/python3
"""The harness's end inside the guest: says READY once, and after the resume runs one scenario and answers.

It waits on a virtio-serial port, because a read of ttyS0 never returns after a resume. Every clone starts with the same
clock, random pool and machine-id, so those are the first things it changes.
"""

import fcntl
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

PORT = "/dev/virtio-ports/zsync.agent"
RNDADDENTROPY = 0x40085203
RNDRESEEDCRNG = 0x5207
IN = pathlib.Path("/run/vm/in")
OUT = pathlib.Path("/run/vm/out")
KILL_SECONDS = 5


def mount(tag: str, where: pathlib.Path, options: str) -> None:
    where.mkdir(parents=True, exist_ok=True)
    options = f"trans=virtio,version=9p2000.L,msize=262144,cache=none,{options}"
    subprocess.run(["mount", "-t", "9p", "-o", options, tag, str(where)], check=True)


def become_unique(order: dict) -> None:
    time.clock_settime(time.CLOCK_REALTIME, order["time"])
    seed = bytes.fromhex(order["seed"])
    with open("/dev/urandom", "wb") as pool:
        fcntl.ioctl(pool, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
        fcntl.ioctl(pool, RNDRESEEDCRNG)
    pathlib.Path("/etc/machine-id").write_text(seed[:16].hex() + "\n")
    pathlib.Path("/proc/sys/kernel/hostname").write_text("vm-" + order["nonce"][:8])


def run_scenario(order: dict) -> tuple[int, str]:
    environment = dict(os.environ, HOME="/root", LC_ALL="C.UTF-8", VM_NONCE=order["nonce"], VM_OUT=str(OUT))
    with open(OUT / "log", "wb") as log:
        child = subprocess.Popen(
            [str(IN / "scenario" / "run")],
            cwd=IN / "scenario",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            return child.wait(order["timeout"]), "ended"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            return 124, f"no end after {order['timeout']} s"


def collect() -> None:
    for name, command in (
        ("journal", ["journalctl", "--no-pager", "-b", "-o", "short-monotonic"]),
        ("dmesg", ["dmesg"]),
        ("units", ["systemctl", "--no-pager", "--all", "list-units"]),
    ):
        with open(OUT / name, "wb") as file:
            subprocess.run(command, stdout=file, stderr=file, check=False)


def serve(port) -> None:
    order = json.loads(port.readline())
    began = time.monotonic()
    become_unique(order)
    mount("in", IN, "ro")
    mount("out", OUT, "rw")
    port.write(f"STARTED {order['nonce']} {time.monotonic() - began:.3f}\n".encode())
    code, how = run_scenario(order)
    collect()
    result = {"nonce": order["nonce"], "rc": code, "how": how, "kernel": os.uname().release}
    (OUT / "result.json").write_text(json.dumps(result))
    os.sync()
    port.write(f"DONE {order['nonce']} {code}\n".encode())


def main() -> int:
    # A guest that stops answering is asked for its tasks through the keyboard.
    pathlib.Path("/proc/sys/kernel/sysrq").write_text("1")
    subprocess.run(["systemctl", "start", "dbus.service", "polkit.service"], check=False)
    state = subprocess.run(["systemctl", "is-system-running", "--wait"], stdout=subprocess.PIPE, text=True).stdout
    for module in ("9p", "9pnet_virtio"):
        subprocess.run(["modprobe", module], check=False)
    with open(PORT, "r+b", buffering=0) as port:
        port.write(f"READY {os.uname().release} {state.strip()}\n".encode())
        serve(port)
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
