"""clang-format and clang-tidy on the changed files, or on the whole tree with --all (`./dev lint`).

The changed files are named one a line in ZSYNC_CHANGED_FILES, which ./dev asks git for before it enters the root.
--only runs one of the two; a run that has nothing to check exits with EXIT_NOTHING, so that ctest shows it as skipped.

What clang-tidy found nothing in is remembered in the build folder by a hash of all that it reads there, so a run over the
whole tree takes up where the last one left, and one over a tree that is clean takes seconds.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("userspace", "tests", "bench", "fuzz", "vm-tests", "examples")
EXIT_NOTHING = 77
FORMAT = "clang-format-19"
TIDY = "clang-tidy-19"


def tree() -> list[pathlib.Path]:
    return sorted(
        path for folder in FOLDERS for suffix in ("cpp", "hpp") for path in (TOP / folder).rglob(f"*.{suffix}")
    )


def changed() -> list[pathlib.Path]:
    names = os.environ.get("ZSYNC_CHANGED_FILES", "").splitlines()
    return [path for path in tree() if str(path.relative_to(TOP)) in names]


def check_format(files: list[pathlib.Path]) -> bool:
    if not files:
        return True
    done = subprocess.run([FORMAT, "--dry-run", "-Werror", *map(str, files)])
    if done.returncode:
        print(f"lint: put it right with: ./dev exec {FORMAT} -i FILE...")
    return done.returncode == 0


def units(files: list[pathlib.Path], build: pathlib.Path) -> list[pathlib.Path]:
    """The translation units that clang-tidy must read to see `files`: a header is seen through its own source."""
    compiled = {entry["file"] for entry in json.loads((build / "compile_commands.json").read_text())}
    wanted = {path.with_suffix(".cpp") for path in files}
    return sorted(path for path in wanted if str(path) in compiled)


class Reading:
    """What clang-tidy reads for a translation unit, by the build's own record of what its compiler read."""

    def __init__(self, build: pathlib.Path):
        self.build = build
        self.commands = {entry["file"]: entry for entry in json.loads((build / "compile_commands.json").read_text())}
        self.seen: dict[str, bytes] = {}
        self.read: dict[str, list[str]] = {}
        listed = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True)
        names: list[str] = []
        for line in listed.stdout.splitlines():
            if line.startswith("    "):
                names.append(line.strip())
            elif line.endswith("(VALID)"):
                names = self.read.setdefault(line.partition(": #deps")[0], [])
            else:
                names = []
        version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
        rules = [TOP / ".clang-tidy", *sorted(path for folder in FOLDERS for path in (TOP / folder).rglob(".clang-tidy"))]
        self.rules = version + b"".join(path.read_bytes() for path in rules)

    def digest(self, name: str) -> bytes:
        """Of the tree the content; a header of the root is what it is by its size and date."""
        if name not in self.seen:
            path = self.build / name
            if path.resolve().is_relative_to(TOP):
                self.seen[name] = hashlib.sha256(path.read_bytes()).digest()
            else:
                self.seen[name] = f"{path.stat().st_size} {path.stat().st_mtime_ns}".encode()
        return self.seen[name]

    def key(self, unit: pathlib.Path) -> str | None:
        """None for what is not built: nobody knows what it reads."""
        entry = self.commands[str(unit)]
        names = self.read.get(entry["output"])
        if not names:
            return None
        whole = hashlib.sha256(self.rules + entry["command"].encode())
        for name in sorted({*names, str(unit)}):
            whole.update(name.encode() + b"\0" + self.digest(name))
        return whole.hexdigest()


def tidy(path: pathlib.Path, build: pathlib.Path) -> tuple[pathlib.Path, bool, str]:
    done = subprocess.run(
        [TIDY, "--quiet", "-p", str(build), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return path, done.returncode == 0, done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def check_tidy(files: list[pathlib.Path], build: pathlib.Path) -> bool:
    known_clean = build / "tidy"
    known_clean.mkdir(exist_ok=True)
    reading = Reading(build)
    keys = {path: reading.key(path) for path in files}
    left = [path for path in files if not (keys[path] and (known_clean / keys[path]).exists())]
    if len(left) < len(files):
        print(f"lint: {len(files) - len(left)} files were clean and have not changed", flush=True)
    clean = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, passed, text in pool.map(lambda unit: tidy(unit, build), left):
            print(f"lint: {path.relative_to(TOP)}: {'clean' if passed else 'FAILED'}", flush=True)
            if not passed:
                print(text)
            elif keys[path]:
                (known_clean / keys[path]).touch()
            clean = clean and passed
    return clean


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev lint", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="the whole tree, not only what changed")
    parser.add_argument("--only", choices=("format", "tidy"), help=argparse.SUPPRESS)
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()

    files = tree() if args.all else changed()
    read = units(files, args.build)
    if not files or (args.only == "tidy" and not read):
        print("lint: no C++ file differs from the branch this work grows from; --all reads the whole tree")
        return EXIT_NOTHING if args.only else 0
    clean = args.only == "tidy" or check_format(files)
    if args.only != "format":
        clean = check_tidy(read, args.build) and clean
    print(f"lint: {len(files)} files, {'clean' if clean else 'FAILED'}")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
