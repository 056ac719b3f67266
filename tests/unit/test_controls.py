"""Controls: members whose text was made worthless to each other, and to whom it still is what it was."""

import json
from pathlib import Path

import numpy as np
import pytest

from aggregator.simulate.config import Control
from aggregator.simulate.controls import controlled
from aggregator.simulate.domains import DomainsInvalid, domains_of
from clients.dataset import IGNORED, Blocks, Corpus, Measure, pack

BOS, EOS, PAD, WORDS = 1, 2, 0, 40


class Letters:
    bos_id, eos_id, pad_id = BOS, EOS, PAD

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def blocks(seed: int, documents: int = 6) -> Blocks:
    draw = np.random.default_rng(seed)
    tokens = [[BOS, *draw.integers(3, WORDS, draw.integers(5, 30)).tolist(), EOS] for _ in range(documents)]
    return pack([np.array(each, dtype=np.int32) for each in tokens], 8, PAD)


def corpora() -> dict[str, Corpus]:
    return {
        name: Corpus(blocks(n), blocks(n + 10, 2), blocks(n + 20, 2), (Measure(1, 1),), 10, ())
        for n, name in enumerate("abc")
    }


def parts(corpus: Corpus) -> list[Blocks]:
    return [corpus.train, corpus.validation, corpus.test]


def sound(blocks: Blocks) -> bool:
    """Each position predicts the token of the next one, an end (whose block may be left out) or nothing."""
    ids, labels = blocks.ids.ravel(), blocks.labels.ravel()
    predicting = (labels != IGNORED) & (labels != EOS)
    return bool((labels[predicting] == np.roll(ids, -1)[predicting]).all())


@pytest.mark.parametrize("control", ["none", "shuffled", "unrelated"])
def test_places_of_documents_and_what_is_predicted_stay(control: Control) -> None:
    before, after = corpora(), controlled(corpora(), control, Letters())
    for name in before:
        for old, new in zip(parts(before[name]), parts(after[name]), strict=True):
            assert sound(old)
            assert sound(new)
            assert np.array_equal(old.positions, new.positions)
            assert np.array_equal(old.labels == IGNORED, new.labels == IGNORED)
            assert np.array_equal(old.labels == EOS, new.labels == EOS)
            for special in (BOS, EOS, PAD):
                assert np.array_equal(old.ids == special, new.ids == special)


def test_shuffled_members_train_on_their_own_tokens_in_another_order_and_are_tested_on_their_text() -> None:
    for old, new in zip(corpora().values(), controlled(corpora(), "shuffled", Letters()).values(), strict=True):
        assert not np.array_equal(old.train.ids, new.train.ids)
        assert sorted(old.train.ids.ravel()) == sorted(new.train.ids.ravel())
        assert np.array_equal(old.validation.ids, new.validation.ids)
        assert np.array_equal(old.test.ids, new.test.ids)


def test_unrelated_members_have_one_cipher_each_for_all_of_their_text() -> None:
    ciphers = []
    for old, new in zip(corpora().values(), controlled(corpora(), "unrelated", Letters()).values(), strict=True):
        pairs = {
            pair
            for was, now in zip(parts(old), parts(new), strict=True)
            for pair in zip(was.ids.ravel().tolist(), now.ids.ravel().tolist(), strict=True)
        }
        assert len({was for was, _ in pairs}) == len({now for _, now in pairs}) == len(pairs)
        ciphers.append({was: now for was, now in pairs if was not in (BOS, EOS, PAD)})
    alike = [token for token in ciphers[0] if token in ciphers[1] and ciphers[0][token] == ciphers[1][token]]
    assert len(alike) < len(ciphers[0]) / 4


def test_the_same_member_gets_the_same_text_each_time() -> None:
    for control in ("shuffled", "unrelated"):
        once, again = (controlled(corpora(), control, Letters()) for _ in range(2))
        assert all(np.array_equal(once[name].train.ids, again[name].train.ids) for name in once)


def test_without_a_file_each_member_is_a_domain(tmp_path: Path) -> None:
    assert domains_of(["a", "b"], None) == {"a": "a", "b": "b"}


def test_a_file_says_what_members_write_about(tmp_path: Path) -> None:
    (tmp_path / "domains.json").write_text(json.dumps({"a": "鋳造", "b": "鋳造", "c": "印刷"}))
    assert domains_of(["a", "b"], tmp_path / "domains.json") == {"a": "鋳造", "b": "鋳造"}


@pytest.mark.parametrize("text", [None, "", "[]", '{"a": "x"}'])
def test_a_file_that_leaves_a_member_out_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "domains.json").write_text(text)
    with pytest.raises(DomainsInvalid, match="domain"):
        domains_of(["a", "b"], tmp_path / "domains.json")
