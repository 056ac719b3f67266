"""State that another version of rengo wrote: it is read, gets today's number, or is refused in words that say which
version to install; and nothing is changed by a refusal. The files are made by hand, from today's."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from aggregator import backup, registry_file, status, store
from aggregator.home import Home
from aggregator.planning import make_plan, read_plan
from aggregator.store import DATABASE, Store
from clients import home as member_home
from clients import journal
from clients.journal import Departure, Journal
from clients.journal_errors import JournalUnreadable
from federation import formats, load_plan
from federation.errors import ConfigInvalid
from federation.formats import WrittenByNewer, WrittenByOlder
from federation.plan import Plan
from federation.secagg.history import History
from tests.unit.test_coordinator_home import CHOSEN, roster

HERE = version("rengo")
PLAN = bytes(32)
Open = Callable[[Path], None]


def open_journal(folder: Path) -> None:
    Journal(folder / "state.sqlite").close()


def open_registry(folder: Path) -> None:
    registry_file.opened(folder / "state.sqlite").close()


def open_store(folder: Path) -> None:
    Store(folder, PLAN).close()


FILES = {
    "journal": (open_journal, "state.sqlite", journal.FORMAT),
    "registry": (open_registry, "state.sqlite", registry_file.FORMAT),
    "store": (open_store, DATABASE, store.FORMAT),
}
every_file = pytest.mark.parametrize(("opening", "name", "known"), FILES.values(), ids=FILES)


def format_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def write_format(path: Path, number: int) -> bytes:
    """The file as another version would have left it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={number}")
        database.execute("PRAGMA journal_mode=DELETE")
    return path.read_bytes()


@every_file
def test_a_new_file_has_the_number_of_the_release_that_brought_its_form(
    opening: Open, name: str, known: int, tmp_path: Path
) -> None:
    opening(tmp_path)
    assert format_of(tmp_path / name) == known
    assert formats.release(known) == "0.1.0"
    opening(tmp_path)


@every_file
def test_of_a_newer_version_is_refused_with_the_version_to_install(
    opening: Open, name: str, known: int, tmp_path: Path
) -> None:
    opening(tmp_path)
    before = write_format(tmp_path / name, 1203)
    with pytest.raises(WrittenByNewer) as caught:
        opening(tmp_path)
    assert caught.value.exit_code == 3
    for language in ("en", "ja"):
        assert all(part in caught.value.text(language) for part in (str(tmp_path / name), "0.12.3", HERE))
    assert (tmp_path / name).read_bytes() == before


@every_file
def test_of_an_older_version_is_refused_with_a_copy_first_and_the_version_that_wrote_it(
    opening: Open, name: str, known: int, tmp_path: Path
) -> None:
    opening(tmp_path)
    before = write_format(tmp_path / name, known - 1)
    with pytest.raises(WrittenByOlder, match="Copy the folder") as caught:
        opening(tmp_path)
    for language in ("en", "ja"):
        assert all(part in caught.value.text(language) for part in (str(tmp_path / name), "0.0.99", HERE))
    assert (tmp_path / name).read_bytes() == before


def test_a_journal_from_before_formats_had_numbers_goes_on_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with closing(Journal(path)) as made:
        made.commit(History((1, 1), (1, 1), 1, frozenset({b"a" * 32})), Departure("job", ("keys",), "h:1", 9, PLAN))
        sent = made.sent()
    write_format(path, 0)
    with closing(Journal(path)) as migrated:
        assert migrated.sent() == sent
        assert migrated.history("job").revealed_round == 1
    assert format_of(path) == journal.FORMAT


