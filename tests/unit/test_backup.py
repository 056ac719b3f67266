"""`rengo coordinator backup|restore`: what is in a backup, for whom, and that it is whole or not there."""

import json
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregator import backup, cli
from aggregator.backup import PRIVATE_KEYS, BackupDamaged, HomeInUse, JobNotSaved, NoBackup
from aggregator.home import FileInTheWay, Home, KeyMissing
from aggregator.serving import open_registry
from aggregator.store import Checkpoint, Store
from federation.secagg.server import Step
from tests.unit.site import Consortium, call, consortium
from tests.unit.test_store import shelved

PLAN = bytes(range(32))


def checkpoint(round: int) -> Checkpoint:
    array = np.full((200, 50), round, np.float32)
    return Checkpoint(round, {"a": array}, np.full(7, round, "<u4"), 4, ("0x1p+0",), (), b"proof")


@pytest.fixture
def made(tmp_path: Path) -> Consortium:
    """A consortium with an open invitation and a paused job of two rounds."""
    made = consortium(tmp_path)
    made.invite("toyo-kikai")
    store = Store(made.home.job("溶接"), PLAN)
    for round in (1, 2):
        store.commit(checkpoint(round))
    store.keep([shelved(store, 3)])
    store.close()
    made.home.pause_mark("溶接").touch()
    return made


