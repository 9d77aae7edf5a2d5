"""The live table: what `zsyncctl packet watch` prints, drawn over itself on a terminal, as it comes elsewhere.

On a terminal the watch's own full-screen view would hide the lines to try that stand above the table.
"""

import os
import select
import shutil
import subprocess
import sys

import children

TERMINAL_INTERVAL_SECONDS = 1
PLAIN_INTERVAL_SECONDS = 3
# A table is flushed in one go: this long without a byte, it is whole.
QUIET_SECONDS = 0.05


class LiveTable:
    def __init__(self, ifname: str):
        self.on_terminal = sys.stdout.isatty()
        self.drawn_lines = 0
        interval = TERMINAL_INTERVAL_SECONDS if self.on_terminal else PLAIN_INTERVAL_SECONDS
        command = ["zsyncctl", "packet", "watch", ifname, "--interval", str(interval)]
        self.watch = children.start(command, stdout=subprocess.PIPE if self.on_terminal else None)

    def died(self) -> str:
        code = self.watch.poll()
        return "" if code is None else f"zsyncctl packet watch ended with code {code}"

    def show(self, seconds: float) -> None:
        """Draws what comes within `seconds`."""
        source = [self.watch.stdout] if self.on_terminal else []
        if not select.select(source, [], [], seconds)[0]:
            return
        text = b""
        while select.select(source, [], [], QUIET_SECONDS)[0]:
            data = os.read(self.watch.stdout.fileno(), 65536)
            if not data:
                return
            text += data
        self._draw(text.decode(errors="replace").rstrip("\n").split("\n"))

    def _draw(self, lines: list[str]) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [line[: columns - 1] for line in lines[: rows - 1]]
        back = f"\x1b[{self.drawn_lines}A\r" if self.drawn_lines else ""
        sys.stdout.write(back + "\x1b[J" + "\n".join(lines) + "\n")
        sys.stdout.flush()
        self.drawn_lines = len(lines)

    def stop(self) -> None:
        children.stop(self.watch)
