"""The table of suspension points (tests/core/conformance/points_of_*.cpp) names everything that the headers let a task
wait for, so that each is cancelled at each time on each model."""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = TOP / "userspace" / "zsync"
TABLE = TOP / "tests" / "core" / "conformance"

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
TOKEN = re.compile(r"\b(?:class|struct)\s+(?:\[\[\w+\]\]\s*)?(\w+(?:<\w+>)?(?:::\w+)*)(\s+final)?\s*(?::\s*([^{;:][^{;]*))?\{|[{}]")
ROW = re.compile(r'\{"([^"]+)",\s*"([^"]+)",')
# What a task is made of, not what it waits for.
NO_POINTS = {"Task::Awaiter"}


def classes(text: str):
    """Every class that is defined in a header: its name with that of the outermost class around it, whether it is final,
    and its bases."""
    around: list[str] = []
    for token in TOKEN.finditer(COMMENT.sub("", text)):
        if token.group() == "}":
            around.pop()
        elif token.group(1) is None:
            around.append("")
        else:
            outer = next((name for name in around if name), None)
            plain = re.sub(r"<\w+>", "", token.group(1))
            name = plain if outer is None else f"{outer}::{plain}"
            bases = re.sub(r"<[^<>]*(?:<[^<>]*>[^<>]*)*>", "", token.group(3) or "")
            yield name, token.group(2) is not None, [base.split("::")[-1] for base in re.findall(r"public\s+([\w:]+)", bases)]
            around.append(token.group(1))


def awaitables(headers: dict[str, str]) -> set[str]:
    found = [entry for text in headers.values() for entry in classes(text)]
    waits = {"Awaitable"}
    while True:
        more = {name.split("::")[-1] for name, _, bases in found if waits & set(bases)} - waits
        if not more:
            break
        waits |= more
    return {name for name, final, bases in found if final and waits & set(bases)} - NO_POINTS


def operations(io: str) -> set[str]:
    return set(re.findall(r"\[\[nodiscard\]\]\s+\w+Wait(?:<\w+>)?\s+(\w+)\(", io))


TYPE = r"Task<(?:[^<>;{}()]|<(?:[^<>;{}()]|<[^<>;{}()]*>)*>)*>|(?:\w+::)*?(?P<outer>\w+)(?:<[\w ,:]+>)?(?:::(?P<inner>\w+))?"
FUNCTION = re.compile(rf"(?:^|(?<=[\s\]]))(?P<type>{TYPE}) (?P<function>\w+)\((?!\*this\))[^;{{}}]*[;{{]")
FUNCTION_OF_A_TASK = re.compile(r"\bauto (\w+)\((?:[^()]|\([^()]*\))*\)[\w &]*-> (?:Task<|decltype\( ?body)")
FUNCTION_OF_ANY_TYPE = re.compile(r"\[\[nodiscard\]\] auto (\w+)\(")
ALIAS = re.compile(r"using (\w+) = (\w+)<")
# Of those: parts of others, and what gives a future or something else, which is no wait.
NO_FUNCTIONS = {
    "callable.call_in_frame", "callable.call_void_in_frame", "callable.make_task", "callback.await_resume", "callback.function",
    "callback.function_with_user_last", "io.async", "io.concurrent", "select.tagged", "task.get_return_object",
    "within.call_by_clock", "within.watch", "worker_address.call_there",
    "context.in_context",  # every line about Asio waits in it
}  # fmt: skip
# How the table calls what is in a file; and which line is about the deadlines that a file gives.
NAMES = {"stream": "recv_stream", "context": "asio context"}
DEADLINES = {
    "operation": "io.recv", "socket_operations": "io.send_zero_copy", "wait_queue": "channel.receive", "stream": "recv_stream.next",
    "accept_stream": "accept_stream.next", "datagram_stream": "datagram_stream.next", "interval": "interval.tick",
    "batch": "batch.all", "use_task": "asio socket.async_read_some",
}  # fmt: skip


