"""The example serves files to clients that others wrote."""

import concurrent.futures
import contextlib
import http.client
import random
import signal
import socket
import subprocess

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(folder, *words):
    port = free_port()
    command = ["setpriv", "--pdeathsig", "KILL", "--", "http_server", str(port), str(folder), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "serving" in server.stderr.readline()
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0, server.stderr.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    (place / "index.html").write_text("<h1>front</h1>\n")
    (place / "inner").mkdir()
    (place / "inner" / "large").write_bytes(random.Random(5).randbytes(5_000_000))
    (place / "inner" / "empty").touch()
    (place / ".hidden").write_text("no")
    (place.parent / "outside").write_text("no")
    return place


@pytest.fixture(scope="module", params=["coroutines", "fibers"])
def port(folder, request):
    with serving(folder, *(["fibers"] if request.param == "fibers" else [])) as number:
        yield number


def get(port, target, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(port, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        return answer


def test_curl_gets_what_is_in_the_folder(port, folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["curl", "-sf", "-o", copy, f"http://127.0.0.1:{port}/inner/large"], check=True, timeout=30)
    assert copy.read_bytes() == (folder / "inner" / "large").read_bytes()


def test_files_come_whole(port, folder):
    assert get(port, "/") == (200, b"<h1>front</h1>\n")
    assert get(port, "/index.html?query=1") == (200, b"<h1>front</h1>\n")
    assert get(port, "/inner/empty") == (200, b"")
    assert get(port, "/inner/l%61rge") == (200, (folder / "inner" / "large").read_bytes())


def test_head_gives_the_length_alone(port):
    answer = raw(port, b"HEAD /inner/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5000000\r\n" in answer and answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("target", ["/missing", "/../outside"])
def test_head_of_what_is_not_found_has_no_body(port, target):
    answer = raw(port, b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % target.encode())
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("target", ["http://x/", "HTTP://x:80", "http://x/index.html?query=1"])
def test_a_target_may_name_the_host(port, target):
    answer = raw(port, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target.encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"<h1>front</h1>\n")


@pytest.mark.parametrize("target", ["/missing", "/inner", "/.hidden", "/../outside", "/inner/../../outside", "/%2e%2e/outside"])
def test_nothing_else_is_found(port, target):
    assert get(port, target)[0] == 404


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, 431),
    ],
)
def test_bad_requests_are_refused(port, request_bytes, status):
    assert raw(port, request_bytes).startswith(b"HTTP/1.1 %d " % status)


def test_a_connection_serves_request_after_request_also_when_they_come_at_once(port):
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert raw(port, one * 50 + last).count(b"<h1>front</h1>\n") == 51


def test_a_head_that_comes_in_pieces_is_put_together(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.0\r\n\r\n":
            client.sendall(bytes([byte]))
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert answer.endswith(b"<h1>front</h1>\n")


def test_many_clients_at_once(port, folder):
    large = (folder / "inner" / "large").read_bytes()
    with concurrent.futures.ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda _: get(port, "/inner/large"), range(96)))
    assert answers == [(200, large)] * 96


def test_wrk_sees_no_error(port):
    done = subprocess.run(
        ["wrk", "-t1", "-c64", "-d1", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True, check=True, timeout=30
    )
    assert "Requests/sec" in done.stdout and "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout
