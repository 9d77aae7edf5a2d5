"""A million sleeping tasks: memory of each, and the time to start all, to wake all at their common deadline, to cancel all."""

import json

import measure

OURS = "sleepers_zsync"
PEERS = {"tokio": "sleepers_tokio", "Boost.Asio": "sleepers_asio"}
COUNT, ROUNDS = 1_000_000, 9
FIGURES = {
    "bytes": ("memory", "B/task", 160),
    "spawn_ms": ("started and asleep", "ms", 100),
    "wake_ms": ("all woken after the deadline", "ms", 100),
    "cancel_ms": ("all cancelled", "ms", 150),
}


def main() -> None:
    found = {}
    for _ in range(ROUNDS):
        for name in (OURS, *PEERS.values()):
            figures = json.loads(measure.output([measure.program(name), str(COUNT)], core=measure.SERVER_CORE))
            for figure, value in figures.items():
                found.setdefault((name, figure), []).append(value)
    middle = {key: measure.median(values) for key, values in found.items()}
    for figure, (words, unit, most) in FIGURES.items():
        ours = middle[OURS, figure]
        measure.row_of_limit(f"1M sleeping tasks: {words}", ours, None, unit, most)
        for label, name in PEERS.items():
            measure.row_of_ratio(f"1M sleeping tasks: {words}, peer {label}", ours, middle[name, figure], unit, 1)


if __name__ == "__main__":
    main()
