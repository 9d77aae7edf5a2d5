"""Asio's operations on a worker: one thread, which sleeps in one place."""

import re
import subprocess

import pytest

# Connections, cancels, deadlines, timers: all but the cases that bring a thread of their own.
CASES = ("connections_are_made_and_used", "a_cancel_reaches_*", "a_deadline_ends_*", "timers_fire_*")
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "futex", "nanosleep", "clock_nanosleep"}
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += ")


def traced(tmp_path, model: str) -> list[tuple[str, str]]:
    """Every system call of the cases, as (name, arguments)."""
    cases = ":".join(f"Models/Asio.{case}/{model}" for case in CASES)
    log = tmp_path / "strace"
    done = subprocess.run(
        ["strace", "-f", "-o", log, "asio_test", f"--gtest_filter={cases}"], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0 and f"[  PASSED  ] {len(CASES)} tests" in done.stdout, done.stdout
    return [(found[1], found[2]) for line in log.read_text().splitlines() if (found := CALL.match(line))]


def may_sleep(name: str, arguments: str) -> bool:
    if name == "futex":
        return "FUTEX_WAIT" in arguments
    return name in WAITS and not re.search(r", 0$", arguments)


@pytest.mark.parametrize("kind", ["coroutines", "fibers"])
def test_a_worker_with_asio_sleeps_in_io_uring_enter_alone(tmp_path, kind):
    calls = traced(tmp_path, kind)
    names = {name for name, _ in calls}
    assert "io_uring_enter" in names and "epoll_wait" in names, "Asio was at work, on the ring"
    assert not names & {"clone", "clone3", "fork", "vfork"}, "there is one thread"
    assert [call for call in calls if may_sleep(*call)] == []


def test_without_a_ring_it_sleeps_in_the_workers_epoll_alone(tmp_path):
    calls = traced(tmp_path, "epoll_coroutines")
    assert not {name for name, _ in calls} & {"clone", "clone3", "fork", "vfork"}
    waits = {(name, arguments.split(",")[0], may_sleep(name, arguments)) for name, arguments in calls if name in WAITS}
    assert len({descriptor for _, descriptor, sleeps in waits if sleeps}) == 1, "each case has one worker, on the same number"
    asked = {descriptor for name, descriptor, sleeps in waits if name == "epoll_wait" and not sleeps}
    assert asked, "Asio's own epoll is asked without waiting"
