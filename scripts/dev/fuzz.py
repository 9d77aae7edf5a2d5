"""Runs the registered fuzzers, each for a given time, and reports what they found (`./dev fuzz`). With a seed, replays the
simulations under it.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

RSS_MIB_MAX = 2048
INPUT_SECONDS_MAX = 10
# Programs, and which of their tests run under seeds.
SIMULATIONS = (
    ("core_test", "Simulation.*:*_under_any_seed"),
    ("store_test", "StoreSimulation.*"),
    ("conformance_test", "simulated_*"),
)


def registered(build: pathlib.Path) -> list[tuple[str, str, str, str]]:
    lines = (build / "fuzzers.tsv").read_text().splitlines()
    return [tuple(line.split("\t")) for line in lines if line]


def fuzz(build: pathlib.Path, entry: tuple[str, str, str, str], seconds: int) -> bool:
    name, program, seeds, dictionary = entry
    found = build / "corpus" / name
    crashes = build / "crashes" / name
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        program,
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={RSS_MIB_MAX}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
        str(found),
    ]
    command += [seeds] if seeds else []
    command += [f"-dict={dictionary}"] if dictionary else []
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    took = time.monotonic() - began
    executed = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stdout)
    count = int(executed.group(1)) if executed else 0
    if done.returncode == 0 and count > 0:
        print(f"fuzz: {name}: clean, {count} inputs in {took:.0f} s", flush=True)
        return True
    print(done.stdout)
    print(f"fuzz: {name}: FAILED (exit code {done.returncode}); the input is under {crashes}", flush=True)
    return False


def replay(build: pathlib.Path, seed: int) -> int:
    """Every test of simulations with one seed, as the failing one names it."""
    environment = os.environ | {"ZSYNC_SEED": str(seed)}
    codes = [
        subprocess.run(
            [build / "bin" / program, "--gtest_brief=1", f"--gtest_filter={tests}"], env=environment, check=False
        ).returncode
        for program, tests in SIMULATIONS
    ]
    return max(codes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="a regular expression on fuzzer names")
    parser.add_argument("--seconds", type=int, default=60, help="time for each fuzzer (default 60)")
    parser.add_argument("--seed", type=int, help="replay the simulations with this seed instead")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.seed is not None:
        return replay(args.build, args.seed)

    chosen = [entry for entry in registered(args.build) if re.search(args.name, entry[0])]
    if not chosen:
        known = ", ".join(entry[0] for entry in registered(args.build)) or "none"
        print(f"fuzz: nothing matches '{args.name}'; registered: {known}", file=sys.stderr)
        return 1
    results = [fuzz(args.build, entry, args.seconds) for entry in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
