"""Shelves: what was put comes back from its place, and a disk that is full takes nothing of what is there."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.shelf import ShelfFile
from federation.secagg.shelf import InMemory, Shelf


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "envelopes-00001.shelf"


@pytest.fixture
def file(path: Path) -> Iterator[ShelfFile]:
    file = ShelfFile(path)
    yield file
    file.close()


@pytest.fixture(params=["file", "memory"])
def shelf(request: pytest.FixtureRequest, file: ShelfFile) -> Shelf:
    return file if request.param == "file" else InMemory()


def test_everything_comes_back_from_its_place(shelf: Shelf) -> None:
    given = [b"", b"one", memoryview(b"of two")[3:], bytes(100_000), b"last"]
    places = [shelf.put(data) for data in given]
    assert [shelf.read(at, at + len(data)) for at, data in zip(places, given, strict=True)] == given
    assert shelf.read(places[1] + 1, places[1] + 5) == b"netw"


def test_nothing_is_read_behind_the_end(shelf: Shelf) -> None:
    place = shelf.put(b"short")
    assert shelf.read(place, place + 100) == b"short"
    assert shelf.read(place + 5, place + 6) == b""


def test_a_file_that_is_opened_again_is_gone_on_with(file: ShelfFile, path: Path) -> None:
    first = file.put(b"first")
    file.sync()
    again = ShelfFile(path)
    second = again.put(b"second")
    assert (again.read(first, first + 5), again.read(second, second + 6)) == (b"first", b"second")
    again.close()


def test_a_file_is_for_its_owner_alone(file: ShelfFile, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_is_full_is_named_and_takes_nothing_of_what_is_there(file: ShelfFile, path: Path) -> None:
    first = file.put(b"a" * 60)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            file.put(b"b" * 60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.stat().st_size == 100  # some of it was written
    second = file.put(b"c" * 60)
    assert second == first + 60
    assert file.read(first, second + 60) == b"a" * 60 + b"c" * 60
