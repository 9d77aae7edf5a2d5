"""gdb commands for programs that run on zsync, live or from a core file, stripped or not.

zsync tasks          every task: id, state, kind, name and where it waits, under the task that started it
zsync chain ID       the awaits of one task as file:line and function, innermost first
zsync fiber ID       makes `backtrace` show the stack of a fiber that waits; without ID: the thread's own again

ID is a task's number; where several executors live, EXECUTOR:TASK. The offsets come from the program itself
(zsync_debug_layout), so no debug information is needed; with it, a fiber's backtrace has lines and variables.
"""

import re

import gdb
import gdb.unwinder

LAYOUT_SYMBOL = "zsync_debug_layout"
EXECUTORS_SYMBOL = "zsync_debug_executors"
LAYOUT_VERSION = 1
NUMBER_BYTES, NAME_BYTES = 32, 24  # struct DebugNumber
NUMBERS_MAX, TASKS_MAX, CHAIN_MAX, NAME_MAX = 256, 10_000_000, 1000, 4096

# What the classes that a task can wait in are called for people. Those of operations end in Wait and have an opcode.
WAITS = {
    "SleepWait": "sleep",
    "RecvStreamState": "recv stream",
    "AcceptNext": "accept stream",
    "SendStreamState": "send stream",
    "Join": "children",
    "Await": "future",
}
OPERATIONS = re.compile(r"\b(Transfer|Fd|Plain|Number|Address|Process|Open|Close|Stat|Path|ReceiveFrom|SendTo)Wait\b")
OPCODES = {
    1: "read", 2: "write", 3: "fsync", 6: "poll", 9: "sendmsg", 10: "recvmsg", 13: "accept", 16: "connect", 17: "fallocate",
    18: "open", 19: "close", 21: "statx", 22: "read", 23: "write", 24: "fadvise", 25: "madvise", 26: "send", 27: "recv",
    30: "splice", 34: "shutdown", 35: "rename", 36: "unlink", 37: "mkdir", 45: "socket", 47: "zero-copy send",
    50: "process", 51: "futex", 55: "truncate", 56: "bind", 57: "listen",
}  # fmt: skip


def symbol(name: str) -> int:
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
    except gdb.error:
        raise gdb.GdbError(
            f"no symbol {name}: this program does not run on zsync, or its symbols were stripped; link it with"
            f" -Wl,--export-dynamic-symbol={LAYOUT_SYMBOL} -Wl,--export-dynamic-symbol={EXECUTORS_SYMBOL}"
        ) from None


def read(address: int, size: int) -> bytes:
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise gdb.GdbError(f"cannot read {size} bytes at {address:#x}: no process, or not in the core file") from None


def number(address: int, size: int = 8) -> int:
    return int.from_bytes(read(address, size), "little")


def text(address: int) -> str:
    if address == 0:
        return "?"
    found = b""
    while b"\0" not in found and len(found) < NAME_MAX:
        # Not over the end of a page: the next one may not be there.
        found += read(address + len(found), 64 - (address + len(found)) % 64)
    return found.split(b"\0")[0].decode(errors="replace")


class Layout:
    """The program's own table of offsets."""

    def __init__(self):
        self.numbers = {}
        at = symbol(LAYOUT_SYMBOL)
        for _ in range(NUMBERS_MAX):
            entry = read(at, NUMBER_BYTES)
            name = entry[:NAME_BYTES].split(b"\0")[0].decode()
            if not name:
                break
            self.numbers[name] = int.from_bytes(entry[NAME_BYTES:], "little", signed=True)
            at += NUMBER_BYTES
        if self.numbers.get("version") != LAYOUT_VERSION:
            raise gdb.GdbError(f"this script reads layout {LAYOUT_VERSION}, the program has {self.numbers.get('version')}")

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def field(self, record: int, name: str, size: int = 8) -> int:
        return number(record + self.numbers[name], size)


def class_of(thing: int) -> str:
    """The class of an object with virtual functions, as far as symbols tell."""
    words = gdb.execute(f"info symbol {number(thing):#x}", to_string=True)
    found = re.match(r"vtable for (.*?)(?: \+ \d+)?(?: in section .*)?$", words.strip())
    return found[1] if found else ""


def function_name(pretty: str) -> str:
    """g++ names the part of a coroutine that runs: `void a::f(f(int)::_ZN1a1fEi.Frame*)` for `a::f(int)`."""
    found = re.fullmatch(r"void (.*?)\((.*)::_Z[^:]*[.]Frame ?[*]\)", pretty)
    if not found:
        return pretty
    scope = found[1].rpartition("::")[0]
    return f"{scope}::{found[2]}" if scope else found[2]


