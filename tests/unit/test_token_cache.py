"""Tokens on disk are the tokens that would be in memory, made once, and whole or not there."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from clients import dataset, token_cache
from clients.dataset import IGNORED, Source, corpus_of, laid, pack, packed, parts_of
from clients.ingest import read_documents
from clients.token_cache import TokenCache
from federation import plan
from tests.unit.site import MEMBERS
from tests.unit.test_dataset import PAD, Characters, documents, texts

EVALUATION = plan.Evaluation(1, 64, 0.15, 0.15)


@dataclass
class Counting(Characters):
    """Notes what it was asked for."""

    asked: list[str] = field(default_factory=list)

    def encode(self, text: str) -> list[int]:
        self.asked.append(text)
        return list(super().encode(text))


def test_blocks_are_to_the_bit_those_in_memory(tmp_path: Path) -> None:
    folder = MEMBERS / "akatombo-seiki"
    parts = parts_of(read_documents(folder), EVALUATION, folder)
    cache = TokenCache(tmp_path / "tokens", "t")
    given = Source("akatombo", folder), parts, Characters(), 64, EVALUATION
    expected = corpus_of(*given)
    for actual in (corpus_of(*given, cache.packed), corpus_of(*given, cache.packed)):  # made, then found
        for name in ("train", "validation", "test"):
            for array in ("ids", "positions", "labels"):
                one, other = getattr(getattr(expected, name), array), getattr(getattr(actual, name), array)
                assert one.dtype == other.dtype
                assert np.array_equal(one, other)
        assert (expected.test_texts, expected.documents) == (actual.test_texts, actual.documents)


def test_texts_are_tokenised_once_for_the_same_tokenizer_and_length(tmp_path: Path) -> None:
    tokenizer, some = Counting(), tuple(texts(5))
    for cache in (TokenCache(tmp_path, "t"), TokenCache(tmp_path, "t")):
        cache.packed(some, tokenizer, 16)
    assert len(tokenizer.asked) == 5
    for cache, length, given in (
        (TokenCache(tmp_path, "other"), 16, some),
        (TokenCache(tmp_path, "t"), 32, some),
        (TokenCache(tmp_path, "t"), 16, some[::-1]),
    ):
        tokenizer.asked.clear()
        cache.packed(given, tokenizer, length)
        assert len(tokenizer.asked) == 5


def test_what_is_not_used_any_more_is_removed_and_what_is_mapped_stays_readable(tmp_path: Path) -> None:
    before = TokenCache(tmp_path, "t")
    blocks, _ = before.packed(tuple(texts(3)), Characters(), 16)
    whole = blocks.ids.tolist()
    after = TokenCache(tmp_path, "t")
    after.packed(tuple(texts(4)), Characters(), 16)
    after.keep_only_used()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == list(after.used)
    assert blocks.ids.tolist() == whole


def test_writing_to_the_blocks_does_not_change_the_files(tmp_path: Path) -> None:
    blocks, _ = TokenCache(tmp_path, "t").packed(tuple(texts(3)), Characters(), 16)
    blocks.labels[:] = IGNORED
    again, _ = TokenCache(tmp_path, "t").packed(tuple(texts(3)), Characters(), 16)
    assert again.predicted > 0


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    os.umask(0o022)
    TokenCache(tmp_path / "tokens", "t").packed(tuple(texts(2)), Characters(), 16)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "tokens").rglob("*")} == {0}


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_counts(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from clients.token_cache import TokenCache;"
        "from tests.unit.test_dataset import Characters, texts;"
        "tokenizer = Characters(); encode = Characters.encode;"
        "die = lambda text: encode(tokenizer, text) if '文書4' not in text else os.kill(os.getpid(), signal.SIGKILL);"
        "tokenizer.encode = die; TokenCache(Path(sys.argv[1]), 't').packed(tuple(texts(9)), tokenizer, 16)"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == [".part"]
    cache = TokenCache(tmp_path, "t")
    blocks, sizes = cache.packed(tuple(texts(9)), Characters(), 16)
    expected, expected_sizes = packed(tuple(texts(9)), Characters(), 16)
    assert np.array_equal(blocks.ids, expected.ids)
    assert sizes.tolist() == expected_sizes.tolist()
    cache.keep_only_used()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("at_once", [1, 2, 1024])
def test_how_many_blocks_are_looked_at_at_once_changes_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = pack(documents(30, 20, 13), 16, PAD)
    expected = [blocks.first(tokens).labels.tolist() for tokens in range(1, 60)]
    monkeypatch.setattr(dataset, "_AT_ONCE", at_once)
    assert [blocks.first(tokens).labels.tolist() for tokens in range(1, 60)] == expected
    assert blocks.predicted == 60


def test_no_more_than_a_document_and_a_block_is_in_memory_while_packing() -> None:
    sizes = [len(blocks[0]) for blocks in laid(documents(3, 40, 1, 19), 8, PAD)]
    assert sizes == [0, 5, 0, 2, 1]


def test_an_empty_part_is_mapped_too(tmp_path: Path) -> None:
    blocks, sizes = token_cache.TokenCache(tmp_path, "t").packed((), Characters(), 16)
    assert (len(blocks), len(sizes), blocks.ids.shape) == (0, 0, (0, 16))
