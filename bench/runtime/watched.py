"""What seeing costs: the echo on a worker that is watched, as zsyncd's is, and on one that is not, in turns."""

import echo
import measure

WATCHED, PLAIN = "echo_zsync_watched", "echo_zsync"
CONNECTIONS = (64, 512)
PAIRS = 25
GOAL = 1.03


def main() -> None:
    for connections in CONNECTIONS:
        watched, plain, ratio = echo.cpu_pairs(WATCHED, connections, PLAIN, PAIRS)
        what = f"echo, {connections} connections, zsync watched: CPU, peer zsync not watched"
        measure.row_of_ratio(what, watched, plain, "ns/request", GOAL, ratio)


if __name__ == "__main__":
    main()
