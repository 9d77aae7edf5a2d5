"""ctest, with the reason behind every test that it lists as skipped: `skipped.py --test-dir DIR CTEST-ARGUMENT...`.

What a test printed when it skipped is in ctest's JUnit file only, which ctest writes at its very end, so its list of what
did not run is held back until then.
"""

import pathlib
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree

SKIPPED = re.compile(r"^\s+\d+ - (?P<name>.+) \(Skipped\)")
WORDS_MAX = 200


def reason(output: str) -> str:
    """The sentence in what a test printed: GoogleTest's, after the line that says where; pytest's; or a plain line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line.endswith(": Skipped") and i + 1 < len(lines):
            return lines[i + 1]
        if line.startswith("SKIPPED "):
            return line.partition(": ")[2]
    return lines[-1] if lines else "it does not say why"


def reasons(junit: pathlib.Path) -> dict[str, str]:
    cases = xml.etree.ElementTree.parse(junit).getroot().iter("testcase")
    return {
        case.get("name"): reason(case.findtext("system-out") or "")[:WORDS_MAX]
        for case in cases
        if case.find("skipped") is not None
    }


def main() -> int:
    build = pathlib.Path(sys.argv[sys.argv.index("--test-dir") + 1])
    junit = build / "ctest.xml"
    ctest = subprocess.Popen(
        ["ctest", "--output-junit", str(junit), *sys.argv[1:]], stdout=subprocess.PIPE, text=True, errors="replace"
    )
    # Ctrl-C reaches ctest as well, whose end is awaited here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held = []
    for line in ctest.stdout:
        if held or line.startswith("The following tests did not run"):
            held.append(line)
        else:
            print(line, end="", flush=True)
    code = ctest.wait()
    why = reasons(junit) if held else {}
    for line in held:
        skipped = SKIPPED.match(line)
        print(line.rstrip() + (f": {why.get(skipped['name'], '')}" if skipped else ""))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