def test_a_journal_of_other_tables_gets_no_number(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE sent DROP COLUMN rounds")
    write_format(path, 0)
    with pytest.raises(JournalUnreadable):
        Journal(path)
    assert format_of(path) == 0


def test_a_registry_from_before_formats_had_numbers_keeps_its_members(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with closing(registry_file.opened(path)) as made:
        made.execute("INSERT INTO invitations VALUES ('toyo', '東洋', x'00', '2030', NULL)")
    write_format(path, 0)
    with closing(registry_file.opened(path)) as migrated:
        assert migrated.execute("SELECT id FROM invitations").fetchall() == [("toyo",)]
    assert format_of(path) == registry_file.FORMAT


def test_a_jobs_state_from_before_formats_had_numbers_is_refused_and_stays_in_backups(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create(CHOSEN)
    for name in backup._PUBLIC:
        home.key(name).write_bytes(b"public")
    registry_file.opened(home.registry).close()
    for job in ("old", "new"):
        Store(home.job(job), PLAN).close()
    write_format(home.job("old") / DATABASE, 0)
    with pytest.raises(WrittenByOlder, match=r"before 0\.1\.0"):
        Store(home.job("old"), PLAN)
    contents = backup.save(home, tmp_path / "backup", with_keys=False)
    assert contents.jobs == {"old": 0, "new": 0}
    restored = Home(tmp_path / "restored")
    backup.restore(tmp_path / "backup", restored)
    for folder in (home, restored):
        assert format_of(folder.job("old") / DATABASE) == 0
        assert format_of(folder.job("new") / DATABASE) == store.FORMAT


def test_a_backup_of_another_version_names_it(tmp_path: Path) -> None:
    (tmp_path / "contents.json").write_text(json.dumps({"rengo": "9.9.9", "more": 1}))
    with pytest.raises(backup.BackupOfAnotherVersion, match=r"Install rengo\s+9\.9\.9") as caught:
        backup.restore(tmp_path, Home(tmp_path / "home"))
    assert caught.value.exit_code == 3
    assert not (tmp_path / "home").exists()


def test_a_status_of_another_version_is_read_for_what_is_known_of_it(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    status.note_serving(path)
    known = status.read(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_tomorrow": 1}))
    assert status.read(path) == known


class TestPlans:
    """Plans travel and are kept as YAML; their settings are their form."""

    @pytest.fixture
    def plan(self) -> Plan:
        return make_plan(["job=溶接"], roster())[0]

    @staticmethod
    def before(text: str) -> str:
        """As the version before wrote it: without deadlines, quorum and the line about itself."""
        cut = text.index("deadlines:")
        return text[:cut].replace("  quorum: auto\n", "").partition("\n")[2]

    def test_say_which_version_wrote_them(self, plan: Plan) -> None:
        assert load_plan.to_yaml(plan).startswith(f"# Written by rengo {HERE}\n")

    def test_of_the_version_before_are_refused_with_what_they_lack(self, plan: Plan, tmp_path: Path) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text(self.before(load_plan.to_yaml(plan)), encoding="utf-8")
        with pytest.raises(ConfigInvalid) as caught:
            read_plan(path)
        assert caught.value.exit_code == 2
        for language in ("en", "ja"):
            told = caught.value.text(language)
            assert all(part in told for part in ("`secagg.quorum`", "`deadlines`", HERE, "rengo coordinator plan"))

    def test_of_a_newer_version_are_refused_with_its_name(self, plan: Plan) -> None:
        text = load_plan.to_yaml(plan).replace(f"rengo {HERE}", "rengo 9.9.9") + "tomorrow: 1\n"
        with pytest.raises(ConfigInvalid) as caught:
            load_plan.from_yaml(text, Plan)
        assert "(9.9.9; here is" in caught.value.text("en")
        assert "`tomorrow`" in caught.value.text("en")

    def test_with_other_faults_are_no_other_versions(self, plan: Plan) -> None:
        text = load_plan.to_yaml(replace(plan, rounds=0))
        with pytest.raises(ConfigInvalid) as caught:
            load_plan.from_yaml(text, Plan)
        assert "Another version" not in caught.value.text("en")

    def test_that_a_site_approved_before_an_upgrade_are_not_called_tampered_with(
        self, plan: Plan, tmp_path: Path
    ) -> None:
        home = member_home.Home(tmp_path)
        home.file("plan.yaml").write_text(self.before(load_plan.to_yaml(plan)), encoding="utf-8")
        with pytest.raises(ConfigInvalid, match="Another version"):
            home.plan()
        home.file("plan.yaml").write_text(load_plan.to_yaml(plan).replace("rounds: 12", "rounds: 0"), encoding="utf-8")
        with pytest.raises(member_home.ApprovedFileChanged):
            home.plan()
