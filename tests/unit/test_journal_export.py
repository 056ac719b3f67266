"""What IT gets of the journal: a table and syslog lines that hold everything, and a check that names the row."""

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clients.cli import main as member
from clients.journal import Departure, Journal, Sent
from clients.journal_errors import JournalDamaged
from clients.journal_export import HeadNotInJournal, to_csv, to_syslog, verified
from federation.errors import Language
from federation.secagg.history import History

HISTORY = History((2, 5), (2, 4), 3, frozenset({bytes(32)}))
APP = "ab" * 32
LANGUAGES: tuple[Language, Language] = ("en", "ja")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A consent, two frames of a round, and a decision by another process between them."""
    path = tmp_path / "journal.sqlite"
    journal, other = Journal(path), Journal(path)
    journal.record(Departure("", ("consent",), "rengo.example.jp:8443", 300, b"c" * 32))
    journal.commit(
        HISTORY, Departure("溶接", ("masked",), "rengo.example.jp:8444", 4000, b"m" * 32, 5000, APP, rounds="4")
    )
    other.record(Departure("", ("decision",), "", 0, b"d" * 32, note='refused; "理由" ]'))
    journal.commit(
        HISTORY, Departure("溶接", ("agreed", "keys"), "rengo.example.jp:8444", 40, b"a" * 32, 50, APP, rounds="4 5")
    )
    journal.close()
    other.close()
    return path


def rows(path: Path) -> list[Sent]:
    journal = Journal(path)
    found = journal.sent()
    journal.close()
    return found


def test_a_running_member_and_a_persons_command_share_one_chain(path: Path) -> None:
    assert [row.kinds for row in rows(path)] == ["consent", "masked", "decision", "agreed keys"]
    assert [(row.size, row.received, row.app) for row in rows(path)][1] == (4000, 5000, APP)


def test_csv_opens_in_excel_and_holds_every_row_whole(path: Path) -> None:
    data = to_csv(rows(path), "ja")
    assert data.startswith(b"\xef\xbb\xbf\xe7\x95\xaa\xe5\x8f\xb7,")
    assert data.count(b"\r\n") == 5
    table = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["送信バイト"] for row in table] == ["300", "4000", "0", "40"]
    assert [row["学習回"] for row in table] == ["", "4", "", "4 5"]
    assert [row["受信バイト"] for row in table] == ["0", "5000", "0", "50"]
    assert table[1]["送信先"] == "rengo.example.jp:8444"
    assert table[1]["メッセージの SHA-256"] == (b"m" * 32).hex()
    assert table[1]["アプリの SHA-256"] == APP
    assert [row["連鎖値"] for row in table] == [row.chain.hex() for row in rows(path)]
    assert to_csv([], "en").decode("utf-8-sig").startswith("number,utc,local time,job,round,content,host:port,")


def test_local_time_is_that_of_this_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        table = list(csv.DictReader(io.StringIO(to_csv(rows(path), "en").decode("utf-8-sig"))))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(row["local time"].endswith("+09:00") and row["utc"].endswith("+00:00") for row in table)


@pytest.mark.parametrize("job", ["=1+1", "+cmd", "-2", "@SUM(A1)"])
def test_a_jobs_name_is_no_formula(job: str) -> None:
    row = Sent("2026-11-22T00:00:00.000+00:00", job, "keys", "h:1", 1, bytes(32), 0, "", "", "1", 1, bytes(32))
    table = list(csv.DictReader(io.StringIO(to_csv([row], "en").decode("utf-8-sig"))))
    assert table[0]["job"] == f"'{job}"


def test_syslog_lines_are_rfc_5424(path: Path) -> None:
    lines = to_syslog(rows(path), "en").decode().splitlines()
    header = re.compile(
        r"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 [!-~]{1,255} rengo-member \d+ journal \[.*\]"
    )
    element = re.compile(r'\[rengo@32473((?: \w+="(?:[^"\\\]]|\\["\\\]])*")*)\]$')
    for line in lines:
        assert header.fullmatch(line)
        assert element.search(line)
    assert 'job="溶接" round="4" content="masked" destination="rengo.example.jp:8444" out="4000" in="5000"' in lines[1]
    assert 'note="refused; \\"理由\\" \\]"' in lines[2]


def test_a_link_that_was_noted_shows_a_cut_at_the_end(path: Path) -> None:
    head = rows(path)[-1].chain.hex()
    assert verified(rows(path), path, head.upper())["rows"] == 4
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM sent WHERE number = 4")
    # The chain alone does not show it, but the link does.
    with pytest.raises(HeadNotInJournal) as caught:
        verified(rows(path), path, head)
    assert caught.value.exit_code == 10


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE jobs SET revealed_round = 1", 4),
        ("UPDATE jobs SET open = 0", 4),
        ("DELETE FROM jobs", 4),
        ("INSERT INTO jobs VALUES ('塗装', 1, 1, 0, 0, 0, 1)", 0),
        ("DELETE FROM spent", 4),
        ("INSERT INTO spent VALUES (zeroblob(31))", 4),
        ("UPDATE sent SET received = 1 WHERE number = 2", 2),
        ("UPDATE sent SET app = 'x' WHERE number = 2", 2),
        ("UPDATE sent SET note = '' WHERE number = 3", 3),
        ("UPDATE sent SET position = '0 0 0 0 0 0' WHERE number = 4", 4),
    ],
)
def test_a_change_to_positions_spent_adapters_or_rows_is_named(path: Path, statement: str, row: int) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(statement).rowcount == 1
    with pytest.raises(JournalDamaged, match=f"row {row} ") as caught:
        Journal(path)
    assert caught.value.exit_code == 10
    assert str(path) in str(caught.value)


def test_a_damaged_journal_is_exported_as_it_stands_and_ends_with_10(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE sent SET received = 1 WHERE number = 2")
    out = tmp_path / "evidence.csv"
    home = ["--home", str(path.parent)]
    with pytest.raises(JournalDamaged) as caught:
        member(["journal", "export", "--out", str(out), *home], "en")
    assert all("rengo member journal export" in caught.value.text(language) for language in LANGUAGES)
    table = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"))))
    assert [row["bytes in"] for row in table] == ["0", "1", "0", "50"]
    with pytest.raises(JournalDamaged):
        member(["journal", "verify", *home], "en")


def test_a_program_gets_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert member(["journal", "export", "--json", "--home", str(path.parent)], "ja") == 0
    exported = json.loads(capsys.readouterr().out)["rows"]
    assert [row["content"] for row in exported] == ["consent", "masked", "decision", "agreed keys"]
    assert [row["utc"] for row in exported] == [row.utc for row in rows(path)]


def test_closing_a_job_is_in_the_chain_and_cannot_be_taken_back(path: Path) -> None:
    journal = Journal(path)
    journal.close_job("溶接")
    journal.close()
    assert (rows(path)[-1].kinds, rows(path)[-1].note) == ("close", "溶接")
    with sqlite3.connect(path) as database:
        assert database.execute("DELETE FROM closed").rowcount == 1
    with pytest.raises(JournalDamaged, match="row 5 "):
        Journal(path)


def test_it_can_be_read_while_a_member_writes(path: Path) -> None:
    """The chain and the tables beside it are compared as of one moment."""
    stop = threading.Event()

    def write() -> None:
        journal = Journal(path)
        round = 5
        while not stop.is_set():
            round += 1
            spent = frozenset({bytes(32), round.to_bytes(32)})
            journal.commit(History((2, round), (2, round), 3, spent), Departure("溶接", ("keys",), "h:1", 1, bytes(32)))
        journal.close()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        while writing.is_alive() and len(rows(path)) < 15:
            pass
    finally:
        stop.set()
        writing.join()
    assert len(rows(path)) >= 15


def test_opening_it_again_does_not_drop_this_process_locks(path: Path) -> None:
    """Closing any descriptor of a database file drops its POSIX locks: another process could write in between."""
    first = Journal(path)
    first._db.execute("BEGIN IMMEDIATE")
    Journal(path).close()
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('BEGIN IMMEDIATE')"
    other = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "database is locked" in other.stderr
    first.close()
