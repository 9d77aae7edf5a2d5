"""Chains of open, statx, read and close over 1,000 small files on tmpfs: ours, as one Batch a round, against a loop of system
calls. Both say "ready" and then answer each line, a number of rounds, with the files done, the bytes read and the
nanoseconds a file. With --peers: what the peer does, without ours.
"""

import pathlib
import subprocess
import sys
import tempfile

import measure

OURS, PEER = "batch_zsync", "batch_loop"
FILES, FILE_BYTES, ROUNDS, PAIRS = 1_000, 2_000, 20, 9
FEWER_CALLS, FASTER = 5, 1.5


class Side:
    def __init__(self, name: str, folder: str):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.child = measure.start([measure.program(name), folder], core=measure.SERVER_CORE, **pipes)
        measure.wait_ready(self.child, name)
        self.calls = measure.SyscallCounter(self.child.pid)

    def run(self) -> tuple[float, float]:
        """System calls and nanoseconds a file."""
        before = self.calls.count()
        self.child.stdin.write(f"{ROUNDS}\n")
        self.child.stdin.flush()
        files, read, ns = self.child.stdout.readline().split()
        if int(files) != FILES * ROUNDS or int(read) != FILES * ROUNDS * FILE_BYTES:
            raise SystemExit(f"{self.child.args[0]} read {files} files, {read} bytes")
        return (self.calls.count() - before) / int(files), float(ns)

    def stop(self) -> None:
        self.calls.stop()
        self.child.stdin.close()
        self.child.wait()


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="zsync-batch-") as folder:
        for i in range(FILES):
            (pathlib.Path(folder) / str(i)).write_bytes(bytes([i % 251]) * FILE_BYTES)
        sides = [Side(name, folder) for name in ([PEER] if "--peers" in sys.argv else [PEER, OURS])]
        pairs = [[side.run() for side in sides] for _ in range(PAIRS)]
        for side in sides:
            side.stop()
    peer_calls, peer_ns = (measure.median(pair[0][i] for pair in pairs) for i in (0, 1))
    measure.say(f"a loop of system calls: {peer_calls:.2f} calls, {peer_ns:.0f} ns a file")
    if "--peers" in sys.argv:
        return
    calls, ns = (measure.median(pair[1][i] for pair in pairs) for i in (0, 1))
    faster = measure.median(pair[1][1] / pair[0][1] for pair in pairs)
    what = f"{FILES:,} open-statx-read-close chains on tmpfs"
    measure.row_of_ratio(f"{what}: system calls, peer a loop", calls, peer_calls, "/file", 1 / FEWER_CALLS)
    measure.row_of_ratio(f"{what}: time, peer a loop", ns, peer_ns, "ns/file", 1 / FASTER, faster)


if __name__ == "__main__":
    main()
