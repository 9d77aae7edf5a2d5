"""Model checks one lock-free part: `prove.py MODEL.pml`.

spin turns the model into a C program that visits every state that its threads can reach in any order, and finds assertions that
fail and states in which somebody waits for ever. Each model names deliberate mistakes (`-DBROKEN...` in its first comment):
built with one of them it must fail, or the proof could not have found the fault.
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def errors_of(model: pathlib.Path, *defines: str) -> tuple[int, int]:
    """Errors and states of one variant."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*words: str) -> str:
            done = subprocess.run(words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}")
            return done.stdout

        run("spin", *defines, "-a", str(model))
        run("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
        report = run("./pan", "-m1000000", "-w24")
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"(\d+) states, stored", report)
    complete = "max search depth too small" not in report and "Search not completed" not in report
    if errors is None or states is None or (errors[1] == "0" and not complete):
        raise SystemExit(f"{model.name} {' '.join(defines)}: the search was not completed\n{report}")
    return int(errors[1]), int(states[1])


def main() -> None:
    model = pathlib.Path(sys.argv[1]).resolve()
    mistakes = sorted(set(re.findall(r"-D(BROKEN\w*)", model.read_text())))
    if not mistakes:
        raise SystemExit(f"{model.name} names no mistake that it would find")
    errors, states = errors_of(model)
    print(f"{model.name}: {errors} errors in {states} states")
    wrong = errors != 0
    for mistake in mistakes:
        errors, states = errors_of(model, f"-D{mistake}")
        print(f"{model.name} -D{mistake}: {'found' if errors else 'NOT FOUND'} after {states} states")
        wrong |= errors == 0
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