def files(folder: Path) -> dict[str, int]:
    """Every file and folder with its mode."""
    return {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_is_for_its_owner_alone_and_says_what_is_in_it(made: Consortium, tmp_path: Path) -> None:
    facts = call(cli.main, "backup", tmp_path / "saved", "--home", made.home.path)
    assert (facts["jobs"], facts["keys"]) == ({"溶接": 2}, False)
    modes = files(tmp_path / "saved")
    assert {mode for name, mode in modes.items() if (tmp_path / "saved" / name).is_file()} == {0o600}
    assert {mode for name, mode in modes.items() if (tmp_path / "saved" / name).is_dir()} == {0o700}
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o700
    contents = json.loads((tmp_path / "saved" / "contents.json").read_text("utf-8"))
    in_it = {name for name in modes if (tmp_path / "saved" / name).is_file()}
    assert set(contents["files"]) == in_it - {"contents.json"}
    assert {"coordinator.toml", "registry.sqlite", "jobs/溶接/paused", "keys/root.pub"} <= in_it
    assert not in_it & {f"keys/{name}" for name in PRIVATE_KEYS}


@pytest.mark.parametrize("with_keys", [False, True])
def test_private_keys_are_in_it_when_asked_for_and_the_roots_never(
    made: Consortium, tmp_path: Path, with_keys: bool
) -> None:
    secrets = [made.home.root_key.read_bytes(), *(made.home.key(name).read_bytes() for name in PRIVATE_KEYS)]
    backup.save(made.home, tmp_path / "saved", with_keys=with_keys)
    saved = [path.read_bytes() for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    found = [any(secret in data for data in saved) for secret in secrets]
    assert found == [False, *[with_keys] * 3]


def test_restored_it_is_the_same_coordinator(made: Consortium, tmp_path: Path) -> None:
    backup.save(made.home, tmp_path / "saved", with_keys=True)
    call(cli.main, "restore", tmp_path / "saved", "--home", tmp_path / "new")
    new = Home(tmp_path / "new")
    assert (new.settings(), new.identity().public_key) == (made.home.settings(), made.home.identity().public_key)
    assert new.pause_mark("溶接").exists()
    assert (new.path / "keys").is_dir()
    store = Store(new.job("溶接"), PLAN)
    latest, kept = store.latest(), store.kept(3, Step.SHARES)
    store.close()
    assert kept is not None
    assert len(kept.places) == 2
    assert latest is not None
    assert (latest.round, latest.total.tobytes()) == (2, checkpoint(2).total.tobytes())
    with made.registry() as before:
        after = open_registry(new)
        assert after.roster() == before.roster()
        # One that was used since the backup would let somebody in a second time.
        assert [invitation.id for invitation in before.open_invitations()] == ["toyo-kikai"]
        assert after.open_invitations() == []
        after.close()


def test_without_its_keys_it_says_which_to_put_in_place(
    made: Consortium, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup.save(made.home, tmp_path / "saved", with_keys=False)
    capsys.readouterr()
    cli.main(["restore", str(tmp_path / "saved"), "--home", str(tmp_path / "new")], "ja")
    assert "keys/coordinator.key, keys/authority.key, keys/tls.key" in capsys.readouterr().out
    new = Home(tmp_path / "new")
    with pytest.raises(KeyMissing):
        new.identity()
    for name in PRIVATE_KEYS:
        shutil.copy(made.home.key(name), new.key(name))
    assert new.identity().public_key == made.home.identity().public_key


def test_nothing_is_written_over(made: Consortium, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    with pytest.raises(FileInTheWay):
        backup.save(made.home, tmp_path / "saved", with_keys=False)
    backup.save(made.home, tmp_path / "saved-2", with_keys=False)
    before = files(made.home.path)
    with pytest.raises(HomeInUse) as caught:
        backup.restore(tmp_path / "saved-2", made.home)
    assert caught.value.exit_code == 2
    assert files(made.home.path) == before


def damage_round(home: Home) -> None:
    path = home.job("溶接") / "round-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def lose_round(home: Home) -> None:
    (home.job("溶接") / "round-00002.safetensors").unlink()


def damage_envelopes(home: Home) -> None:
    path = home.job("溶接") / "envelopes-00003.shelf"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def lose_envelopes(home: Home) -> None:
    (home.job("溶接") / "envelopes-00003.shelf").unlink()


@pytest.mark.parametrize("damage", [damage_round, lose_round, damage_envelopes, lose_envelopes])
def test_a_job_that_is_damaged_is_not_saved_and_nothing_is_left(
    made: Consortium, damage: Callable[[Home], None], tmp_path: Path
) -> None:
    damage(made.home)
    before = files(tmp_path)
    with pytest.raises(JobNotSaved) as caught:
        backup.save(made.home, tmp_path / "saved", with_keys=False)
    assert caught.value.exit_code == 10
    assert files(tmp_path) == before


def change(folder: Path) -> None:
    path = folder / "registry.sqlite"
    path.write_bytes(path.read_bytes() + b"\0")


def lose(folder: Path) -> None:
    (folder / "jobs" / "溶接" / "round-00002.safetensors").unlink()


def add(folder: Path) -> None:
    (folder / "keys" / "coordinator.key").write_bytes(bytes(32))


def point_outside(folder: Path) -> None:
    contents = json.loads((folder / "contents.json").read_text("utf-8"))
    contents["files"]["../coordinator/root.key"] = contents["files"].pop("keys/root.pub")
    (folder / "contents.json").write_text(json.dumps(contents), "utf-8")


@pytest.mark.parametrize("damage", [change, lose, add, point_outside])
def test_a_backup_that_is_not_what_was_saved_is_not_restored(
    made: Consortium, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    backup.save(made.home, tmp_path / "saved", with_keys=False)
    damage(tmp_path / "saved")
    before = files(tmp_path)
    with pytest.raises(BackupDamaged) as caught:
        backup.restore(tmp_path / "saved", Home(tmp_path / "new"))
    assert caught.value.exit_code == 10
    assert files(tmp_path) == before


def test_a_folder_that_is_no_backup_is_refused(made: Consortium, tmp_path: Path) -> None:
    for content in (None, "", "[]", '{"files": {}}'):
        if content is not None:
            (made.home.path / "contents.json").write_text(content)
        with pytest.raises(NoBackup):
            backup.restore(made.home.path, Home(tmp_path / "new"))


def test_backups_of_a_job_whose_rounds_go_on_are_each_whole(made: Consortium, tmp_path: Path) -> None:
    """A thread commits rounds without a pause: each adds a file and removes one that a copy may be reading."""
    stopping, last = threading.Event(), [2]

    def work() -> None:
        store = Store(made.home.job("溶接"), PLAN)
        while not stopping.is_set():
            store.commit(checkpoint(last[0] + 1))
            last[0] += 1
            stopping.wait(0.01)
        store.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        rounds = [backup.save(made.home, tmp_path / f"saved-{n}", with_keys=True).jobs["溶接"] for n in range(5)]
    finally:
        stopping.set()
        thread.join()
    assert rounds == sorted(rounds)
    assert 2 <= rounds[0] < rounds[-1] <= last[0]
    for n, round in enumerate(rounds):
        backup.restore(tmp_path / f"saved-{n}", Home(tmp_path / f"new-{n}"))
        store = Store(tmp_path / f"new-{n}" / "jobs" / "溶接", PLAN)
        assert (found := store.latest()) is not None
        store.close()
        assert found.round == round
        assert replace(found, adapter={}).total.tobytes() == checkpoint(round).total.tobytes()