class Place:
    def __init__(self, layout: Layout, promise: int):
        where = layout.field(promise, "promise.where")
        self.line = layout.field(where, "place.line", 4) if where else 0
        self.file = text(layout.field(where, "place.file")) if where else ""
        self.function = function_name(text(layout.field(where, "place.function"))) if where else ""

    def __str__(self) -> str:
        if self.line == 0:
            return "not started"
        # As `place_of` shows it: as in the source tree.
        return f"{re.sub(r'^.*userspace/|^(?:[.][.]/)+', '', self.file)}:{self.line}"


class Task:
    def __init__(self, layout: Layout, executor: int, record: int, depth: int):
        self.layout, self.executor, self.record, self.depth = layout, executor, record, depth
        self.id = layout.field(record, "task.id")
        length = min(layout.field(record, "task.name_length", 4), NAME_MAX)
        self.name = read(layout.field(record, "task.name"), length).decode(errors="replace") if length else ""
        kinds = {layout[f"kind.{kind}"]: kind for kind in ("coroutine", "fiber", "thread")}
        self.kind = kinds.get(layout.field(record, "task.kind", 1), "?")
        states = {layout[f"state.{state}"]: state for state in ("ready", "running", "finished")}
        self.bare_state = states.get(layout.field(record, "task.state", 1), "?")
        if self.layout.field(record, "task.suspension") or layout.field(record, "task.ending", 1):
            self.bare_state = "waiting"  # as TaskRecord::state tells it
        self.resumes = layout.field(record, "task.resumes", 4)

    def label(self) -> str:
        return f"{self.executor}:{self.id}"

    def waits_for(self) -> str:
        suspension = self.layout.field(self.record, "task.suspension")
        if suspension == 0:
            return "children"
        name = class_of(suspension)
        if OPERATIONS.search(name) or "ZeroCopySendWait" in name:
            opcode = number(suspension + self.layout["operation.opcode"], 1)
            fd = int.from_bytes(read(suspension + self.layout["operation.fd"], 4), "little", signed=True)
            return OPCODES.get(opcode, f"operation {opcode}") + (f" on fd {fd}" if fd >= 0 else "")
        name = name.removeprefix("zsync::")
        plain, nested = name, ""
        while plain != nested:
            plain, nested = re.sub(r"<[^<>]*>", "", plain), plain
        return WAITS.get(plain.split("::")[-1], name)

    def state(self) -> str:
        state = self.bare_state
        if state == "waiting":
            what = self.waits_for()
            state += f": {what}" if what else ""
        return state + (", canceling" if self.layout.field(self.record, "task.cancel_pending", 1) else "")

    def chain(self) -> list:
        """(promise, place) from the innermost await outwards; nothing while it runs."""
        if self.bare_state in ("running", "finished"):
            return []
        frames, promise = [], self.layout.field(self.record, "task.leaf")
        while promise and len(frames) < CHAIN_MAX:
            frames.append((promise, Place(self.layout, promise)))
            frame = self.layout.field(promise, "promise.caller")
            promise = frame + self.layout["frame.promise"] if frame else 0
        return frames

    def at(self) -> str:
        chain = self.chain()
        return str(chain[0][1]) if chain else "on the CPU" if self.bare_state == "running" else ""


def executors(layout: Layout) -> list[int]:
    found, at = [], number(symbol(EXECUTORS_SYMBOL))
    while at:
        found.append(at)
        at = layout.field(at, "executor.next")
    return found[::-1]  # the oldest is first in number


def tasks_of(layout: Layout, executor: int, address: int) -> list[Task]:
    """Depth first, the oldest child first, as the registry lists them."""
    found, open_ = [], []

    def push(first: int, depth: int) -> None:
        while first and len(open_) < TASKS_MAX:
            open_.append((first, depth))
            first = layout.field(first, "task.sibling")

    push(layout.field(address, "executor.root"), 0)
    while open_:
        record, depth = open_.pop()
        found.append(Task(layout, executor, record, depth))
        push(layout.field(record, "task.children"), depth + 1)
    return found


def all_tasks(layout: Layout) -> list[Task]:
    return [task for n, at in enumerate(executors(layout), 1) for task in tasks_of(layout, n, at)]


def find(words: str) -> Task:
    found = re.fullmatch(r"\s*(?:(\d+):)?(\d+)\s*", words)
    if not found:
        raise gdb.GdbError(f"'{words}' is no task; say TASK, or EXECUTOR:TASK, as `zsync tasks` lists them")
    executor, task = found[1] and int(found[1]), int(found[2])
    matching = [one for one in all_tasks(Layout()) if one.id == task and executor in (None, one.executor)]
    if not matching:
        raise gdb.GdbError(f"no live task {words.strip()}; `zsync tasks` lists them")
    if len(matching) > 1:
        raise gdb.GdbError(f"several executors have a task {task}: say {' or '.join(one.label() for one in matching)}")
    return matching[0]


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        gdb.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")


