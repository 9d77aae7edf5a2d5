"""One QEMU process: its command line, its control socket (QMP), its channel to the agent in the guest.

The machine must be the same when a state is saved and when it is resumed, so its command line is made in one place.
"""

import json
import pathlib
import select
import socket
import subprocess
import time

MEMORY_MIB = 1536
CPUS = 2
QMP_SECONDS_MAX = 120
# What makes a boot in emulation shorter: no mitigations, no self-tests, no relocation.
KERNEL_ARGUMENTS = (
    "root=/dev/vda rw console=ttyS0 quiet mitigations=off nokaslr audit=0 cryptomgr.notests "
    "systemd.show_status=0 rd.udev.log_level=3 panic=0"
)


class GuestSilent(Exception):
    """The guest, or QEMU itself, did not answer in time or went away."""


class Channel:
    """Lines over a unix socket, with a deadline on each."""

    def __init__(self, path: pathlib.Path, deadline: float):
        self.socket = socket.socket(socket.AF_UNIX)
        self.buffer = b""
        while True:
            try:
                self.socket.connect(str(path))
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise GuestSilent(f"QEMU did not open {path.name}") from None
                time.sleep(0.02)

    def send(self, line: str) -> None:
        try:
            self.socket.sendall(line.encode() + b"\n")
        except OSError as error:
            raise GuestSilent(f"the line to the guest broke: {error}") from None

    def line(self, deadline: float) -> str:
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise GuestSilent("no answer in time")
            data = self.socket.recv(65536)
            if not data:
                raise GuestSilent("QEMU went away")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\n", 1)
        return text.decode(errors="replace").strip()


class Machine:
    """A running guest. Use as a context manager: leaving it ends QEMU, by pid, whatever state the guest is in."""

    def __init__(
        self,
        folder: pathlib.Path,
        image: pathlib.Path,
        accel: str,
        share_in: pathlib.Path,
        share_out: pathlib.Path,
        kernel: pathlib.Path,
        initrd: pathlib.Path,
        incoming: bool = False,
    ):
        self.folder = folder
        self.console = folder / "console.log"
        self.command = [
            "qemu-system-x86_64",
            "-nodefaults", "-no-user-config", "-nographic", "-display", "none", "-no-reboot",
            "-machine", "q35,usb=off,graphics=off,hpet=off",
            "-accel", accel,
            "-cpu", "host" if accel == "kvm" else "qemu64",
            "-smp", str(CPUS),
            "-m", str(MEMORY_MIB),
            "-kernel", str(kernel),
            "-initrd", str(initrd),
            "-append", KERNEL_ARGUMENTS,
            "-drive", f"file={image},if=virtio,format=qcow2,cache=unsafe,discard=unmap",
            "-fsdev", f"local,id=in,path={share_in},security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=in,mount_tag=in",
            "-fsdev", f"local,id=out,path={share_out},security_model=none",
            "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={folder}/agent.sock,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=zsync.agent",
            "-serial", f"file:{self.console}",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-device", "virtio-rng-pci",
            "-qmp", f"unix:{folder}/qmp.sock,server=on,wait=off",
        ]  # fmt: skip
        if incoming:
            self.command += ["-incoming", "defer"]

    def __enter__(self) -> "Machine":
        log = open(self.folder / "qemu.log", "wb")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + QMP_SECONDS_MAX
            self.qmp_channel = Channel(self.folder / "qmp.sock", deadline)
            self.qmp_channel.line(deadline)
            self.qmp("qmp_capabilities")
            self.agent = Channel(self.folder / "agent.sock", deadline)
        except GuestSilent as error:
            self.__exit__()
            raise GuestSilent(f"{error}; QEMU said: {(self.folder / 'qemu.log').read_text()}") from None
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()

    def qmp(self, command: str, **arguments) -> dict:
        deadline = time.monotonic() + QMP_SECONDS_MAX
        self.qmp_channel.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            reply = json.loads(self.qmp_channel.line(deadline))
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise GuestSilent(f"QMP {command}: {reply['error']['desc']}")

    def migration_done(self) -> None:
        deadline = time.monotonic() + QMP_SECONDS_MAX
        while True:
            status = self.qmp("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise GuestSilent(f"moving the state: {status}")
            time.sleep(0.02)

    def save(self, state: pathlib.Path) -> None:
        self.qmp("stop")
        self.qmp("migrate", uri=f"file:{state}")
        self.migration_done()

    def resume(self, state: pathlib.Path) -> None:
        self.qmp("migrate-incoming", uri=f"file:{state}")
        self.migration_done()
        self.qmp("cont")

    def dump_tasks(self) -> None:
        """Make a guest that no longer answers write its blocked and running tasks to the console log (SysRq)."""
        for key in ("9", "w", "l", "m"):
            keys = [{"type": "qcode", "data": code} for code in ("alt", "sysrq", key)]
            try:
                self.qmp("send-key", keys=keys)
            except GuestSilent:
                return
            time.sleep(0.3)
        time.sleep(2)
