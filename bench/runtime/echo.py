"""64-byte TCP echo on loopback: ours, raw liburing and every peer, in one run.

Counts first (instructions, system calls, heap allocations a request), for they do not swing; then CPU time, each server
right after raw liburing, over and over. `echo.py [SERVER...]` measures just those beside raw.
"""

import sys

import measure

RAW = "echo_uring"
OURS = {"zsync": "echo_zsync", "zsync fibers": "echo_zsync_fibers"}
PEERS = {
    "raw epoll": "echo_epoll",
    "Boost.Asio epoll": "echo_asio",
    "Boost.Asio io_uring": "echo_asio_uring",
    "Boost.Asio on zsync": "echo_zsync_asio",
    "Boost.Fiber": "echo_fiber",
    "libuv": "echo_libuv",
    "tokio": "echo_tokio",
    "tokio-uring": "echo_tokio_uring",
}
# Counting: connections, and requests before and while it is counted. How many system calls a request takes depends on how
# full a turn is, so on what else the machine does: raw and the other take turns here too.
COUNTED_CONNECTIONS = 64
WARM_REQUESTS, COUNTED_REQUESTS = 20_000, 60_000
COUNTED_PAIRS, COUNTED_PAIRS_OF_PEERS = 9, 2  # with forty times as many calls it matters less
CALLGRIND_REQUESTS = (4_000, 16_000)
# CPU time: connections -> requests a sample.
SAMPLES = {1: 1_000, 64: 10_000, 512: 10_000, 10_000: 20_000}
PAIRS = 9
GOAL_INSTRUCTIONS, GOAL_SYSCALLS = 200, 1.1
GOAL_CPU = {"zsync": 1.03, "zsync fibers": 1.10}


def instructions(name: str) -> float:
    points = []
    for requests in CALLGRIND_REQUESTS:
        server = measure.Server(name, wrap=measure.CALLGRIND, errors=measure.subprocess.PIPE)
        load = measure.Load(server.port, COUNTED_CONNECTIONS)
        load.run(requests)
        errors = server.stop()
        load.child.kill()
        load.child.wait()
        points.append((requests, measure.collected(errors, name)))
    return measure.slope(*points)


def calls_sample(calls: measure.SyscallCounter, load: measure.Load) -> float:
    before = calls.count()
    load.run(COUNTED_REQUESTS)
    return (calls.count() - before) / COUNTED_REQUESTS


def calls_and_allocations(name: str, pairs_wanted: int) -> tuple[float, float, float]:
    """System calls a request, the same over raw's, and allocations a request."""
    allocations = measure.AllocationCounter()
    raw_side = measure.serving(RAW, COUNTED_CONNECTIONS)
    other_side = measure.serving(name, COUNTED_CONNECTIONS, environment=allocations.environment)
    with raw_side as raw, other_side as other:
        counters = [measure.SyscallCounter(server.pid) for server, _ in (raw, other)]
        for _, load in (raw, other):
            load.run(WARM_REQUESTS)
        before = allocations.count()
        pairs = [[calls_sample(calls, load) for calls, (_, load) in zip(counters, (raw, other))] for _ in range(pairs_wanted)]
        allocated = allocations.count() - before
        for calls in counters:
            calls.stop()
    calls = measure.median(pair[1] for pair in pairs)
    return calls, measure.median(b / a for a, b in pairs), allocated / (pairs_wanted * COUNTED_REQUESTS)


def cpu_sample(side, requests: int) -> float:
    server, load = side
    before = server.cpu_ns()
    load.run(requests)
    return (server.cpu_ns() - before) / requests


def cpu_pairs(name: str, connections: int, base: str = RAW, pairs: int = PAIRS) -> tuple[float, float, float]:
    """CPU ns a request of the server and of `base`, and the median of the ratios of neighbours (A B A B ...)."""
    requests = SAMPLES[connections]
    with measure.serving(base, connections) as first, measure.serving(name, connections) as other:
        for side in (first, other):
            side[1].run(max(requests, 2 * connections))
        both = [(cpu_sample(first, requests), cpu_sample(other, requests)) for _ in range(pairs)]
    firsts, others = zip(*both)
    return measure.median(others), measure.median(firsts), measure.median(b / a for a, b in both)


def print_counts(counted: dict[str, tuple[float, ...]]) -> None:
    measure.print_table(
        f"echo, {COUNTED_CONNECTIONS} connections, a request",
        ["server", "instructions", "system calls", "over raw's", "allocations"],
        [[label, *figures] for label, figures in counted.items()],
    )


def rows_of_counts(counted, ours: str) -> None:
    instructions_ours, calls_ours, calls_over_raw, allocations_ours = counted[ours]
    at = f"echo, {COUNTED_CONNECTIONS} connections, {ours}"
    raw = counted["raw liburing"]
    measure.row_of_limit(f"{at}: instructions, peer raw liburing", instructions_ours, raw[0], "/request", GOAL_INSTRUCTIONS)
    measure.row_of_ratio(f"{at}: system calls, peer raw liburing", calls_ours, raw[1], "/request", GOAL_SYSCALLS, calls_over_raw)
    measure.row_of_limit(f"{at}: heap allocations, peer raw liburing", allocations_ours, raw[3], "/request", 0)
    for label, figures in counted.items():
        if label not in OURS and label != "raw liburing":
            # Nobody beats bare epoll's loop by instructions, nor has to: it pays in system calls.
            most = None if label == "raw epoll" else 1
            measure.row_of_ratio(f"{at}: instructions, peer {label}", instructions_ours, figures[0], "/request", most)
            measure.row_of_ratio(f"{at}: system calls, peer {label}", calls_ours, figures[1], "/request", 1)


def main() -> None:
    asked = sys.argv[1:]
    ours, peers = measure.only_of(OURS), PEERS
    servers = {label: name for label, name in (ours | peers).items() if not asked or name in asked}
    # Raw against itself shows how far two equals lie apart in this run.
    counted = {
        label: (instructions(name), *calls_and_allocations(name, COUNTED_PAIRS_OF_PEERS if label in peers else COUNTED_PAIRS))
        for label, name in ({"raw liburing": RAW} | servers).items()
    }
    print_counts(counted)
    cpu = {label: {n: cpu_pairs(name, n) for n in SAMPLES} for label, name in servers.items()}
    measure.print_table(
        "echo, CPU a request against raw liburing in the same run",
        ["server", *(f"{n} conn." for n in SAMPLES), *(f"ns at {n}" for n in SAMPLES)],
        [[label, *(f"{at[n][2]:.2f}x" for n in SAMPLES), *(f"{at[n][0]:.0f}" for n in SAMPLES)] for label, at in cpu.items()],
    )
    for label in (label for label in servers if label in ours):
        rows_of_counts(counted, label)
        for n, (mine, raw, ratio) in cpu[label].items():
            at = f"echo, {n:,} connection{'s' if n > 1 else ''}, {label}: CPU"
            measure.row_of_ratio(f"{at}, peer raw liburing", mine, raw, "ns/request", GOAL_CPU[label], ratio)
            for peer in (peer for peer in servers if peer in peers):
                theirs = cpu[peer][n][2]
                what = f"{at} over raw liburing's, peer {peer}"
                measure.row_of_ratio(what, ratio, theirs, "x raw", None)


if __name__ == "__main__":
    main()
