"""The harness fails whatever did not prove that it ran and passed."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import image
import pytest
import vm

HARNESS = pathlib.Path(__file__).resolve().parent
# The harness gives a silent guest a minute beyond the scenario's own time; these guests are silent on purpose.
GRACE = "8"


# In the environment of a run and of all that it starts.
MARK = "ZSYNC_VM_TEST"


def run(name: str, out: pathlib.Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(HARNESS / "vm.py"), "run", str(HARNESS / "broken" / name), "--out", str(out)],
        env=os.environ | {"ZSYNC_VM_GRACE_SECONDS": GRACE, MARK: str(out)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def emulators(out: pathlib.Path) -> set[str]:
    """The pids of QEMU processes that the run into `out` started, whosever children they are by now. Other scenarios may
    run beside this test."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            program = (path / "cmdline").read_bytes().split(b"\0")[0]
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if program == b"qemu-system-x86_64" and f"{MARK}={out}".encode() in environment:
            found.add(path.name)
    return found


def test_failing_scenario_fails_with_its_code_and_log(tmp_path):
    code, text = run("fails", tmp_path / "out")
    assert code == 3, text
    assert "this scenario fails on purpose" in text
    assert json.loads((tmp_path / "out" / "result.json").read_text())["rc"] == 3
    for name in ("log", "journal", "dmesg", "console.log"):
        assert (tmp_path / "out" / name).exists()


def test_overrunning_scenario_is_ended_by_the_guest_itself(tmp_path):
    code, text = run("hangs", tmp_path / "out")
    assert code == 124, text
    assert "no end after 3 s" in text
    assert (tmp_path / "out" / "journal").stat().st_size > 0


def test_panicking_guest_fails_and_its_last_words_come_back(tmp_path):
    code, text = run("panics", tmp_path / "out")
    assert code == 125, text
    assert "sysrq triggered crash" in (tmp_path / "out" / "console.log").read_text().lower(), text


def test_guest_that_never_answers_fails(tmp_path):
    code, text = run("silent", tmp_path / "out")
    assert code == 125 and "no answer in time" in text, text
    assert "Show Blocked State" in (tmp_path / "out" / "console.log").read_text(), "its tasks were asked for"


GOOD = {"nonce": "abc", "rc": 0, "how": "ended", "kernel": image.kernel_release()}


@pytest.mark.parametrize(
    "result, answer, code",
    [
        (GOOD, "DONE abc 0", 0),
        (GOOD | {"rc": 4}, "DONE abc 4", 4),
        (GOOD, "DONE other 0", 125),
        (GOOD, "READY abc 0", 125),
        (GOOD | {"nonce": "other"}, "DONE abc 0", 125),
        (GOOD | {"rc": 1}, "DONE abc 0", 125),
        (GOOD | {"kernel": "6.18.0"}, "DONE abc 0", 125),
        (None, "DONE abc 0", 125),
    ],
)
def test_only_a_proven_result_is_believed(tmp_path, result, answer, code):
    if result is not None:
        (tmp_path / "result.json").write_text(json.dumps(result))
    assert vm.judge(tmp_path, "abc", answer)[0] == code


@pytest.mark.parametrize("missing", ["no/such/file*.deb"])
def test_missing_input_is_named(tmp_path, missing):
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    (scenario / "run").write_text("#!/bin/sh\n")
    (scenario / "needs").write_text(missing + "\n")
    done = subprocess.run(
        [sys.executable, str(HARNESS / "vm.py"), "run", str(scenario), "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode != 0 and missing in done.stderr


def test_no_emulator_outlives_its_run(tmp_path):
    out = tmp_path / "out"
    with concurrent.futures.ThreadPoolExecutor() as beside:
        ends = beside.submit(run, "fails", out)
        seen = set()
        while not concurrent.futures.wait([ends], timeout=0.1).done:
            seen |= emulators(out)
    assert seen, "the emulator of a run is found while it runs"
    assert not emulators(out)
