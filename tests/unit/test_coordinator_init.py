"""`rengo coordinator init` refuses what no later command could use, before it writes anything."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aggregator.home import Home
from federation.main import main

URL = "https://127.0.0.1:21460"


@pytest.mark.parametrize(
    "words",
    [
        ("name", "--url", "https://127.0.0.1:99999"),
        ("name", "--url", "https://127.0.0.1:0"),
        ("name", "--url", "https://127.0.0.1:port"),
        ("name", "--url", "https://127.0.0.1:65535"),
        ("name", "--url", "http://127.0.0.1:21460"),
        ("name", "--url", f"{URL}/rengo"),
        ("name", "--url", "https://user@127.0.0.1"),
        ("name", "--url", URL, "--carrier", "rengo.example.jp"),
        ("name", "--url", URL, "--carrier", "rengo.example.jp:70000"),
        ("name", "--url", URL, "--carrier", "127.0.0.1:21460"),
        ("name", "--url", "https://127.0.0.1", "--carrier", "carrier.example.jp:443"),
        ("", "--url", URL),
        ("name", "--url", URL, "--wait", "-1"),
        ("name", "--url", URL, "--listen", "xyz"),
        ("name", "--url", URL, "--listen", "127.0.0.1:99999"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_and_leaves_no_folder(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "coordinator"
    assert main(["coordinator", "init", "--home", str(home), *words]) == 2
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "url", "carrier", "ports"),
    [
        (["https://rengo.example.jp"], "https://rengo.example.jp", "rengo.example.jp:444", (443, 444)),
        (["https://rengo.example.jp/"], "https://rengo.example.jp", "rengo.example.jp:444", (443, 444)),
        (["https://[2001:db8::1]:8443"], "https://[2001:db8::1]:8443", "[2001:db8::1]:8444", (8443, 8444)),
        (["https://h:65535", "--carrier", "h:8444"], "https://h:65535", "h:8444", (65535, 8444)),
    ],
)
def test_both_ports_are_said_also_when_the_url_names_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], url: str, carrier: str, ports: tuple[int, int]
) -> None:
    home = tmp_path / "coordinator"
    assert main(["coordinator", "init", "name", "--url", *words, "--home", str(home)]) == 0
    settings = Home(home).settings()
    assert (settings.url, settings.carrier) == (url, carrier)
    assert (settings.registry_port, settings.carrier_port) == ports
    said = capsys.readouterr().out
    assert f"port {ports[0]} (registry) and {ports[1]} (carrier)" in said
    assert ("CAP_NET_BIND_SERVICE" in said) == (min(ports) < 1024)


def test_files_in_the_way_are_named_before_anything_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, there = tmp_path / "coordinator", tmp_path / "there"
    there.write_text("kept")
    made = ["--home", str(home)]
    assert main(["coordinator", "init", "name", "--url", URL, "--root-key", str(there), *made]) == 2
    assert not home.exists()
    assert main(["coordinator", "init", "name", "--url", URL, *made]) == 0
    assert main(["coordinator", "invite", "toyo-kikai", "--out", str(there), *made]) == 2
    assert main(["coordinator", "roster", "--out", str(there), *made]) == 2
    assert str(there) in capsys.readouterr().err
    assert there.read_text() == "kept"
    with closing(sqlite3.connect(home / "registry.sqlite")) as registry:
        assert registry.execute("SELECT count(*) FROM invitations").fetchone() == (0,)


@pytest.mark.parametrize("expires", ["0m", "0d", "0000h", "d", "-1d", "7"])
def test_no_token_is_made_that_is_born_expired(expires: str, tmp_path: Path) -> None:
    made = ["--home", str(tmp_path / "coordinator")]
    assert main(["coordinator", "init", "name", "--url", URL, *made]) == 0
    assert main(["coordinator", "invite", "toyo-kikai", f"--expires={expires}", *made]) == 2
    with closing(sqlite3.connect(tmp_path / "coordinator" / "registry.sqlite")) as registry:
        assert registry.execute("SELECT count(*) FROM invitations").fetchone() == (0,)


def test_a_roster_that_is_not_there_is_a_mistake_and_no_forgery(tmp_path: Path) -> None:
    key = tmp_path / "root.key"
    key.write_bytes(bytes(32))
    words = ["root", "sign", str(tmp_path / "roster"), "--key", str(key), "--out", str(tmp_path / "signed"), "--yes"]
    assert main(words) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("members",),
        ("revoke", "a"),
        ("roster",),
        ("roster", "--out", "a"),
        ("plan", "job=x"),
        ("invite", "a"),
        ("start",),
        ("status",),
        ("stop",),
    ],
)
@pytest.mark.parametrize("home", ["nothing", "file", "file/x"])
def test_where_there_is_no_coordinator_every_command_says_so(
    tmp_path: Path, home: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["coordinator", *words, "--home", str(tmp_path / home)]) == 9
    assert "[no-coordinator-here]" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["file", "file/x", "/proc/x"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, home: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["coordinator", "init", "name", "--url", URL, "--home", str(tmp_path / home)]) == 7
    assert "[output-not-writable]" in capsys.readouterr().err


def test_what_cannot_be_written_leaves_nothing_half_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, nowhere = tmp_path / "coordinator", tmp_path / "nowhere" / "file"
    init = ["coordinator", "init", "name", "--url", URL, "--home", str(home)]
    assert main([*init, "--root-key", str(nowhere)]) == 7
    assert "there is no such folder" in capsys.readouterr().err
    assert not home.exists()
    assert main(init) == 0
    assert main(["coordinator", "invite", "a", "--home", str(home), "--out", str(nowhere)]) == 7
    with closing(sqlite3.connect(home / "registry.sqlite")) as registry:
        assert registry.execute("SELECT count(*) FROM invitations").fetchone() == (0,)
    assert main(["coordinator", "roster", "--home", str(home), "--out", str(nowhere)]) == 7
    assert main(["coordinator", "roster", "--home", str(home), "--out", str(tmp_path / "r")]) == 0
    sign = ["root", "sign", str(tmp_path / "r"), "--key", str(home / "root.key"), "--yes"]
    assert main([*sign, "--out", str(nowhere)]) == 7


def test_a_damaged_registry_and_settings_in_another_encoding_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["coordinator", "init", "name", "--url", URL, "--home", str(tmp_path / "c")]) == 0
    (tmp_path / "c" / "registry.sqlite").write_bytes(bytes(range(256)) * 64)
    assert main(["coordinator", "members", "--home", str(tmp_path / "c")]) == 10
    assert "[store-unreadable]" in capsys.readouterr().err
    settings = tmp_path / "c" / "coordinator.toml"
    settings.write_bytes(settings.read_text().replace('"name"', '"名古屋"').encode("cp932"))
    assert main(["coordinator", "members", "--home", str(tmp_path / "c"), "--lang", "ja"]) == 2
    assert "UTF-8 で保存されていません" in capsys.readouterr().err
