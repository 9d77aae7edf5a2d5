"""Who may change what, without polkit on the bus: root and the service's own user, and nobody else."""

import os
import pathlib
import subprocess
import tempfile

import pytest
from service import Service

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else as well")


@pytest.fixture
def open_folder():
    """A service whose bus others may reach: not under pytest's own folder, which every pytest that starts closes to others."""
    with tempfile.TemporaryDirectory(prefix="zsyncd-open-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)
        service = Service(folder)
        yield service
        service.close()


def as_nobody(service, method: str, *words: str) -> subprocess.CompletedProcess:
    """dbus-send, because busctl hides the words of AccessDenied."""
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "dbus-send", "--print-reply"]
    command += [f"--bus={service.address}", "--dest=org.zsync1", "/org/zsync1", method, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_nobody_reads_and_changes_nothing(open_folder):
    open_folder.start()
    read = as_nobody(open_folder, "org.freedesktop.DBus.Properties.Get", "string:org.zsync1.Manager", "string:Version")
    assert read.returncode == 0 and "string" in read.stdout, read.stderr
    assert as_nobody(open_folder, "org.zsync1.Manager.ListTasks").returncode == 0
    open_folder.listen().clear()
    refused = as_nobody(open_folder, "org.zsync1.Manager.Reload", "dict:string:variant:")
    assert refused.returncode != 0
    assert "org.freedesktop.DBus.Error.AccessDenied" in refused.stderr
    assert "only root may do this here, because polkit is not running (org.zsync1.reload)" in refused.stderr
    assert not open_folder.heard("RELOADING=1")


def test_root_may(open_folder):
    open_folder.start()
    assert open_folder.call("Reload", "a{sv}", "0").returncode == 0
