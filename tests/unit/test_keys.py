"""A private key stays in one file that only its owner can read."""

import os
from pathlib import Path

import pytest

from clients.keys import KeyFileInvalid, load_or_create


def test_a_key_comes_back_as_it_was_made_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        made = load_or_create(tmp_path / "keys" / "株式会社.key", "株式会社")
    finally:
        os.umask(before)
    assert load_or_create(tmp_path / "keys" / "株式会社.key", "株式会社").public_key == made.public_key
    assert (tmp_path / "keys" / "株式会社.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    one, other = (load_or_create(tmp_path / name, "m") for name in ("a.key", "b.key"))
    assert one.public_key != other.public_key


def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.key").write_bytes(b"short")
    with pytest.raises(KeyFileInvalid):
        load_or_create(tmp_path / "m.key", "m")
    assert (tmp_path / "m.key").read_bytes() == b"short"
