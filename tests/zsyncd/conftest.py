import pytest

from service import Service


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    service.close()


@pytest.fixture
def running(service):
    service.start()
    return service
