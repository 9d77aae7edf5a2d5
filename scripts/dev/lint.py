"""clang-format and clang-tidy on the changed files, or on the whole tree with --all (`./dev lint`).

The changed files are named one a line in ZSYNC_CHANGED_FILES, which ./dev asks git for before it enters the root.
--only runs one of the two; a run that has nothing to check exits with EXIT_NOTHING, so that ctest shows it as skipped.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("userspace", "tests", "bench", "fuzz", "vm-tests")
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


def tidy(path: pathlib.Path, build: pathlib.Path) -> tuple[pathlib.Path, bool, str]:
    done = subprocess.run(
        [TIDY, "--quiet", "-p", str(build), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return path, done.returncode == 0, done.stdout + (done.stderr if done.returncode and not done.stdout else "")


def check_tidy(files: list[pathlib.Path], build: pathlib.Path) -> bool:
    clean = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, passed, text in pool.map(lambda unit: tidy(unit, build), files):
            print(f"lint: {path.relative_to(TOP)}: {'clean' if passed else 'FAILED'}", flush=True)
            if not passed:
                print(text)
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
