"""What is held out: whole documents, and no version of what is trained on."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.ingest import Document
from clients.splits import families, split
from federation.errors import DataFolderInvalid

HERE = Path("documents")
LETTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 800)]


def texts(count: int, seed: int = 0, shortest: int = 60, longest: int = 200) -> list[Document]:
    """Documents that share hardly any five characters in a row."""
    draw = random.Random(seed)
    return [
        Document(f"{i}.txt", "".join(draw.choices(LETTERS, k=draw.randrange(shortest, longest)))) for i in range(count)
    ]


def revised(document: Document, share: float, seed: int = 1) -> Document:
    """The document with the last `share` of it written anew."""
    draw = random.Random(seed)
    kept = round(len(document.text) * (1 - share))
    new = "".join(draw.choices(LETTERS, k=len(document.text) - kept))
    return Document(f"revised/{document.name}", document.text[:kept] + new)


class TestSplit:
    def test_does_not_depend_on_order_or_names(self) -> None:
        given_order = texts(40)
        shuffled = [Document(f"other/{document.name}", document.text) for document in given_order]
        random.Random(1).shuffle(shuffled)
        both = (split(documents, (0.2, 0.15), HERE) for documents in (given_order, shuffled))
        for one, other in zip(*both, strict=True):
            assert [document.text for document in one] == [document.text for document in other]

    @pytest.mark.parametrize("shares", [(0.05,), (0.2, 0.15), (0.45, 0.45)])
    def test_holds_out_about_the_shares_of_the_characters(self, shares: tuple[float, ...]) -> None:
        documents = texts(120)
        parts = split(documents, shares, HERE)
        characters = [sum(len(document.text) for document in part) for part in parts]
        for actual, share in zip(characters[1:], shares, strict=True):
            assert abs(actual / sum(characters) - share) < 0.02
        everything = sorted((d for part in parts for d in part), key=lambda d: d.name)
        assert everything == sorted(documents, key=lambda d: d.name)

    def test_a_document_larger_than_all_others_is_trained_on(self) -> None:
        large = texts(1, seed=99, shortest=9_000, longest=9_001)[0]
        for seed in range(5):
            train, test, validation = split([large, *texts(8, seed)], (0.1, 0.1), HERE)
            assert large in train
            assert test
            assert validation

    @given(st.integers(3, 9), st.sampled_from([(0.01, 0.01), (0.2, 0.15), (0.45, 0.45)]), st.integers(0, 50))
    def test_each_part_has_at_least_one(self, count: int, shares: tuple[float, float], seed: int) -> None:
        parts = split(texts(count, seed), shares, HERE)
        assert all(parts)
        assert sum(map(len, parts)) == count

    def test_too_few_documents_are_told_and_near_duplicates_do_not_count(self) -> None:
        one, other = texts(2, seed=4)
        with pytest.raises(DataFolderInvalid, match=r"2 different document\(s\).*at least 3 are needed") as caught:
            split([one, other, one, revised(other, 0.1)], (0.2, 0.15), HERE)
        assert "3 件以上必要" in caught.value.text("ja")


class TestFamilies:
    def test_a_revision_stays_with_its_original_and_strangers_stay_apart(self) -> None:
        documents = texts(60, seed=2)
        revisions = [revised(document, 0.15) for document in documents[:20]]
        found = families([*documents, *revisions])
        assert len(found) == 60
        together = {frozenset(d.text for d in family) for family in found if len(family) > 1}
        assert together == {frozenset((d.text, r.text)) for d, r in zip(documents, revisions, strict=False)}

    def test_a_chain_of_revisions_is_one_family_though_its_ends_differ(self) -> None:
        chain = texts(1, seed=3, shortest=400, longest=401)
        for step in range(4):
            chain.append(revised(Document("x", chain[-1].text[40:] + chain[-1].text[:40]), 0.1, seed=step))
        assert len(families([*chain, *texts(5)])) == 6

    def test_another_line_width_makes_no_other_document(self) -> None:
        document = texts(1, seed=5)[0]
        wrapped = "\n".join(document.text[i : i + 7] for i in range(0, len(document.text), 7))
        assert len(families([document, Document("wrapped", wrapped)])) == 1

    def test_no_version_of_a_tested_document_is_trained_on(self) -> None:
        documents = texts(30, seed=6)
        train, *held = split([*documents, *(revised(d, 0.1) for d in documents)], (0.2, 0.15), HERE)
        starts = {document.text[:40] for document in train}
        assert not any(document.text[:40] in starts for part in held for document in part)

    def test_texts_shorter_than_five_characters(self) -> None:
        assert len(families([Document("a", "短い"), Document("b", "別"), Document("c", "短い")])) == 2
