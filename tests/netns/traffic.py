"""Numbered datagrams from the far to the near end, counted at both: what was lost, and what got through that must not."""

import socket
import threading
import time

ALLOWED_PORT = 7001
DENIED_PORT = 7002
RULES = f"drop proto udp dport {DENIED_PORT}\n"
# Slow enough that neither the veth's ring nor a socket's buffer overflows on a busy machine.
PAIRS_A_BURST = 10
BURST_PAUSE_SECONDS = 0.002
RECEIVE_BUFFER_BYTES = 64 << 20
SO_RCVBUFFORCE = 33


class Traffic:
    """Runs for as long as its `with` block. Each pair is one datagram to either port."""

    def __init__(self, lab):
        self._lab = lab
        self._stop = threading.Event()
        self._sender = threading.Thread(target=self._send)
        self.pairs = 0
        self.received: dict[int, set[int]] = {ALLOWED_PORT: set(), DENIED_PORT: set()}
        self._sockets = {port: self._listen(port) for port in self.received}
        self._receivers = [threading.Thread(target=self._receive, args=[port]) for port in self._sockets]

    def _listen(self, port: int) -> socket.socket:
        listener = self._lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        listener.bind((self._lab.near.v4, port))
        listener.settimeout(0.2)
        return listener

    def _send(self) -> None:
        with self._lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not self._stop.is_set():
                for _ in range(PAIRS_A_BURST):
                    number = self.pairs.to_bytes(8)
                    for port in (ALLOWED_PORT, DENIED_PORT):
                        out.sendto(number, (self._lab.near.v4, port))
                    self.pairs += 1
                time.sleep(BURST_PAUSE_SECONDS)

    def _receive(self, port: int) -> None:
        # Until the sender has ended and nothing has come for the length of the timeout.
        while True:
            try:
                self.received[port].add(int.from_bytes(self._sockets[port].recv(64)))
            except TimeoutError:
                if not self._sender.is_alive():
                    return

    def __enter__(self) -> "Traffic":
        for thread in (self._sender, *self._receivers):
            thread.start()
        return self

    def run_for(self, pairs: int) -> None:
        """Waits until so many more pairs were sent."""
        until = self.pairs + pairs
        while self.pairs < until:
            assert self._sender.is_alive()
            time.sleep(0.005)

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._sender.join()
        for receiver in self._receivers:
            receiver.join()
        for listener in self._sockets.values():
            listener.close()

    def check(self) -> None:
        """Nothing denied got through, and nothing allowed was lost. After the `with` block."""
        denied, allowed = self.received[DENIED_PORT], self.received[ALLOWED_PORT]
        assert not denied, f"{len(denied)} of {self.pairs} denied datagrams got through, the first is {min(denied)}"
        lost = self.pairs - len(allowed)
        assert not lost, f"{lost} of {self.pairs} allowed datagrams were lost"
