"""The guest: a disk image from the Debian 13 root, booted once and saved, kept under a key of all that went into it."""

import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import sys
import time

from machine import CPUS, KERNEL_ARGUMENTS, MEMORY_MIB, GuestSilent, Machine

HARNESS = pathlib.Path(__file__).resolve().parent
DISK_MIB = 4096
BOOT_SECONDS_MAX = 400
PROBE_SECONDS_MAX = 20
PROBE_EXIT = 0x15
KEPT_MAX = 3
# What a guest needs of no scenario: compilers, debuggers, emulators, documentation, caches.
LEFT_OUT = """
./boot/* ./vmlinuz* ./initrd.img* ./.complete ./.oldroot ./work
./tmp/* ./run/* ./proc/* ./sys/* ./dev/* ./root/.cache
./var/cache/* ./var/lib/apt/lists/* ./var/log/* ./var/tmp/* ./var/lib/man-db ./var/lib/systemd/random-seed
./usr/lib/llvm-19 ./usr/lib/gcc ./usr/libexec/gcc ./usr/libexec/valgrind ./usr/include ./usr/lib/debug ./usr/lib/bfd-plugins
./usr/share/doc ./usr/share/locale ./usr/share/info ./usr/share/qemu ./usr/share/seabios ./usr/share/cmake* ./usr/share/gdb
./usr/share/lintian ./usr/share/perl5/Lintian* ./usr/share/source-highlight ./usr/share/man/??  ./usr/share/man/??_*
./usr/lib/x86_64-linux-gnu/libLLVM* ./usr/lib/x86_64-linux-gnu/libclang* ./usr/lib/x86_64-linux-gnu/*.a
./usr/lib/x86_64-linux-gnu/qemu ./usr/lib/x86_64-linux-gnu/valgrind ./usr/lib/x86_64-linux-gnu/perl/*/auto/CORE
./usr/bin/qemu-* ./usr/bin/gdb ./usr/bin/cmake ./usr/bin/ctest ./usr/bin/cpack ./usr/bin/ccache ./usr/bin/ninja
./usr/bin/x86_64-linux-gnu-* ./usr/lib/modules/*/kernel/drivers/gpu ./usr/lib/modules/*/kernel/drivers/media
./usr/lib/modules/*/kernel/drivers/infiniband ./usr/lib/modules/*/kernel/drivers/scsi ./usr/lib/modules/*/kernel/sound
./usr/lib/modules/*/kernel/drivers/net/ethernet ./usr/lib/modules/*/kernel/drivers/net/wireless
./usr/lib/udev/hwdb.bin ./usr/lib/udev/hwdb.d ./usr/sbin/mariadbd ./usr/lib/mysql ./usr/share/mysql ./usr/share/mariadb
./var/lib/mysql ./usr/bin/mariadb* ./usr/bin/spin ./usr/share/wireshark ./usr/lib/x86_64-linux-gnu/wireshark
./usr/lib/x86_64-linux-gnu/libwireshark* ./usr/bin/tshark ./usr/bin/suricata
""".split()
# Units that only cost time in a guest that lives for one scenario.
MASKED = """
apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
man-db.timer getty@tty1.service serial-getty@ttyS0.service systemd-networkd.service systemd-networkd.socket
systemd-networkd-wait-online.service systemd-random-seed.service systemd-pcrphase.service systemd-boot-update.service
systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
console-setup.service keyboard-setup.service systemd-timesyncd.service getty-static.service
redis-server.service mariadb.service suricata.service iodined.service dns2tcpd.service logrotate.timer
""".split()
AGENT_UNIT = """[Unit]
Description=zsync VM harness agent
[Service]
ExecStart=/usr/lib/zsync-vm/agent.py
StandardOutput=journal
[Install]
WantedBy=multi-user.target
"""
INIT = """#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
for module in $($bb cat /modules/order); do $bb insmod /modules/$module 2>/dev/null; done
$bb mount -t proc proc /proc
case $($bb cat /proc/cmdline) in
*zsync.probe*) $bb printf '\\025' | $bb dd of=/dev/port bs=1 seek=244 count=1 2>/dev/null ;;
esac
$bb umount /proc
until [ -b /dev/vda ]; do $bb sleep 0.05; done
$bb mount -t ext4 -o rw,noatime /dev/vda /disk
$bb mount --move /dev /disk/dev
exec $bb switch_root /disk /usr/lib/systemd/systemd
"""


def say(words: str) -> None:
    print(f"vm: {words}", file=sys.stderr, flush=True)


