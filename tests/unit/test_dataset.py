"""From a folder of text to token blocks."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.dataset import IGNORED, Source, joined, pack, read_corpus, tokenise
from clients.ingest import Document
from federation import plan
from federation.errors import TooLittleText
from tests.unit.test_splits import revised

PAD = 3


@dataclass
class Characters:
    """A tokenizer of code points above 100."""

    bos_id: int | None = 1
    eos_id: int = 2
    pad_id: int = PAD

    def encode(self, text: str) -> Sequence[int]:
        return [100 + ord(character) for character in text]


def documents(*sizes: int, start: int = 10) -> list[np.ndarray]:
    """Tokenised documents without two equal tokens among them."""
    ids = iter(range(start, start + sum(sizes)))
    return [np.array([next(ids) for _ in range(size)], dtype=np.int32) for size in sizes]


def texts(count: int, seed: int = 0) -> list[Document]:
    draw = random.Random(seed)
    letters = [chr(code) for code in range(0x3042, 0x3090)]
    return [
        Document(f"{i}.txt", f"文書{i}" + "".join(draw.choices(letters, k=draw.randrange(50, 200))))
        for i in range(count)
    ]


class TestPack:
    def test_one_example_written_out(self) -> None:
        blocks = pack(documents(3, 6), length=4, pad_id=PAD)
        assert blocks.ids.tolist() == [[10, 11, 12, 13], [14, 15, 16, 17]]
        assert blocks.positions.tolist() == [[0, 1, 2, 0], [0, 1, 2, 3]]
        # 13 predicts 14 across the cut; the last block would hold 18 alone, the document's end, and is left out.
        assert blocks.labels.tolist() == [[11, 12, IGNORED, 14], [15, 16, 17, 18]]

    def test_padding_is_a_run_of_its_own_and_predicts_nothing(self) -> None:
        blocks = pack(documents(3, 3), length=8, pad_id=PAD)
        assert blocks.ids.tolist() == [[10, 11, 12, 13, 14, 15, PAD, PAD]]
        assert blocks.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
        assert blocks.labels.tolist() == [[11, 12, IGNORED, 14, 15, IGNORED, IGNORED, IGNORED]]

    @given(st.lists(st.integers(2, 40), min_size=1, max_size=8), st.integers(8, 16))
    def test_every_token_but_a_documents_first_is_predicted_once_by_the_one_before(
        self, sizes: list[int], length: int
    ) -> None:
        given_documents = documents(*sizes)
        blocks = pack(given_documents, length, PAD)
        predicting = blocks.labels != IGNORED
        pairs = list(zip(blocks.ids[predicting].tolist(), blocks.labels[predicting].tolist(), strict=True))
        assert pairs == [(a, b) for d in given_documents for a, b in zip(d[:-1].tolist(), d[1:].tolist(), strict=True)]
        assert blocks.predicted == sum(sizes) - len(sizes)
        firsts = {int(document[0]) for document in given_documents} | {int(row[0]) for row in blocks.ids}
        zero = set(blocks.ids[(blocks.positions == 0) & (blocks.ids != PAD)].tolist())
        assert zero == firsts & set(blocks.ids.ravel().tolist())
        inside = np.diff(blocks.positions, axis=1)
        assert ((inside == 1) | (blocks.positions[:, 1:] == 0)).all()

    def test_begins_with_bos_if_there_is_one_and_ends_with_eos(self) -> None:
        text = [Document("a", "あい")]
        assert tokenise(text, Characters())[0].tolist() == [1, 100 + ord("あ"), 100 + ord("い"), 2]
        assert tokenise(text, Characters(bos_id=None))[0].tolist() == [100 + ord("あ"), 100 + ord("い"), 2]

    def test_nothing_packs_into_nothing(self) -> None:
        assert len(pack([], 8, PAD)) == 0


class TestFirst:
    @given(st.integers(1, 59))
    def test_exactly_that_many_from_the_front(self, tokens: int) -> None:
        blocks = pack(documents(30, 20, 13), 16, PAD)
        first = blocks.first(tokens)
        assert first.predicted == tokens
        labels = blocks.labels[blocks.labels != IGNORED]
        assert first.labels[first.labels != IGNORED].tolist() == labels[:tokens].tolist()
        assert (first.ids == blocks.ids[: len(first)]).all()
        assert (first.labels[-1] != IGNORED).any(), "no block is computed for nothing"

    def test_leaves_the_blocks_as_they_are(self) -> None:
        blocks = pack(documents(30), 16, PAD)
        blocks.first(3)
        assert blocks.predicted == 29

    def test_too_few(self) -> None:
        with pytest.raises(TooLittleText) as caught:
            pack(documents(30), 16, PAD).first(30)
        assert (caught.value.facts["actual"], caught.value.facts["needed"]) == (29, 30)


class TestRounds:
    BLOCKS = pack(documents(24 * 8), 8, PAD)

    def walk(self, rounds: int, count: int, seed: int | bytes = 7) -> list[int]:
        chosen = [self.BLOCKS.for_round(round, count, seed).ids[:, 0].tolist() for round in range(1, rounds + 1)]
        return [first for each in chosen for first in each]

    @pytest.mark.parametrize("count", [1, 5, 8, 24, 60])
    def test_each_epoch_takes_every_block_once(self, count: int) -> None:
        rounds = -(-24 * 3 // count)
        walk = self.walk(rounds, count)
        for epoch in range(3):
            assert len(set(walk[24 * epoch : 24 * (epoch + 1)])) == 24
        assert walk[:24] != walk[24:48], "each epoch has an order of its own"

    def test_the_size_of_rounds_does_not_change_the_walk(self) -> None:
        assert self.walk(8, 6) == self.walk(4, 12) == self.walk(1, 48)

    def test_seeds_give_other_walks_and_the_same_one_the_same(self) -> None:
        assert self.walk(2, 12, 1) == self.walk(2, 12, 1) != self.walk(2, 12, 2)
        assert self.walk(2, 12, b"a") != self.walk(2, 12, b"b")

    def test_the_order_is_fixed_for_ever(self) -> None:
        """Made by this function; another order would be another adapter for the same plan."""
        order = hashlib.shake_256(b"rengo blocks v1\0" + bytes(8) + b"7").digest(8 * 24)
        keys = [int.from_bytes(order[8 * i : 8 * i + 8], "little") for i in range(24)]
        expected = sorted(range(24), key=keys.__getitem__)
        assert [(first - 10) // 8 for first in self.walk(1, 24)] == expected

    def test_short_data_wraps_within_a_round(self) -> None:
        counts = Counter(self.BLOCKS.for_round(1, 60, 7).ids[:, 0].tolist())
        assert set(counts.values()) == {2, 3}

    def test_rounds_count_from_one(self) -> None:
        with pytest.raises(ValueError, match="from 1"):
            self.BLOCKS.for_round(0, 1, 7)


class TestCorpus:
    def folder(self, path: Path, count: int = 12) -> Source:
        for document in texts(count):
            (path / document.name).write_text(document.text, encoding="utf-8")
        (path / "notes.doc").write_bytes(b"x")
        return Source("akatombo", path)

    def test_is_whole(self, tmp_path: Path) -> None:
        corpus = read_corpus(self.folder(tmp_path), Characters(), 16, plan.Evaluation(1, 64, 0.15, 0.2))
        assert corpus.documents == 12
        assert [item.name for item in corpus.set_aside] == ["notes.doc"]
        parts = (corpus.train, corpus.validation, corpus.test)
        assert {part.source for part in parts} == {Source("akatombo", tmp_path)}
        predicted = sum(part.predicted for part in parts)
        assert predicted == sum(len(document.text) + 1 for document in texts(12))  # each character, and each end

    def test_the_measures_of_the_test_texts_are_those_of_its_blocks(self, tmp_path: Path) -> None:
        corpus = read_corpus(self.folder(tmp_path), Characters(), 16, plan.Evaluation(1, 64, 0.15, 0.3))
        assert len(corpus.test_texts) > 1
        assert sum(text.tokens for text in corpus.test_texts) == corpus.test.predicted
        assert all(text.tokens == text.characters + 1 for text in corpus.test_texts)
        # In the blocks' order: each document's last prediction is its end.
        labels = corpus.test.labels[corpus.test.labels != IGNORED]
        ends = np.flatnonzero(labels == Characters.eos_id) + 1
        assert ends.tolist() == np.cumsum([text.tokens for text in corpus.test_texts]).tolist()
        assert corpus.tokens_per_character == corpus.test.predicted / sum(text.characters for text in corpus.test_texts)

    def test_versions_of_one_document_are_one_test_text(self, tmp_path: Path) -> None:
        source = self.folder(tmp_path, 6)
        for document in texts(6):
            (tmp_path / f"new-{document.name}").write_text(revised(document, 0.15).text, encoding="utf-8")
        corpus = read_corpus(source, Characters(), 16, plan.Evaluation(1, 16, 0.15, 0.3))
        assert corpus.documents == 12
        assert sum(text.tokens for text in corpus.test_texts) == corpus.test.predicted
        assert all(text.tokens == text.characters + 2 for text in corpus.test_texts)  # two ends each

    def test_too_little_to_validate_with_is_found_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(TooLittleText) as caught:
            read_corpus(self.folder(tmp_path), Characters(), 16, plan.Evaluation(1, 10_000, 0.15, 0.2))
        assert "Member akatombo has too little text" in str(caught.value)
        assert str(tmp_path) in str(caught.value)


def test_joined_blocks_are_the_parts_one_after_the_other() -> None:
    one, other = pack(documents(9), length=4, pad_id=PAD), pack(documents(6, start=50), length=4, pad_id=PAD)
    whole = joined([one, other])
    assert len(whole) == len(one) + len(other)
    assert whole.ids.tolist() == one.ids.tolist() + other.ids.tolist()
    assert whole.predicted == one.predicted + other.predicted