class FiberUnwinder(gdb.unwinder.Unwinder):
    """Below the innermost frame of one thread goes on with a fiber's stack instead of the thread's own. Nothing in the
    process changes, so it works in a core file too."""

    class FrameId:
        def __init__(self, sp: int, pc: int):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("zsync-fiber")
        self.chosen = None  # (thread's number, registers)

    def choose(self, registers) -> None:
        self.chosen = registers and (gdb.selected_thread().global_num, registers)
        gdb.invalidate_cached_frames()

    def __call__(self, pending):
        thread = gdb.selected_thread()
        if self.chosen is None or pending.level() != 0 or thread is None or thread.global_num != self.chosen[0]:
            return None
        registers = self.chosen[1]
        # A frame further in than all of the fiber's: gdb takes one that goes the other way for a broken stack.
        frame = self.FrameId(gdb.Value(registers["rsp"] - 4096), pending.read_register("rip"))
        unwound = pending.create_unwind_info(frame)
        for name, value in registers.items():
            unwound.add_saved_register(name, gdb.Value(value).cast(pending.read_register(name).type))
        return unwound


unwinder = FiberUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
# A continued process leaves the stack that was looked at.
gdb.events.cont.connect(lambda _event: unwinder.choose(None) if unwinder.chosen else None)


class Zsync(gdb.Command):
    __doc__ = __doc__

    def __init__(self):
        super().__init__("zsync", gdb.COMMAND_STACK, prefix=True)


class Tasks(gdb.Command):
    """Every live task of every executor: zsync tasks"""

    def __init__(self):
        super().__init__("zsync tasks", gdb.COMMAND_STACK)

    def invoke(self, words: str, _from_tty: bool) -> None:
        layout = Layout()
        found = executors(layout)
        if not found:
            gdb.write("no executor lives\n")
        for n, address in enumerate(found, 1):
            tasks = tasks_of(layout, n, address)
            name = class_of(address) or "executor"
            gdb.write(f"executor {n}: {name}, {len(tasks)} task{'s' if len(tasks) != 1 else ''}\n")
            rows = [["  ID", "STATE", "KIND", "RESUMES", "TASK", "AT"]]
            for task in tasks:
                indented = "  " * task.depth + task.name
                rows.append([f"  {task.id}", task.state(), task.kind, str(task.resumes), indented, task.at()])
            if tasks:
                print_table(rows)


class Chain(gdb.Command):
    """The awaits of one task, innermost first: zsync chain ID"""

    def __init__(self):
        super().__init__("zsync chain", gdb.COMMAND_STACK)

    def invoke(self, words: str, _from_tty: bool) -> None:
        task = find(words)
        gdb.write(f'task {task.label()} "{task.name}", {task.kind}, {task.state()}\n')
        if task.bare_state == "running":
            gdb.write("it runs: `thread apply all backtrace` shows where\n")
        for n, (promise, place) in enumerate(task.chain()):
            function = f" in {place.function}" if place.function else ""
            gdb.write(f"#{n:<2} {place}{function}  (frame {promise - 16:#x})\n")


class Fiber(gdb.Command):
    """Shows a waiting fiber's stack in `backtrace`, `up`, `down` and `frame`: zsync fiber ID
    Frame 0 stays where the thread is; the fiber begins at frame 1. Without ID, and when the process goes on, the
    thread's own stack is back."""

    def __init__(self):
        super().__init__("zsync fiber", gdb.COMMAND_STACK)

    def invoke(self, words: str, _from_tty: bool) -> None:
        if not words.strip():
            unwinder.choose(None)
            gdb.write("the thread's own stack\n")
            return
        task = find(words)
        if task.kind == "coroutine":
            raise gdb.GdbError(f'task {task.label()} "{task.name}" has no stack: `zsync chain {words.strip()}` shows its awaits')
        if task.kind == "thread":
            raise gdb.GdbError(f'task {task.label()} "{task.name}" has a thread: see `thread apply all backtrace`')
        if task.bare_state == "running":
            raise gdb.GdbError(f'task {task.label()} "{task.name}" runs: see `thread apply all backtrace`')
        context = task.layout.field(task.record, "task.context")
        if context == 0:
            raise gdb.GdbError(f'task {task.label()} "{task.name}" has no stack yet')
        saved = task.layout.field(context, "fiber.stack_pointer")
        unwinder.choose(
            {
                "rip": number(saved + task.layout["switch.saved_pc"]),
                "rbp": number(saved + task.layout["switch.saved_rbp"]),
                "rsp": saved + task.layout["switch.rsp"],
            }
        )
        gdb.write(f'task {task.label()} "{task.name}": its stack begins at frame 1 of `backtrace`\n')


for command in (Zsync, Tasks, Chain, Fiber):
    command()
