"""The ledger: each kind of leak is counted, named with where it was made, and fatal where that is asked for."""

import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).with_name("leaking.cpp")


def place(mark: str) -> str:
    for number, line in enumerate(SOURCE.read_text().splitlines(), 1):
        if line.endswith(f"// LINE: {mark}"):
            return f"tests/core/leaking.cpp:{number}"
    raise AssertionError(f"no line {mark}")


def leaking(kind: str, leaks: str | None, **environment: str) -> subprocess.CompletedProcess:
    surroundings = {name: value for name, value in os.environ.items() if name != "ZSYNC_LEAKS"} | environment
    if leaks is not None:
        surroundings["ZSYNC_LEAKS"] = leaks
    return subprocess.run(["leaking", kind], capture_output=True, text=True, env=surroundings, timeout=30)


# What is left, as the first line counts it, and what the trace says of each.
LEAKS = {
    "opened": ("1 descriptor", [r"descriptor \d+, opened at {open} by task 1 \"root\"", r"awaited at {open's caller}"]),
    "made": ("1 descriptor", [r"descriptor \d+, opened at {eventfd} by task 1 \"root\""]),
    "frame": ("1 frame", [r"frame of .*nothing\(zsync::Io\).*, made by task 1 \"root\""]),
    "future": ("1 task", [r'task 2 "forgotten" \(has ended, but a Future or TaskRef keeps it\), started at {async} by task 1 "root"']),
    "chunk": ("1 buffer, 1 buffer pool", ["buffer pool of 4 x 256 bytes lives, 1 buffer held", r'received at {next} by task 1 "root"']),
    # Without a buffer ring a request has a buffer of its own.
    "stream": ("1 operation, 1 buffer, 1 buffer pool", [r'recv stream of descriptor \d+, made at {stream} by task 1 "root"']),
    "accepted": ("1 descriptor", [r'descriptor \d+, opened at {connections} by task 1 "root"']),
    "accepting": ("1 operation", [r'accept stream of descriptor \d+, made at {accept stream} by task 1 "root"']),
    "datagrams": ("1 operation, 1 buffer, 1 buffer pool", [r'datagram stream of descriptor \d+, made at {datagram stream} by task 1 "root"']),
}  # fmt: skip


@pytest.mark.parametrize("queue", ["io_uring", "epoll"])
@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_is_named_with_where_it_was_made(kind, queue):
    counted, told = LEAKS[kind]
    done = leaking(kind, "trace", ZSYNC_IO=queue)
    assert done.returncode == 0 and done.stdout == "the end\n", done.stderr
    assert done.stderr.startswith(f"zsync: a worker ends and leaves {counted}\n"), done.stderr
    for words in told:
        pattern = re.sub(r"{([^{}]+)}", lambda mark: re.escape(place(mark[1])), words)
        assert re.search(pattern, done.stderr), done.stderr


# What is told without a trace, which costs nothing.
ALWAYS = {
    "opened": [r'descriptor \d+, opened at {open} by a task "root"'],
    "made": [r'descriptor \d+, opened at {eventfd} by a task "root"'],
    "accepted": [r'descriptor \d+, opened at {connections} by a task "root"'],
    "frame": [r"frame of .*nothing\(zsync::Io\).*"],
    "future": [r'task \d+ "forgotten" \(has ended, but a Future or TaskRef keeps it\)'],
    "chunk": [
        r'buffer pool of 4 x 256 bytes lives, 1 buffer held, made at {pool} by task 1 "root"$',
        "1 buffer, of a recv stream made at {in}$",
    ],
    "reading": [r'recv stream of descriptor \d+, opened at {reading} by a task "root", made at {reading stream}$'],
    "stream": [r"recv stream of descriptor \d+, made at {stream}$"],
    "sending": [
        r"send stream of descriptor \d+, made at {send stream}$",
        "1 buffer, of a recv stream made at .* or a send stream made at {send stream}$",
    ],
    "accepting": [r"accept stream of descriptor \d+, made at {accept stream}$"],
    "datagrams": [r"datagram stream of descriptor \d+, made at {datagram stream}$"],
}  # fmt: skip


@pytest.mark.parametrize("queue", ["io_uring", "epoll"])
@pytest.mark.parametrize("kind", ALWAYS)
def test_without_a_trace_it_is_told_who_made_it(kind, queue):
    done = leaking(kind, None, ZSYNC_IO=queue)
    for words in ALWAYS[kind]:
        pattern = re.sub(r"{([^{}]+)}", lambda mark: re.escape(place(mark[1])), words)
        assert re.search(pattern, done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize("kind", LEAKS)
def test_without_a_trace_it_is_counted_and_the_trace_is_pointed_to(kind):
    counted, _ = LEAKS[kind]
    done = leaking(kind, None)
    # Streams have a buffer ring.
    if kind in ("stream", "datagrams"):
        counted = counted.replace("1 buffer, ", "")
    assert done.stderr.startswith(f"zsync: a worker ends and leaves {counted}\n"), done.stderr
    assert "ZSYNC_LEAKS=trace tells more of where each was made" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("leaks", ["fatal", "fatal,trace"])
@pytest.mark.parametrize("kind", LEAKS)
def test_fatal_ends_the_process_with_the_reason(kind, leaks):
    done = leaking(kind, leaks)
    assert done.returncode == -6 and done.stdout == "", done.stderr
    assert done.stderr.endswith("zsync: ZSYNC_LEAKS makes that fatal\n")


def test_a_task_that_lives_is_named_and_always_fatal():
    done = leaking("task", "trace")
    assert done.returncode == -6
    assert 'task 1 "never run" lives, ready' in done.stderr, done.stderr
    assert "a worker ends with live tasks" in done.stderr


@pytest.mark.parametrize("leaks", [None, "trace", "off"])
@pytest.mark.parametrize("queue", ["io_uring", "epoll"])
def test_a_task_tells_the_buffers_that_it_holds(queue, leaks):
    assert leaking("count", leaks, ZSYNC_IO=queue).stdout == "root holds 1, then 0\nthe end\n"
    # Some are the reader's, one is the first task's, and one waits in the stream or the socket.
    assert leaking("share", leaks, ZSYNC_IO=queue).stdout == "root holds 1, the reader 2\nthe end\n"


def test_threads_keep_a_ledger_too():
    done = leaking("threads", "trace")
    assert "zsync: a thread executor ends and leaves 1 descriptor\n" in done.stderr
    assert place("open") in done.stderr


@pytest.mark.parametrize("leaks", [None, "report", "trace", "fatal", "fatal,trace"])
def test_a_clean_program_is_silent(leaks):
    done = leaking("nothing", leaks)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")


@pytest.mark.parametrize("kind", LEAKS)
def test_off_is_silent(kind):
    assert leaking(kind, "off").stderr == ""


def test_a_wrong_word_is_refused():
    done = leaking("nothing", "loud")
    assert done.returncode == 2
    assert 'ZSYNC_LEAKS has "loud": it may list off, report, fatal, trace' in done.stderr
