"""Boost.MySQL in tasks, against a real mariadbd: the cases are in mysql_test.cpp."""

import pytest
import servers

PROGRAM = "asio_mysql_test"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with servers.mariadb(tmp_path_factory.mktemp("mariadb")) as number:
        yield str(number)


@pytest.mark.parametrize("case", servers.cases(PROGRAM))
def test_case(port, case):
    servers.run_case(PROGRAM, case, ZSYNC_MARIADB_PORT=port)
