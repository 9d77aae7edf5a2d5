"""Idle TCP connections: user memory of each, after one request on every one of them."""

import echo
import measure

CONNECTIONS = 10_000
BYTES_MAX = 600
# One round trip first, so that what a server allocates before its first connection is no part of it.
FIRST_CONNECTIONS = 64


def bytes_each(name: str) -> float:
    with measure.serving(name, FIRST_CONNECTIONS) as (server, load):
        load.run(100 * FIRST_CONNECTIONS)
        before = server.memory_bytes()
        more = measure.Load(server.port, CONNECTIONS)
        more.run(CONNECTIONS)
        used = server.memory_bytes() - before
        more.stop()
    return used / CONNECTIONS


def main() -> None:
    raw = bytes_each(echo.RAW)
    peers = {label: bytes_each(name) for label, name in echo.PEERS.items()}
    for label, name in measure.only_of(echo.OURS).items():
        ours = bytes_each(name)
        what = f"{CONNECTIONS:,} idle connections, {label}: user memory"
        measure.row_of_limit(f"{what}, peer raw liburing", ours, raw, "B/connection", BYTES_MAX)
        for peer, theirs in peers.items():
            measure.row_of_ratio(f"{what}, peer {peer}", ours, theirs, "B/connection", None)


if __name__ == "__main__":
    main()
