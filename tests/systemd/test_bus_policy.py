"""Who may do what over the bus: the bus keeps the name, polkit and the daemon keep the rest."""

import pytest

UNIT = "zsyncd.service"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
RELOAD = ("org.zsync1", "/org/zsync1", "org.zsync1.Manager", "Reload", "a{sv}", "0")
ATTACH = ("org.zsync1", "/org/zsync1/packet", "org.zsync1.Packet", "Attach", "ssa{sv}", "near0", "auto", "0")
ACTIONS = ("org.zsync1.manage-packet", "org.zsync1.reload", "org.zsync1.manage-jobs")
RULE = 'polkit.addRule(function(action, subject) {{ if (action.id == "{}" && subject.user == "{}") return polkit.Result.YES; }});\n'


def call(service, member: tuple[str, ...], user: str = ""):
    """busctl's exit code and what it said; with the error's D-Bus name, which busctl itself leaves out."""
    target = ("dbus-send", "--system", "--print-reply", f"--dest={member[0]}", member[1], f"{member[2]}.{member[3]}")
    words = [f"string:{word}" for word in member[5:-1]]
    done = service.run(*target, *words, "dict:string:variant:", user=user, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module", autouse=True)
def people(service):
    service.write("/etc/systemd/system/polkit.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n")
    service.sh("systemctl daemon-reload")
    service.sh("useradd --system operator1; useradd --system other1; ip link add near0 type veth peer name far0")


@pytest.fixture(autouse=True)
def no_rules(service):
    service.run("systemctl", "start", UNIT, "polkit.service")
    yield
    service.sh("rm -f /etc/polkit-1/rules.d/10-zsync.rules; systemctl unmask --runtime polkit; systemctl restart polkit")


def allow(service, action: str, user: str) -> None:
    service.write("/etc/polkit-1/rules.d/10-zsync.rules", RULE.format(action, user))
    service.run("systemctl", "restart", "polkit.service")


def test_name_is_for_the_daemon_and_root_alone(service):
    service.run("systemctl", "stop", UNIT)
    request = ("busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", "org.zsync1", "4")
    assert service.run(*request, user="nobody", check=False).returncode != 0
    assert service.run(*request, user="zsync").stdout.strip() == "u 1"
    assert service.run(*request).stdout.strip() == "u 1"


def test_anybody_reads(service):
    shown = service.run("busctl", "introspect", "org.zsync1", "/org/zsync1", user="nobody").stdout
    assert "org.zsync1.Manager" in shown
    service.run("busctl", "get-property", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", "Version", user="nobody")
    service.run("busctl", "call", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", "ListTasks", user="nobody")
    assert service.run("zsyncctl", "status", user="nobody").stdout


def test_root_changes(service):
    assert call(service, RELOAD)[0] == 0
    assert service.run("zsyncctl", "reload").returncode == 0


def test_others_are_denied_and_nothing_changes(service):
    for member in (RELOAD, ATTACH):
        code, words = call(service, member, user="nobody")
        assert code != 0 and DENIED in words, words
    assert "xdp" not in service.sh("ip link show near0")
    refused = service.run("zsyncctl", "reload", user="nobody", check=False)
    assert refused.returncode == 1 and len(refused.stderr.strip().splitlines()) == 1


def test_rule_of_an_administrator_opens_one_action_to_one_user(service):
    allow(service, "org.zsync1.reload", "operator1")
    code, words = call(service, RELOAD, user="operator1")
    assert code == 0, words
    for user, member in (("operator1", ATTACH), ("other1", RELOAD), ("other1", ATTACH)):
        code, words = call(service, member, user=user)
        assert code != 0 and DENIED in words, (user, words)


def test_rule_for_filters_lets_its_user_attach(service):
    allow(service, "org.zsync1.manage-packet", "operator1")
    code, words = call(service, ATTACH, user="operator1")
    assert code == 0, words
    assert "xdp" in service.sh("ip link show near0")
    assert DENIED in call(service, RELOAD, user="operator1")[1]
    service.run("zsyncctl", "packet", "detach", "near0")


def test_without_polkit_root_changes_and_nobody_does(service):
    service.run("systemctl", "mask", "--runtime", "--now", "polkit.service")
    assert call(service, RELOAD)[0] == 0
    code, words = call(service, RELOAD, user="nobody")
    assert code != 0 and DENIED in words, words


def test_polkit_knows_every_action_and_asks_an_administrator_by_default(service):
    for action in ACTIONS:
        shown = service.sh(f"pkaction --verbose --action-id {action}")
        assert "implicit any:      auth_admin" in shown and "implicit active:   auth_admin_keep" in shown
        assert "unix-user:zsync" in shown
