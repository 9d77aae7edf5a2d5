"""Boost.Redis in tasks, against a real redis-server: the cases are in redis_test.cpp."""

import pytest
import servers

PROGRAM = "asio_redis_test"
KILLS = "DISABLED_" # the server, so each gets its own


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with servers.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.parametrize("case", [case for case in servers.cases(PROGRAM) if KILLS not in case])
def test_shared(shared, case):
    port, pid = shared
    servers.run_case(PROGRAM, case, ZSYNC_REDIS_PORT=str(port), ZSYNC_REDIS_PID=str(pid))


@pytest.mark.parametrize("case", [case for case in servers.cases(PROGRAM) if KILLS in case])
def test_killed(tmp_path, case):
    with servers.redis(tmp_path) as (port, pid):
        servers.run_case(PROGRAM, case, ZSYNC_REDIS_PORT=str(port), ZSYNC_REDIS_PID=str(pid))
