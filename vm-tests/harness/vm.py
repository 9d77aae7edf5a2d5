#!/usr/bin/env python3
"""Runs vm-tests scenarios in a resumed clone of the saved guest.

vm.py image                 make or find the saved guest
vm.py run FOLDER [--out D]  run one scenario folder; exit code 0 only when the guest proved that it ran and returned 0

A scenario folder has `run`, executed as root in the guest with the folder as working directory. Optional beside it:
`needs`, one glob a line relative to the checkout, copied to ../files in the guest; `timeout`, seconds (default 300).
What `run` leaves in $VM_OUT comes back to build/vm/NAME, beside log, journal, dmesg and result.json.
"""

import argparse
import fcntl
import glob
import json
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
import time

import image
from machine import GuestSilent, Machine

TOP = pathlib.Path(__file__).resolve().parents[2]
SCENARIO_SECONDS = 300
# The agent ends a scenario that overruns by itself; only a guest that can't even do that is given up on.
GRACE_SECONDS = int(os.environ.get("ZSYNC_VM_GRACE_SECONDS", "60"))
STARTED_SECONDS_MAX = 90
LOG_LINES_SHOWN = 80


def fill_input(scenario: pathlib.Path, share: pathlib.Path) -> None:
    shutil.copytree(scenario, share / "scenario", ignore=shutil.ignore_patterns("__pycache__"))
    files = share / "files"
    files.mkdir(parents=True)
    needs = scenario / "needs"
    for pattern in needs.read_text().split() if needs.exists() else []:
        found = glob.glob(pattern, root_dir=TOP)
        if not found:
            raise SystemExit(f"vm: {scenario.name} needs {pattern}, and nothing in the checkout matches")
        for name in found:
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, files / pathlib.Path(name).name)
            else:
                shutil.copy2(TOP / name, files)


def tail(path: pathlib.Path) -> str:
    if not path.exists():
        return f"(no {path.name})"
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def judge(out: pathlib.Path, nonce: str, answer: str) -> tuple[int, str]:
    """The scenario's exit code and why it counts: the nonce came back twice, from the kernel that was meant to run."""
    words = answer.split()
    if words[:2] != ["DONE", nonce]:
        return 125, f"expected DONE and the nonce, got: {answer}"
    try:
        result = json.loads((out / "result.json").read_text())
    except (OSError, ValueError) as error:
        return 125, f"no readable result file from the guest: {error}"
    if result["nonce"] != nonce or str(result["rc"]) != words[2]:
        return 125, f"the result file is another run's: {result}"
    if result["kernel"] != image.kernel_release():
        return 125, f"the guest ran kernel {result['kernel']}, not {image.kernel_release()}"
    return result["rc"], result["how"]


def run(scenario: pathlib.Path, out: pathlib.Path) -> int:
    seconds = SCENARIO_SECONDS
    if (scenario / "timeout").exists():
        seconds = int((scenario / "timeout").read_text())
    guest = image.saved_guest()
    facts = json.loads((guest / "saved.json").read_text())
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    nonce = secrets.token_hex(16)
    order = {"nonce": nonce, "timeout": seconds, "seed": secrets.token_hex(64)}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zsync-vm-") as name, open(guest / "saved.json") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_SH)
        work = pathlib.Path(name)
        fill_input(scenario, work / "in")
        disk = image.overlay(guest / "boot.qcow2", "qcow2", work / "disk.qcow2")
        machine = Machine(work, disk, facts["accel"], work / "in", out, guest / "vmlinux", guest / "initrd", incoming=True)
        try:
            with machine:
                machine.resume(guest / "state")
                resumed = time.monotonic() - began
                machine.agent.send(json.dumps(order | {"time": time.time()}))
                started = machine.agent.line(time.monotonic() + STARTED_SECONDS_MAX)
                if started.split()[:2] != ["STARTED", nonce]:
                    raise GuestSilent(f"expected STARTED and the nonce, got: {started}")
                command = time.monotonic() - began
                try:
                    answer = machine.agent.line(time.monotonic() + seconds + GRACE_SECONDS)
                except GuestSilent:
                    machine.dump_tasks()
                    raise
            code, how = judge(out, nonce, answer)
        except GuestSilent as error:
            code, how = 125, f"the guest is gone: {error}"
        shutil.copy(machine.console, out / "console.log")
    took = time.monotonic() - began
    if code:
        print(f"--- log of {scenario.name}\n{tail(out / 'log')}")
        print(f"--- console\n{tail(out / 'console.log')}")
    else:
        print(tail(out / "log"))
    if code != 125:
        print(f"vm: {scenario.name}: state loaded {resumed:.2f} s, command started {command:.2f} s, done {took:.2f} s")
    print(f"vm: {scenario.name}: {'passed' if code == 0 else f'FAILED, exit code {code}'} ({how}); all of it in {out}")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("image")
    one = verbs.add_parser("run")
    one.add_argument("folder", type=pathlib.Path)
    one.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("vm: needs root, to read the root that the guest is made from")
    if args.verb == "image":
        folder = image.saved_guest()
        print(f"vm: {folder}: {(folder / 'saved.json').read_text()}")
        return 0
    return run(args.folder.resolve(), (args.out or TOP / "build" / "vm" / args.folder.name).resolve())


if __name__ == "__main__":
    sys.exit(main())
