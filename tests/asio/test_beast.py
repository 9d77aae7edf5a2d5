"""Boost.Beast in tasks, with examples/http_server and curl at the other end: the cases are in beast_test.cpp."""

import pytest
import servers

PROGRAM = "asio_beast_test"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beast")
    site = folder / "site"
    site.mkdir()
    (site / "small").write_text("small\n")
    (site / "large").write_bytes(b"L" * 5_000_000)
    number, log = servers.free_port(), folder / "http.log"
    with servers.running(["http_server", str(number), str(site)], log) as child:
        servers.wait_until(lambda: servers.answers(number), child, log)
        yield str(number)


@pytest.mark.parametrize("case", servers.cases(PROGRAM))
def test_case(port, case):
    servers.run_case(PROGRAM, case, ZSYNC_HTTP_PORT=port)
