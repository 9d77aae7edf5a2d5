"""zsyncd at its main job, live (`./dev run`): filtering in a lab with real traffic, or on an interface of this machine.

Runs in a session of its own (scripts/dev/session.sh). Whatever ends it, its children end with it, and namespaces, veth
and pins go with the session.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

import children
import net
from live import LiveTable
from service import ADDRESS, DIR, Failed, Service, ctl

TOP = pathlib.Path(__file__).resolve().parents[2]


class Ended(Exception):
    """Ctrl-C, SIGTERM or SIGHUP."""


def on_signal(number, _frame) -> None:
    raise Ended(signal.Signals(number).name)


class Traffic:
    """The servers beside zsyncd and the senders at the far end."""

    def __init__(self):
        self.server: subprocess.Popen | None = None
        self.sender: subprocess.Popen | None = None

    def start(self) -> None:
        script = [sys.executable, str(TOP / "scripts/lab/traffic.py")]
        self.server = children.start([*script, "serve"], DIR / "server.log")
        try:
            children.wait_until("the lab's servers", lambda: "serving" in children.tail(DIR / "server.log"), 10)
        except TimeoutError as error:
            raise Failed(f"{error}\n{children.tail(DIR / 'server.log')}") from None
        far = ["ip", "netns", "exec", net.FAR_NAMESPACE, *script, "send"]
        self.sender = children.start_contained(far, DIR / "sender.log")

    def stop(self) -> None:
        # unshare(1) waits with SIGTERM blocked; its death is what ends the senders.
        children.stop(self.sender, signal.SIGKILL)
        children.stop(self.server)

    def died(self) -> str:
        for name, child in (("server", self.server), ("sender", self.sender)):
            if child is not None and child.poll() is not None:
                return f"the lab's {name} ended with code {child.returncode}\n{children.tail(DIR / f'{name}.log')}"
        return ""


def invitation(ifname: str) -> str:
    # sd_bus_path_encode(): whatever is no letter or digit becomes _XX, and so does a digit in front.
    path = "".join(
        c if c.isascii() and (c.isalpha() or c.isdigit() and i) else f"_{ord(c):02x}" for i, c in enumerate(ifname)
    )
    lines = [
        "Try, from a second terminal in this folder:",
        f"  ./dev exec zsyncctl packet rules {ifname}",
        f"  ./dev exec zsyncctl packet stats {ifname} --json",
        "  ./dev exec zsyncctl status",
        f"  ./dev exec busctl --address={ADDRESS} introspect org.zsync1 /org/zsync1/packet/{path}",
        f"  ./dev exec busctl --address={ADDRESS} get-property org.zsync1 /org/zsync1 org.zsync1.Manager Version",
    ]
    return "\n".join(lines)


def table(ifname: str) -> str:
    return f"{ctl('packet', 'stats', ifname).rstrip()}\n\n{ctl('packet', 'rules', ifname).rstrip()}\n"


def watch(ifname: str, deadline: float | None, died) -> None:
    """Shows the rules and their counters until `deadline`, or until something that must live has died."""
    live = LiveTable(ifname)
    try:
        while deadline is None or time.monotonic() < deadline:
            why = died() or live.died()
            if why:
                raise Failed(why)
            live.show(0.1)
    finally:
        live.stop()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev run", description=__doc__.splitlines()[0])
    parser.add_argument("--iface", metavar="IF", help="filter on this interface instead of in a lab")
    parser.add_argument("--for", metavar="SECONDS", type=float, dest="seconds", help="end by itself, with exit code 0")
    parser.add_argument("--rules", metavar="FILE", type=pathlib.Path, default=TOP / "examples/lab.rules")
    args = parser.parse_args()
    if args.iface and not os.path.exists(f"/sys/class/net/{args.iface}"):
        parser.error(f"there is no interface '{args.iface}' here; `ip link` lists them")
    if not args.rules.is_file():
        parser.error(f"there is no rule file {args.rules}")
    args.rules = args.rules.resolve()
    # Files of this checkout are named as a person in it would.
    os.chdir(TOP)
    return args


def say(words: str) -> None:
    print(words, flush=True)


def work(args: argparse.Namespace, service: Service, traffic: Traffic) -> None:
    if not args.iface:
        net.leave_for_own_namespace()
        net.make()
    service.start()
    ifname = args.iface or net.NEAR
    ctl("packet", "attach", ifname)
    rules = str(args.rules.relative_to(TOP) if args.rules.is_relative_to(TOP) else args.rules)
    ctl("packet", "load", ifname, rules)
    say(f"zsyncd (pid {service.daemon.pid}) filters {ifname} by {rules}")
    if not args.iface:
        traffic.start()
        say(f"Traffic comes over a veth pair from namespace {net.FAR_NAMESPACE}: ping, TCP, UDP and an nmap scan")
    os.write(int(os.environ["SESSION_LOCK"]), b"ready\n")
    say("\n" + invitation(ifname) + "\n")
    try:
        deadline = None if args.seconds is None else time.monotonic() + args.seconds
        watch(ifname, deadline, lambda: service.died() or traffic.died())
    except Ended:
        pass
    traffic.stop()
    say("\nAt the end:\n\n" + table(ifname))
    ctl("packet", "detach", ifname)


def main() -> int:
    args = options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    service, traffic = Service(), Traffic()
    code = 0
    try:
        work(args, service, traffic)
    except Ended:
        pass
    except (Failed, OSError) as error:
        print(f"dev run: {error}", file=sys.stderr)
        code = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        traffic.stop()
        service.stop()
        if not args.iface:
            net.remove()
    return code


if __name__ == "__main__":
    sys.exit(main())
