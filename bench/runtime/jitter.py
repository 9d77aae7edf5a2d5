"""Wake-up jitter of a real-time task under stress-ng: ours, beside cyclictest, in turns. With --peers: cyclictest alone.

`jitter_zsync INTERVAL_US COUNT PRIORITY` sleeps COUNT times to the next multiple of INTERVAL_US on a SCHED_FIFO worker and
prints, one a line, by how many microseconds each wake-up was late.
"""

import contextlib
import math
import subprocess
import sys

import measure

OURS = "jitter_zsync"
INTERVAL_US, COUNT, PRIORITY, PAIRS = 1_000, 5_000, 80, 9
LATENCY_US_MAX = 20_000
MOST = 1.2
STRESS = "stress-ng --quiet --cpu 2 --vm 1 --vm-bytes 64M --hdd 1 --hdd-bytes 16M --timer 1 --temp-path /tmp".split()


def percentile(latencies: dict[int, int]) -> float:
    """p99.9 of a histogram: microseconds -> count."""
    left = math.ceil(sum(latencies.values()) / 1000)
    for latency in sorted(latencies, reverse=True):
        left -= latencies[latency]
        if left <= 0:
            return float(latency)
    raise SystemExit("no latencies")


def cyclictest() -> float:
    job = f"--priority={PRIORITY} --threads=1 --interval={INTERVAL_US} --loops={COUNT} --histofall={LATENCY_US_MAX}"
    lines = measure.output(["cyclictest", "--quiet", "--mlockall", *job.split()], core=measure.SERVER_CORE).splitlines()
    histogram = [line.split()[:2] for line in lines if line and line[0].isdigit()]
    return percentile({int(latency): int(count) for latency, count in histogram})


def ours() -> float:
    words = [measure.program(OURS), str(INTERVAL_US), str(COUNT), str(PRIORITY)]
    histogram = {}
    for line in measure.output(words, core=measure.SERVER_CORE).split():
        histogram[int(float(line))] = histogram.get(int(float(line)), 0) + 1
    return percentile(histogram)


@contextlib.contextmanager
def stress():
    # Its own children die with it: it is asked to end, not killed.
    child = measure.start(STRESS, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def main() -> None:
    with stress():
        if "--peers" in sys.argv:
            measure.say(f"cyclictest, p99.9: {measure.median(cyclictest() for _ in range(PAIRS)):.0f} us")
            return
        pairs = [(cyclictest(), ours()) for _ in range(PAIRS)]
    theirs, mine = (measure.median(side) for side in zip(*pairs))
    ratio = measure.median(b / a for a, b in pairs)
    measure.row_of_ratio("real-time wake-up under stress-ng, p99.9, peer cyclictest", mine, theirs, "us late", MOST, ratio)


if __name__ == "__main__":
    main()
