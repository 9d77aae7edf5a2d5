"""The small costs: await, spawn and join, switches, timers, channel, mutex. Ours against bare C++20 coroutines in the same
process, and against every peer that has the thing; processes take turns round by round. Instructions beside the time.
"""

import measure

OURS = "micro_zsync"
PEERS = {"Boost.Asio": "micro_asio", "Boost.Fiber": "micro_fiber", "libuv": "micro_libuv", "tokio": "micro_tokio"}
ROUNDS, ITERATIONS = 9, 200_000
CALLGRIND_ITERATIONS = (4_000, 12_000)
CASES = (
    "await_child", "spawn_join", "yield", "fiber_switch", "fiber_yield", "fiber_spawn_join", "timer", "channel", "mutex",
)  # fmt: skip
WORDS = {
    "await_child": "await a trivial child",
    "spawn_join": "spawn and join",
    "yield": "yield",
    "fiber_switch": "fiber switch (stacks alone)",
    "fiber_yield": "fiber yield",
    "fiber_spawn_join": "fiber spawn and join",
    "timer": "timer add and cancel, 1M live",
    "channel": "channel(64), one worker",
    "mutex": "mutex, uncontended",
}
# The goals name nanoseconds of a machine whose bare coroutine takes 7.4, 10.6 and 2.5 ns for the first three; here they
# are multiples of what it takes in the same process. The others are multiples of awaiting a bare child.
BARE_AWAIT, BARE_AWAIT_NS = "bare.await_child", 7.4
GOALS = {
    "await_child": ("bare.await_child", 8 / 7.4),
    "spawn_join": ("bare.spawn_join", 25 / 10.6),
    "yield": ("bare.yield", 4 / 2.5),
} | {
    case: (BARE_AWAIT, ns / BARE_AWAIT_NS)
    for case, ns in {"fiber_switch": 6, "fiber_spawn_join": 60, "timer": 15, "channel": 12, "mutex": 5}.items()
} | {"fiber_yield": ("bare.yield", None)}
# Setting a million timers up under callgrind takes minutes.
NOT_COUNTED = ("timer",)


def cases_of(name: str) -> list[str]:
    return measure.output([measure.program(name)]).split()


def round_of(name: str, cases: list[str]) -> dict[str, float]:
    words = [measure.program(name), str(ITERATIONS), *cases]
    lines = measure.output(words, core=measure.SERVER_CORE).splitlines()
    return {case: float(ns) for case, ns in (line.split() for line in lines)}


def times(programs: dict[str, list[str]]) -> dict[tuple[str, str], list[float]]:
    """(program, case) -> nanoseconds of each round."""
    found = {}
    for _ in range(ROUNDS):
        for name, cases in programs.items():
            for case, ns in round_of(name, cases).items():
                found.setdefault((name, case), []).append(ns)
    return found


def instructions(name: str, case: str) -> float:
    points = []
    for count in CALLGRIND_ITERATIONS:
        words = [*measure.CALLGRIND, measure.program(name), str(count), case]
        done = measure.subprocess.run(words, capture_output=True, text=True, check=True)
        points.append((count, measure.collected(done.stderr, name)))
    return measure.slope(*points)


def rows_of_case(case: str, found, counted) -> None:
    mine = (OURS, case)
    floor, most = GOALS[case]
    pairs = [((OURS, floor), f"bare coroutine ({WORDS[floor.removeprefix('bare.')]})", most)]
    pairs += [((name, case), label, 1) for label, name in PEERS.items() if (name, case) in found]
    for theirs, label, goal in pairs:
        ours_ns, their_ns = measure.median(found[mine]), measure.median(found[theirs])
        ratio = measure.median(a / b for a, b in zip(found[mine], found[theirs]))
        measure.row_of_ratio(f"{WORDS[case]}, peer {label}", ours_ns, their_ns, "ns", goal, ratio)
        if mine in counted and theirs in counted:
            most = goal if label in PEERS else None
            measure.row_of_ratio(f"{WORDS[case]}, peer {label}", counted[mine], counted[theirs], "instructions", most)


def main() -> None:
    programs = {name: cases_of(name) for name in [OURS, *PEERS.values()]}
    found = times(programs)
    counted = {key: instructions(*key) for key in found if key[1] not in NOT_COUNTED}
    measure.print_table(
        f"small costs, median of {ROUNDS}",
        ["program case", "ns", "instructions"],
        [[f"{name} {case}", measure.median(ns), counted.get((name, case), "-")] for (name, case), ns in found.items()],
    )
    for case in CASES:
        if (OURS, case) in found:
            rows_of_case(case, found, counted)


if __name__ == "__main__":
    main()