def functions(found: dict[str, str]) -> set[str]:
    """Everything that a program may call and then wait for, but for deadlines: `file.function`."""
    waits = {name.split("::")[-1] for name in awaitables(found)}
    names = set()
    for path, text in found.items():
        text = re.sub(r"\s+", " ", COMMENT.sub("", text))
        types = waits | {alias for alias, of in ALIAS.findall(text) if of in waits}
        given = {
            match["function"]
            for match in FUNCTION.finditer(text)
            if match["type"].startswith("Task<") or {match["outer"], match["inner"]} & types
        }
        given |= set(FUNCTION_OF_A_TASK.findall(text)) | set(FUNCTION_OF_ANY_TYPE.findall(text))
        names |= {f"{pathlib.PurePath(path).stem}.{function}" for function in given - {"until"}}
    return names - NO_FUNCTIONS


def headers() -> dict[str, str]:
    """Of the libraries that have suspension points."""
    paths = [path for folder in ("core", "coord", "asio", "c") for path in sorted((LIBRARY / folder).glob("*.hpp"))]
    return {str(path.relative_to(LIBRARY)): path.read_text() for path in paths}


def rows() -> list[tuple[str, str]]:
    return [row for path in sorted(TABLE.glob("points_of_*.cpp")) for row in ROW.findall(path.read_text())]


def test_every_awaitable_is_in_the_table():
    missing = awaitables(headers()) - {awaits for _, awaits in rows()}
    assert not missing, f"add a line for each to tests/core/conformance/points_of_*.cpp: {sorted(missing)}"


def test_every_operation_of_io_is_in_the_table():
    missing = operations(headers()["core/io.hpp"]) - {name.removeprefix("io.").split(" ")[0] for name, _ in rows()}
    assert not missing, f"add a line for each to tests/core/conformance/points_of_*.cpp: {sorted(missing)}"


def test_every_function_that_gives_something_to_wait_for_is_in_the_table():
    lines = {re.match(r"(?:asio )?[\w.]+", name)[0] for name, _ in rows()}
    offered = functions(headers())
    assert len(offered) >= 85 and {"rw_lock.read", "port.send", "io.recv", "select.await", "within.within"} <= offered
    missing = set()
    for name in offered:
        stem, _, function = name.partition(".")
        if not {f"{NAMES.get(stem, stem)}.{function}", function} & lines:
            missing.add(name)
    assert not missing, f"add a line for each to tests/core/conformance/points_of_*.cpp: {sorted(missing)}"


def test_every_kind_of_deadline_is_in_the_table():
    giving = {pathlib.PurePath(path).stem for path, text in headers().items() if re.search(r"&& until\(|RecvNextUntil until\(", text)}
    assert giving == set(DEADLINES)
    missing = {f"{line} with a deadline" for line in DEADLINES.values()} - {name for name, _ in rows()}
    assert not missing, f"add a line for each to tests/core/conformance/points_of_*.cpp: {sorted(missing)}"


def test_every_line_of_the_table_is_about_something_that_is_there():
    known = awaitables(headers())
    for name, awaits in rows():
        method = awaits.split("::")[-1]
        is_coroutine = any(re.search(rf"(?:Task<[^;{{]*>|auto)\s+{method}\(", text) for text in headers().values())
        assert awaits in known or is_coroutine, f"{name}: no awaitable is called {awaits}"


def test_every_operation_for_c_is_cancelled_at_every_time():
    header = COMMENT.sub("", (LIBRARY / "c" / "zsync.h").read_text())
    offered = set(re.findall(r"zsync_operation\*\s+(zsync_\w+)\(", header))
    played = set(re.findall(r'\{"(zsync_\w+)', (TOP / "tests" / "c" / "c_cancel_test.c").read_text()))
    assert len(offered) >= 9 and offered == played


def test_the_headers_are_read_as_they_are():
    text = "class A : public QueueWait {\n class B final : public A { };\n void f() { if (x) { } }\n};\nclass Q : public Awaitable {};"
    assert list(classes(text)) == [("A", False, ["QueueWait"]), ("A::B", True, ["A"]), ("Q", False, ["Awaitable"])]
    assert awaitables({"x": text + "class QueueWait : public Awaitable {};"}) == {"A::B"}
    assert len(awaitables(headers())) >= 30 and len(operations(headers()["core/io.hpp"])) >= 30
