"""Sends allowed and denied datagrams from `far` without pause until SIGTERM; prints what was sent and what arrived.

The receiver's buffer holds more than a slow guest can fall behind, so what doesn't arrive was dropped by the filter.
"""

import json
import os
import select
import signal
import socket
import threading
import time

PORTS = {"allowed": 4000, "denied": 4001}
HERE = "10.99.0.1"
PAUSE_SECONDS = 0.004
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 32 << 20
DRAIN_SECONDS = 2
stop = threading.Event()


def receiver(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    made.bind((HERE, port))
    return made


def send(sent: dict) -> None:
    """In a thread of its own, because setns() moves only the calling thread."""
    with open("/run/netns/far") as far:
        os.setns(far.fileno(), os.CLONE_NEWNET)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while not stop.is_set():
        for kind, port in PORTS.items():
            out.sendto(sent[kind].to_bytes(8), (HERE, port))
            sent[kind] += 1
        time.sleep(PAUSE_SECONDS)


def receive(sockets: dict, numbers: dict, seconds: float) -> bool:
    ready = select.select(list(sockets), [], [], seconds)[0]
    for one in ready:
        numbers[sockets[one]].append(int.from_bytes(one.recv(64)))
    return bool(ready)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *unused: stop.set())
    sockets = {receiver(port): kind for kind, port in PORTS.items()}
    sent = dict.fromkeys(PORTS, 0)
    numbers: dict[str, list[int]] = {kind: [] for kind in PORTS}
    sender = threading.Thread(target=send, args=(sent,))
    sender.start()
    while not stop.is_set():
        receive(sockets, numbers, 0.5)
    sender.join()
    while receive(sockets, numbers, DRAIN_SECONDS):
        pass
    lost = sorted(set(range(sent["allowed"])) - set(numbers["allowed"]))
    print(json.dumps({"sent": sent, "arrived": {kind: len(found) for kind, found in numbers.items()}, "lost": lost[:10]}))


if __name__ == "__main__":
    main()
