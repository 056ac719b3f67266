"""The SuperLink's log: a line a record whatever is in it, and no more of it than so much."""

import logging
import os
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from aggregator.carriers.superlink_log import keep, one_line_each

FORGED = "x\nWARNING :  carrier: honest: sends an answer that is none\r\x1b[2J\u2028\u202e"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """What a logger writes that was there before, with a formatter of its own."""
    factory, stream = logging.getLogRecordFactory(), StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s : %(message)s"))
    logger = logging.getLogger("flwr.tests")
    logger.addHandler(handler)
    one_line_each()
    yield stream
    logging.setLogRecordFactory(factory)
    logger.removeHandler(handler)


def test_a_record_is_one_line_whatever_is_in_it(logged: StringIO) -> None:
    logging.getLogger("flwr.tests").error("no such hash: %s", FORGED)
    assert logged.getvalue().count("\n") == 1
    assert "\x1b" not in logged.getvalue()
    assert "\u2028" not in logged.getvalue()
    assert logged.getvalue().startswith("ERROR : no such hash: x\\nWARNING")


def test_a_long_record_is_cut(logged: StringIO) -> None:
    logging.getLogger("flwr.tests").error("no such type: %r", "\x80" * 100_000)
    assert len(logged.getvalue()) < 600


def test_no_line_of_an_exception_passes_for_a_record(logged: StringIO) -> None:
    try:
        raise ValueError(FORGED + "\n" * 500 + "A" * 60_000)
    except ValueError:
        logging.getLogger("flwr.tests").exception("failed")
    first, *others = logged.getvalue().splitlines()
    assert first == "ERROR : failed"
    assert len(others) <= 12
    assert all(line.startswith("    ") for line in others)
    assert len(logged.getvalue()) < 10_000


def written(path: Path, parts: list[bytes], most: int) -> None:
    """A process's output in these parts, kept."""
    reading, writing = os.pipe()
    keeping = threading.Thread(target=keep, args=(os.fdopen(reading, "rb"), path, most))
    keeping.start()
    with os.fdopen(writing, "wb", buffering=0) as output:
        for part in parts:
            output.write(part)
    keeping.join(10)
    assert not keeping.is_alive()


def test_all_of_an_output_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "superlink.log"
    written(log, [b"one\n"], 1000)
    written(log, [b"two\n"], 1000)
    assert log.read_bytes() == b"one\ntwo\n"


def test_a_flood_takes_so_much_of_the_disk_and_its_end_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "superlink.log"
    written(log, [b"%06d" % number + b"x" * 994 for number in range(2000)], 100_000)
    kept = (tmp_path / "superlink.log.1").read_bytes() + log.read_bytes()
    assert len(kept) <= 200_000
    assert kept.endswith(b"001999" + b"x" * 994)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_output_that_cannot_be_kept_is_read_all_the_same(tmp_path: Path) -> None:
    written(tmp_path / "no folder" / "superlink.log", [b"x" * 1000] * 200, 100_000)
