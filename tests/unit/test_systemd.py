"""`rengo member service print systemd`: what the units promise, and that systemd itself accepts them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clients import systemd
from clients.home import Settings
from clients.ingest import FolderUnreachable
from federation.errors import DataFolderInvalid

ROOT = Path(__file__).resolve().parents[2]
SITE = systemd.Site(
    Settings("toyo-kikai", "https://rengo.example.jp:8443", "/srv/社内 文書", "/srv/models/base"),
    Path("/var/lib/rengo/member"),
    Path("/opt/rengo/bin"),
    9094,
)
SERVICES = ("rengo-member.service", "rengo-node.service", "rengo-app.service", "rengo-app-door.service")
Directives = dict[str, list[str]]


def parsed(unit: str) -> dict[str, Directives]:
    """Section -> directive -> values, as systemd reads a unit file."""
    sections: dict[str, Directives] = {}
    current: Directives = {}
    for line in re.sub(r"\\\n\s*", "", unit).splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            current = sections.setdefault(header[1], {})
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            current.setdefault(name, []).append(value)
    return sections


@pytest.fixture(scope="module")
def units() -> dict[str, dict[str, Directives]]:
    return {name: parsed(unit) for name, unit in systemd.units(SITE).items()}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_gives_up_privileges_and_sees_a_read_only_system(
    units: dict[str, dict[str, Directives]], name: str
) -> None:
    service = units[name]["Service"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["ProtectHome"] == ["yes"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["LimitCORE"] == ["0"]
    assert service["UMask"] == ["0077"]
    assert service["SystemCallFilter"][0] == "@system-service"
    assert service.get("User", ["(made by DynamicUser)"]) != ["root"]
    assert "User" in service or service["DynamicUser"] == ["yes"]


def test_the_member_reads_documents_and_model_and_has_no_network(units: dict[str, dict[str, Directives]]) -> None:
    service = units["rengo-member.service"]["Service"]
    assert service["ReadOnlyPaths"] == ['-"/srv/社内 文書" "/srv/models/base"']
    assert service["ReadWritePaths"] == ['"/var/lib/rengo/member"']
    assert service["PrivateNetwork"] == ["yes"]
    assert service["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert service["IPAddressDeny"] == ["any"]


def test_a_member_whose_share_is_away_is_started_again_until_it_is_there(
    units: dict[str, dict[str, Directives]],
) -> None:
    """A mount that fails is no dependency that fails, and exit code 8 is no reason to give up."""
    unit, service = units["rengo-member.service"]["Unit"], units["rengo-member.service"]["Service"]
    assert unit["RequiresMountsFor"] == ['"/var/lib/rengo/member" "/srv/models/base"']
    assert unit["After"] == ["remote-fs.target"]
    assert service["Restart"] == ["on-failure"]
    assert str(FolderUnreachable.exit_code) not in service["RestartPreventExitStatus"][0].split()
    assert str(DataFolderInvalid.exit_code) not in service["RestartPreventExitStatus"][0].split()


def test_the_node_gets_its_own_key_and_not_the_members(units: dict[str, dict[str, Directives]]) -> None:
    service = units["rengo-node.service"]["Service"]
    loaded = {value.partition(":")[0] for value in service["LoadCredential"]}
    assert loaded == {"node.key", "ca.pem", "carrier"}
    assert service["User"] == ["rengo-relay"]
    assert "member.key" not in systemd.units(SITE)["rengo-node.service"]


def test_the_app_shares_a_network_with_one_port_and_nothing_else(units: dict[str, dict[str, Directives]]) -> None:
    app, socket = units["rengo-app.service"], units["rengo-app.socket"]
    assert app["Service"]["PrivateNetwork"] == socket["Socket"]["PrivateNetwork"] == ["yes"]
    assert app["Unit"]["JoinsNamespaceOf"] == app["Unit"]["Requires"] == ["rengo-app.socket"]
    assert socket["Socket"]["ListenStream"] == ["127.0.0.1:9094"]
    assert app["Service"]["IPAddressDeny"] == ["any"]
    assert app["Service"]["IPAddressAllow"] == ["localhost"]
    assert app["Service"]["DynamicUser"] == ["yes"]
    assert "EnvironmentFile" not in app["Service"]  # the proxy's password is not for it


def test_every_directive_is_explained(units: dict[str, dict[str, Directives]]) -> None:
    explained = (ROOT / "docs" / "deploy" / "systemd.md").read_text(encoding="utf-8")
    named = {directive for unit in units.values() for section in unit.values() for directive in section}
    obvious = {"Description", "Type", "WantedBy", "After", "Wants", "Service"}
    assert [name for name in sorted(named - obvious) if f"`{name}" not in explained] == []


@pytest.mark.parametrize("bad", ["/srv/a\nUser=root", '/srv/a"b', "/home/sato/manuals", "/root/manuals", "/srv/$HOME"])
def test_a_folder_that_a_unit_cannot_use_is_refused(bad: str) -> None:
    with pytest.raises(systemd.PathNotForUnits):
        systemd.quoted(Path(bad))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for name, unit in systemd.units(SITE).items():
        # It checks that programs are there, and these are not installed here.
        runnable = re.sub(r'^ExecStart=(?:"[^"]*"|\S+)', "ExecStart=/bin/true", unit, flags=re.M)
        (tmp_path / name).write_text(runnable, encoding="utf-8")
    names = [str(tmp_path / name) for name in systemd.units(SITE)]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True)
    about_ours = [line for line in done.stderr.splitlines() if "rengo-" in line]
    assert about_ours == []
    assert done.returncode == 0
