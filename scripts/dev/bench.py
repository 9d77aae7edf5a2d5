"""Runs the registered benchmarks one after another and joins their rows into one table (`./dev bench`).

A benchmark prints one JSON object a line with the keys of KEYS; other lines are its own talk and go to stderr.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

KEYS = ("what", "ours", "peer", "unit", "ratio", "goal", "reached")
BENCH_SECONDS_MAX = 600


def registered(build: pathlib.Path) -> list[tuple[str, str]]:
    lines = (build / "benches.tsv").read_text().splitlines()
    return [tuple(line.split("\t")) for line in lines if line]


def run(name: str, path: str) -> tuple[list[dict], str]:
    """The benchmark's rows, and why it failed ("" when it didn't)."""
    command = [sys.executable, path] if path.endswith(".py") else [path]
    rows = []
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=BENCH_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return rows, f"{name}: no end after {BENCH_SECONDS_MAX} s"
    except OSError as error:
        return rows, f"{name}: {error}"
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            print(line, file=sys.stderr)
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            return rows, f"{name}: not JSON ({error}): {line}"
        missing = [key for key in KEYS if key not in row]
        if missing:
            return rows, f"{name}: row without {', '.join(missing)}: {line}"
        rows.append({key: row[key] for key in KEYS})
    if done.returncode:
        return rows, f"{name}: exit code {done.returncode}"
    if not rows:
        return rows, f"{name}: printed no row"
    return rows, ""


def cell(key: str, value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if key == "ratio" and isinstance(value, (int, float)):
        return f"{value:.2f}x"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def table(rows: list[dict]) -> str:
    cells = [KEYS] + [tuple(cell(key, row[key]) for key in KEYS) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(KEYS))]
    numeric = {"ours", "peer", "ratio", "goal"}
    text = []
    for line in cells:
        parts = [
            part.rjust(width) if key in numeric else part.ljust(width)
            for key, part, width in zip(KEYS, line, widths)
        ]
        text.append("  ".join(parts).rstrip())
    return "\n".join(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("filter", nargs="?", default="", help="a regular expression on benchmark names")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as a JSON array")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()

    chosen = [(name, path) for name, path in registered(args.build) if re.search(args.filter, name)]
    if not chosen:
        known = ", ".join(name for name, _ in registered(args.build)) or "none"
        print(f"bench: nothing matches '{args.filter}'; registered: {known}", file=sys.stderr)
        return 1
    rows, failures = [], []
    for name, path in chosen:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        got, why = run(name, path)
        rows += got
        failures += [why] if why else []
    print(table(rows))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=2) + "\n")
    for why in failures:
        print(f"bench: FAILED {why}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
