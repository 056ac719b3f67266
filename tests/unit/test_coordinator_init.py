"""`rengo coordinator init` refuses what no later command could use, before it writes anything."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from federation.main import main

URL = "https://127.0.0.1:21460"


@pytest.mark.parametrize(
    "words",
    [
        ("name", "--url", "https://127.0.0.1:99999"),
        ("name", "--url", "https://127.0.0.1:0"),
        ("name", "--url", "https://127.0.0.1:port"),
        ("name", "--url", "https://127.0.0.1:65535"),
        ("", "--url", URL),
        ("name", "--url", URL, "--deadline", "-5"),
        ("name", "--url", URL, "--wait", "-1"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_and_leaves_no_folder(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "coordinator"
    assert main(["coordinator", "init", "--home", str(home), *words]) == 2
    assert not home.exists()


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


def test_a_roster_that_is_not_there_is_a_mistake_and_no_forgery(tmp_path: Path) -> None:
    key = tmp_path / "root.key"
    key.write_bytes(bytes(32))
    words = ["root", "sign", str(tmp_path / "roster"), "--key", str(key), "--out", str(tmp_path / "signed"), "--yes"]
    assert main(words) == 2