def cache() -> pathlib.Path:
    folder = pathlib.Path(os.environ.get("ZSYNC_CACHE", "/var/cache/zsync")) / "vm"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def root() -> pathlib.Path:
    """The Debian 13 root the guest is made from; on a Debian 13 machine ./dev names one apart from the machine's own."""
    return pathlib.Path(os.environ.get("ZSYNC_VM_ROOT", "/"))


def kernel_release() -> str:
    releases = sorted(path.name for path in (root() / "usr/lib/modules").iterdir() if (root() / "boot" / f"vmlinuz-{path.name}").exists())
    if not releases:
        raise SystemExit("vm: no kernel in the root: linux-image-amd64 must be among the Build-Depends")
    return releases[-1]


@contextlib.contextmanager
def root_view():
    """The root without what a session mounted over it, as a folder; needs the right to mount."""
    view = cache() / f"view.{os.getpid()}"
    view.mkdir()
    subprocess.run(["mount", "--bind", str(root()), str(view)], check=True)
    try:
        yield view
    finally:
        subprocess.run(["umount", str(view)], check=True)
        view.rmdir()


def tar_options() -> list[str]:
    return ["--anchored", "--wildcards", "--no-wildcards-match-slash", *(f"--exclude={name}" for name in LEFT_OUT)]


def key(accel: str) -> str:
    """Changes with the root's content, the kernel, the machine and the harness."""
    digest = hashlib.sha256()
    for part in (kernel_release(), accel, KERNEL_ARGUMENTS, str(MEMORY_MIB), str(CPUS), os.environ.get("ZSYNC_VM_ROOT", "")):
        digest.update(part.encode() + b"\0")
    for name in ("agent.py", "image.py", "machine.py"):
        digest.update((HARNESS / name).read_bytes())
    with root_view() as view:
        names = subprocess.run(
            ["tar", "-C", str(view), "-c", "--exclude=__pycache__", *tar_options(), "-vv", "-f", "/dev/null", "--full-time", "."],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
    # Folder times change when a file is written anew with the same name, and mount points come and go in some.
    lines = sorted(line for line in names.splitlines() if not line.startswith(b"d"))
    digest.update(b"\n".join(lines))
    return digest.hexdigest()[:16]


def make_vmlinux(target: pathlib.Path) -> None:
    """The uncompressed kernel: booted through PVH it skips the slow unpacking inside the guest."""
    data = (root() / "boot" / f"vmlinuz-{kernel_release()}").read_bytes()
    start = data.index(b"\x28\xb5\x2f\xfd")
    done = subprocess.run(["zstd", "-dcq"], input=data[start:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if not done.stdout.startswith(b"\x7fELF"):
        raise SystemExit("vm: the kernel image holds no zstd-packed ELF kernel")
    target.write_bytes(done.stdout)


def make_initrd(target: pathlib.Path) -> None:
    """A busybox and the few modules that reach the disk; udev and the rest run from the disk itself."""
    tree = target.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "modules", "dev", "proc", "disk"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(root() / "bin/busybox", tree / "bin/busybox")
    order = []
    for wanted in ("virtio_blk", "ext4"):
        shown = subprocess.run(
            ["modprobe", "--show-depends", "-d", str(root()), "-S", kernel_release(), wanted],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for line in shown.splitlines():
            path = pathlib.Path(line.split()[1])
            name = path.name.removesuffix(".xz")
            if name not in order:
                order.append(name)
                data = path.read_bytes()
                (tree / "modules" / name).write_bytes(lzma.decompress(data) if path.suffix == ".xz" else data)
    (tree / "modules" / "order").write_text("\n".join(order) + "\n")
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with open(target, "wb") as out:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names.encode(), stdout=out, check=True
        )
    shutil.rmtree(tree)


def make_overlay_files(folder: pathlib.Path) -> None:
    """The files that only the guest has."""
    (folder / "usr/lib/zsync-vm").mkdir(parents=True)
    units = folder / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    shutil.copy(HARNESS / "agent.py", folder / "usr/lib/zsync-vm/agent.py")
    (folder / "usr/lib/zsync-vm/agent.py").chmod(0o755)
    (units / "zsync-vm-agent.service").write_text(AGENT_UNIT)
    (units / "multi-user.target.wants/zsync-vm-agent.service").symlink_to("/etc/systemd/system/zsync-vm-agent.service")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (folder / "etc/machine-id").write_text("0" * 31 + "1\n")
    (folder / "etc/hostname").write_text("vm\n")
    (folder / "etc/fstab").write_text("/dev/vda / ext4 defaults,noatime 0 0\n")


def make_disk(target: pathlib.Path, work: pathlib.Path) -> None:
    extra = work / "extra"
    make_overlay_files(extra)
    tar = work / "root.tar"
    with root_view() as view:
        subprocess.run(
            ["tar", "-C", str(view), "-c", "-f", str(tar), "--numeric-owner", "--xattrs", *tar_options(),
             "--exclude=./etc/machine-id", "--exclude=./etc/hostname", "--exclude=./etc/fstab", "."],
            check=True,
        )  # fmt: skip
    subprocess.run(
        ["tar", "-C", str(extra), "-r", "-f", str(tar), "--owner=0", "--group=0", "./usr", "./etc"], check=True
    )
    target.unlink(missing_ok=True)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-d", str(tar), str(target),
         f"{DISK_MIB}m"],
        check=True,
    )  # fmt: skip
    tar.unlink()


def overlay(base: pathlib.Path, base_format: str, target: pathlib.Path) -> pathlib.Path:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", base_format, str(target)], check=True
    )
    return target


