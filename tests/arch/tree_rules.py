"""The rules of the tree that a compiler can't see: tiers, and what may not be written into a file."""

import pathlib
import re

# A subsystem may include those of lower tiers, and its own folder.
TIERS = {
    "core": 0,
    "sys": 1, "store": 1, "crypto": 1, "asio": 1, "c": 1,
    "net": 2, "bus": 2, "packet": 2, "container": 2, "gpu": 2, "evm": 2,
    "tls": 3, "coord": 3,
    "http": 4, "dns": 4,
    "mesh": 5, "chain": 5, "devtools": 5,
}  # fmt: skip
# (from, to): the reason why a sibling may be included all the same.
SIBLINGS: dict[tuple[str, str], str] = {}
# The programs: the daemon joins everything, the command line is a bus client and nothing else.
PROGRAMS = {"zsyncd": set(TIERS), "zsyncctl": {"core", "bus"}}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"](?:zsync/)?([^>"]+)[>"]', re.M)
CODE = {".cpp", ".hpp", ".c", ".h"}
TEXT = CODE | {".py", ".sh", ".md", ".cmake", ".txt", ".json", ".xml", ".toml", ".service", ".rules", ".scd", ""}
LINES_MAX = 700
README_LINES_MAX = 60

# Patterns are written so that this file doesn't match itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
DEVELOPER_PATH = re.compile(r"(?<![\w.])/(?:wo" r"rk|ho" r"me|ro" r"ot)/\w")
REGISTRY_HOST = re.compile(
    r"\b(?!(?:www|bugs|wiki)\.)(?:[\w-]+\.)+(?:deb" r"ian\.(?:org|net)|npm" r"js\.(?:org|com))|\bpypi\.(?:org)\b"
)


def tree(top: pathlib.Path) -> list[pathlib.Path]:
    skipped = {"build", ".git", ".cache", "__pycache__"}
    found = []
    for path in sorted(top.rglob("*")):
        parts = path.relative_to(top).parts
        if path.is_file() and not path.is_symlink() and not skipped & set(parts[:-1]) and parts[0] != ".git":
            found.append(path)
    return found


def is_text(path: pathlib.Path) -> bool:
    return path.suffix in TEXT and b"\0" not in path.read_bytes()[:4096]


def included_subsystems(text: str) -> list[str]:
    names = re.findall(r'^\s*#\s*include\s*[<"]zsync/(\w+)/', text, re.M)
    return list(dict.fromkeys(names))


def owner(top: pathlib.Path, path: pathlib.Path) -> str:
    """The subsystem or program that a source file belongs to, or ""."""
    parts = path.relative_to(top).parts
    if parts[:2] == ("userspace", "zsync") and len(parts) > 3:
        return parts[2]
    if parts[0] == "userspace" and len(parts) > 2:
        return parts[1]
    return ""


def tier_faults(top: pathlib.Path, path: pathlib.Path, text: str) -> list[str]:
    who = owner(top, path)
    if not who:
        return []
    if who in PROGRAMS:
        allowed = PROGRAMS[who]
    elif who in TIERS:
        below = {name for name, tier in TIERS.items() if tier < TIERS[who]}
        allowed = below | {who} | {to for (origin, to) in SIBLINGS if origin == who}
    else:
        return [f"{path.relative_to(top)}: folder '{who}' has no tier; give it one in tests/arch/tree_rules.py"]
    return [
        f"{path.relative_to(top)}: {who} must not include zsync/{name}/"
        for name in included_subsystems(text)
        if name not in allowed
    ]


def text_faults(top: pathlib.Path, path: pathlib.Path, text: str) -> list[str]:
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, words in (
            (UNFINISHED, "unfinished work is not marked, it is done or filed"),
            (DEVELOPER_PATH, "a path of one developer's machine"),
            (REGISTRY_HOST, "a package registry's host name"),
        ):
            if pattern.search(line):
                faults.append(f"{path.relative_to(top)}:{number}: {words}: {line.strip()[:80]}")
    return faults


def size_faults(top: pathlib.Path, path: pathlib.Path, text: str) -> list[str]:
    name = path.relative_to(top)
    lines = text.count("\n")
    if path.suffix in CODE and lines > LINES_MAX:
        return [f"{name}: {lines} lines; one subject a file, at most {LINES_MAX}"]
    if path.name == "README.md" and name.parts[:2] == ("userspace", "zsync") and lines > README_LINES_MAX:
        return [f"{name}: {lines} lines, at most {README_LINES_MAX}"]
    return []


def subsystem_faults(top: pathlib.Path) -> list[str]:
    """Each subsystem has the same shape."""
    faults = []
    for folder in sorted((top / "userspace" / "zsync").glob("*/")):
        if not any(folder.rglob("*.cpp")):
            faults.append(f"{folder.relative_to(top)}: a folder without code")
        if not (folder / "README.md").is_file():
            faults.append(f"{folder.relative_to(top)}: no README.md")
    return faults


def faults(top: pathlib.Path) -> list[str]:
    found = subsystem_faults(top)
    for path in tree(top):
        if not is_text(path):
            continue
        text = path.read_text(errors="replace")
        if path.suffix in CODE:
            found += tier_faults(top, path, text)
        found += text_faults(top, path, text)
        found += size_faults(top, path, text)
    return found
