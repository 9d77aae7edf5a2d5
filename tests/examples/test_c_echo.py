"""The example in C echoes to clients that others wrote, and ends as it is told to."""

import concurrent.futures
import contextlib
import random
import signal
import socket
import subprocess

import pytest


@contextlib.contextmanager
def serving():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["setpriv", "--pdeathsig", "KILL", "--", "c_echo", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "serving" in server.stderr.readline()
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0, server.stderr.read()


def echoed(port: int, seed: int) -> bool:
    data = random.Random(seed).randbytes(300_000)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        sender = concurrent.futures.ThreadPoolExecutor(1)
        done = sender.submit(lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        got = b""
        while chunk := client.recv(65536):
            got += chunk
        done.result()
        return got == data


def test_clients_get_back_what_they_send():
    with serving() as port, concurrent.futures.ThreadPoolExecutor(20) as clients:
        assert all(clients.map(lambda seed: echoed(port, seed), range(40)))


def test_it_ends_with_clients_connected():
    with serving() as port:
        idle = socket.create_connection(("127.0.0.1", port), timeout=20)
    assert idle.recv(1) == b""
    idle.close()


def test_a_taken_port_is_said():
    with serving() as port:
        done = subprocess.run(["c_echo", str(port)], stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 1 and done.stderr == "c_echo: listen: Address already in use\n"


@pytest.mark.parametrize("words", [[], ["1", "2"]])
def test_wrong_words_are_refused(words):
    done = subprocess.run(["c_echo", *words], stderr=subprocess.PIPE, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (2, "usage: c_echo PORT\n")
