"""A small disk that is full: a member does not begin, a coordinator stops with its last round whole and goes on when
there is room."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.carriers.in_process import InProcess
from aggregator.rounds import run
from aggregator.store import Store
from federation.output import OutputNotWritable, disk_errors
from tests.e2e.sites import rengo
from tests.protocol.consortium import digest, make_consortium, undisturbed
from tests.unit.site import DOCUMENTS, consortium

pytestmark = [pytest.mark.e2e, pytest.mark.scenario(8)]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of its own at `folder`; skipped where this user may not mount one."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk of our own: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that leaves no byte."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as full:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while full.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return file


def test_a_member_on_a_full_disk_does_not_begin(tmp_path: Path) -> None:
    made = consortium(tmp_path)
    with small_disk(tmp_path / DOCUMENTS[0], 300):
        with made.listening():
            site = made.join(DOCUMENTS[0])
        fill(site.path)
        before = sorted(site.path.rglob("*"))
        done = rengo("member", "start", "--home", site.path)
        assert (done.code, done.facts["error"]) == (7, "disk-nearly-full"), done.err
        assert sorted(site.path.rglob("*")) == before


class Filling(InProcess):
    """Members in this process; the disk is filled at the first answer of an exchange."""

    def __init__(self, members: Mapping[str, Callable[[bytes], bytes]], at: Exchange, disk: Path) -> None:
        super().__init__(members)
        self._at, self._disk = at, disk

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for answer in super().exchange(exchange, requests):
            if exchange == self._at:
                fill(self._disk)
            yield answer


@pytest.mark.parametrize("exchange", [Exchange(1, "masked"), Exchange(1, "revealed"), Exchange(2, "masked")], ids=str)
def test_a_coordinator_whose_disk_is_full_in_a_round_goes_on_when_there_is_room(
    exchange: Exchange, tmp_path: Path
) -> None:
    expected = undisturbed(tmp_path / "undisturbed")
    made = make_consortium(tmp_path / "disturbed")
    disk = tmp_path / "disk"
    with small_disk(disk, 2):
        store = Store(disk / "job", made.plan.digest())
        with pytest.raises(OutputNotWritable) as caught, disk_errors(disk):
            run(made.job, Filling(made.handlers(), exchange, disk), store, made.events.append)
        store.close()
        assert caught.value.exit_code == 7
        assert "intact" in str(caught.value)
        (disk / "filler").unlink()
        store = Store(disk / "job", made.plan.digest())
        assert digest(run(made.job, InProcess(made.handlers()), store, made.events.append)) == expected
        store.close()