def kvm_works(work: pathlib.Path) -> bool:
    """True only where a guest kernel really ran to its own exit: /dev/kvm may open and then fail in the guest."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-nographic", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256", "-smp", str(CPUS),
        "-kernel", str(work / "vmlinux"), "-initrd", str(work / "initrd"), "-append", "quiet panic=-1 zsync.probe",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 2 * PROBE_EXIT + 1


def accelerator() -> str:
    """kvm or tcg, probed once for this kernel on this machine."""
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache() / f"accel-{boot_id}-{kernel_release()}"
    if not known.exists():
        for old in cache().glob("accel-*"):
            old.unlink()
        work = cache() / f"probe.{os.getpid()}"
        work.mkdir()
        try:
            make_vmlinux(work / "vmlinux")
            make_initrd(work / "initrd")
            found = "kvm" if kvm_works(work) else "tcg"
        finally:
            shutil.rmtree(work)
        known.write_text(found)
        say(f"guests run on {'KVM' if found == 'kvm' else 'software emulation: no KVM guest boots here'}")
    return known.read_text()


def boot_and_save(folder: pathlib.Path, accel: str) -> float:
    """Cold boot to READY, then save; the seconds it took to get READY."""
    empty = folder / "empty"
    empty.mkdir()
    image = overlay(folder / "disk.img", "raw", folder / "boot.qcow2")
    began = time.monotonic()
    with Machine(folder, image, accel, empty, empty, folder / "vmlinux", folder / "initrd") as machine:
        try:
            words = machine.agent.line(began + BOOT_SECONDS_MAX).split()
        except GuestSilent as error:
            machine.dump_tasks()
            raise GuestSilent(f"cold boot: {error}\n{machine.console.read_text(errors='replace')[-4000:]}") from None
        if words[:2] != ["READY", kernel_release()]:
            raise GuestSilent(f"cold boot: expected READY {kernel_release()}, got {' '.join(words)}")
        took = time.monotonic() - began
        machine.save(folder / "state")
        machine.qmp("quit")
        machine.process.wait(30)
    return took


def forget_old(keep: str) -> None:
    kept = sorted(cache().glob("guest-*/saved.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[KEPT_MAX:]:
        if path.parent.name != f"guest-{keep}":
            shutil.rmtree(path.parent, ignore_errors=True)


def saved_guest() -> pathlib.Path:
    """The folder of the saved guest that fits this root, kernel and harness; made where it isn't there."""
    accel = accelerator()
    name = key(accel)
    folder = cache() / f"guest-{name}"
    with open(cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "saved.json").exists():
            os.utime(folder / "saved.json")
            return folder
        say(f"making the guest {name} (kernel {kernel_release()}, {accel}), once")
        began = time.monotonic()
        partial = cache() / f"partial-{name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        make_vmlinux(partial / "vmlinux")
        make_initrd(partial / "initrd")
        make_disk(partial / "disk.img", partial)
        shutil.rmtree(partial / "extra")
        disk_seconds = time.monotonic() - began
        # The overlay's reference to its base must hold after the rename.
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        boot_seconds = boot_and_save(folder, accel)
        facts = {
            "accel": accel,
            "kernel": kernel_release(),
            "disk_seconds": round(disk_seconds, 1),
            "boot_seconds": round(boot_seconds, 1),
            "state_mib": (folder / "state").stat().st_size >> 20,
            "disk_mib": (folder / "disk.img").stat().st_blocks >> 11,
        }
        (folder / "saved.json").write_text(json.dumps(facts))
        say(f"saved: {facts}")
        forget_old(name)
    return folder
