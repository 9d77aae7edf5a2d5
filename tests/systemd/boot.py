"""Furnishes the namespaces that machine.py made and becomes systemd in them. Runs as their PID 1.

Usage: boot.py SCRATCH SOCKET-FD. SCRATCH has `host/` (shown inside as /run/host) and takes the overlay; the terminal
that serves as /dev/console goes back over the socket. Whatever systemd re-modes or re-owns lies on file systems of this
namespace: not one device node of the machine is bound into it.
"""

import array
import fcntl
import os
import pathlib
import secrets
import socket
import struct
import subprocess
import sys

TIOCGPTN = 0x80045430
TIOCSPTLCK = 0x40045431
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
# Units that only cost time in a machine that lives for one test file.
MASKED = """
apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
man-db.timer console-getty.service systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service
systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
systemd-timesyncd.service systemd-firstboot.service systemd-homed-firstboot.service getty.target
redis-server.service mariadb.service suricata.service iodined.service dns2tcpd.service logrotate.timer
""".split()


def mount(kind: str, where: pathlib.Path, options: str = "", source: str = "none") -> None:
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *(["-o", options] if options else []), source, str(where)], check=True)


def bind(source: pathlib.Path, where: pathlib.Path, options: str = "") -> None:
    subprocess.run(["mount", "--bind", str(source), str(where)], check=True)
    if options:
        subprocess.run(["mount", "-o", f"remount,bind,{options}", str(where)], check=True)


def make_root(scratch: pathlib.Path) -> pathlib.Path:
    """The running system, with every change kept in memory; what is mounted on top of it doesn't show through."""
    mount("tmpfs", scratch / "changes", "mode=755,size=1g")
    for name in ("upper", "work"):
        (scratch / "changes" / name).mkdir()
    root = scratch / "root"
    lower = f"lowerdir=/,upperdir={scratch}/changes/upper,workdir={scratch}/changes/work"
    mount("overlay", root, lower)
    return root


def make_dev(dev: pathlib.Path) -> int:
    """Device nodes of its own; returns the far end of its console."""
    mount("tmpfs", dev, "mode=755,size=1m")
    for name, (major, minor) in NODES.items():
        os.mknod(dev / name, 0o020666, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    mount("devpts", dev / "pts", "newinstance,mode=620,ptmxmode=666,gid=5")
    mount("tmpfs", dev / "shm", "mode=1777")
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")
    console = os.open(dev / "pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(console, TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(console, TIOCGPTN, struct.pack("i", 0)))[0]
    (dev / "console").touch()
    bind(dev / "pts" / str(number), dev / "console")
    return console


def make_kernel_views(root: pathlib.Path) -> None:
    """proc and sys with the machine's own settings read-only, and a BPF file system as systemd mounts it at boot."""
    mount("proc", root / "proc")
    bind(root / "proc/sys", root / "proc/sys")
    bind(root / "proc/sys/net", root / "proc/sys/net")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(root / "proc/sys")], check=True)
    if (root / "proc/sysrq-trigger").exists():
        bind(root / "proc/sysrq-trigger", root / "proc/sysrq-trigger", "ro")
    mount("sysfs", root / "sys", "ro")
    mount("cgroup2", root / "sys/fs/cgroup")
    mount("bpf", root / "sys/fs/bpf", "mode=0700,nosuid,nodev,noexec")


def settle(root: pathlib.Path, host: pathlib.Path) -> None:
    for name, options in (("run", "mode=755"), ("tmp", "mode=1777")):
        mount("tmpfs", root / name, options)
    (root / "run/host").mkdir()
    bind(host, root / "run/host")
    (root / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/fstab").write_text("")
    for name in MASKED:
        unit = root / "etc/systemd/system" / name
        unit.unlink(missing_ok=True)
        unit.symlink_to("/dev/null")


def enter(root: pathlib.Path) -> None:
    os.chdir(root)
    (root / ".oldroot").mkdir(exist_ok=True)
    subprocess.run(["pivot_root", ".", ".oldroot"], check=True)
    os.chroot(".")
    os.chdir("/")
    subprocess.run(["umount", "-l", "/.oldroot"], check=True)


def main() -> None:
    scratch, channel = pathlib.Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    root = make_root(scratch)
    console = make_dev(root / "dev")
    make_kernel_views(root)
    settle(root, scratch / "host")
    channel.sendmsg([b"console"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [console]))])
    channel.close()
    os.close(console)
    enter(root)
    terminal = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for number in range(3):
        os.dup2(terminal, number)
    os.closerange(3, 64)
    os.umask(0o022)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM": "dumb",
        "container": "zsync",
        "NOTIFY_SOCKET": "/run/host/notify",
    }
    os.execve("/usr/lib/systemd/systemd", ["systemd", "--log-target=journal-or-kmsg", "--show-status=no"], environment)


if __name__ == "__main__":
    main()
