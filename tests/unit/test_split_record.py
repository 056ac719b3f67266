"""What was held out once is never trained on later, and the other way round, whatever happens to a folder."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.dataset import Parts, parts_of
from clients.ingest import Document, Reading
from clients.similarity import sketch
from clients.splits import NOTHING_EARLIER, Earlier, families, split
from federation.errors import DataFolderInvalid
from federation.plan import Evaluation
from tests.unit.test_splits import HERE, LETTERS, revised, texts

SHARES = (0.2, 0.2)
EVALUATION = Evaluation(1, 64, 0.2, 0.2)


def after(parts: tuple[tuple[Document, ...], ...], before: Earlier = NOTHING_EARLIER) -> Earlier:
    """What a site remembers of a split, beside what it remembered."""
    every = [(document, number) for number, part in enumerate(parts) for document in part]
    places = {place: set(numbers) for place, numbers in before.places.items()}
    for document, number in every:
        places.setdefault(document.place, set()).add(number)
    used = {document.as_read.sha256: number for document, number in every}
    sketches = {document.as_read.sha256: sketch(document) for document, _ in every}
    return Earlier({**before.texts, **used}, places, {**before.sketches, **sketches})


def document(name: int, family: int, version: int) -> Document:
    """Versions of one family differ by their last tenth; families share nothing."""
    text = "".join(random.Random(family).choices(LETTERS, k=120))
    return Document(f"{name}.txt", text + "".join(random.Random(f"{family} {version}").choices(LETTERS, k=12)))


steps = st.lists(
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1),
    min_size=2,
    max_size=6,
)
"""Folders one after the other: file -> (family, version). Files come, go, change, and come back."""


class TestAnySequenceOfFolders:
    @settings(max_examples=60, deadline=None)
    @given(steps)
    def test_no_text_ever_changes_sides_and_no_new_one_is_trained_on_that_is_like_one_held_out(
        self, folders: list[dict[int, tuple[int, int]]]
    ) -> None:
        earlier = Earlier()
        held, trained = dict[str, Document](), dict[str, Document]()
        for folder in folders:
            documents = [document(name, *content) for name, content in folder.items()]
            try:
                train, *held_now = split(documents, SHARES, HERE, earlier)
            except DataFolderInvalid:
                continue  # too few documents: nobody trains
            taught = {each.text: each for each in train}
            measured = {each.text: each for part in held_now for each in part}
            assert not taught.keys() & held.keys()
            assert not measured.keys() & trained.keys()
            assert not taught.keys() & measured.keys()
            for new in taught.keys() - trained.keys():
                assert all(len(families([taught[new], other])) == 2 for other in held.values())
            for new in measured.keys() - held.keys():
                assert all(len(families([measured[new], other])) == 2 for other in trained.values())
            held |= measured
            trained |= taught
            earlier = after((train, *map(tuple, held_now)), earlier)

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 1000))
    def test_the_shares_stay_about_right_while_files_are_added(self, seed: int) -> None:
        documents, earlier = texts(40, seed), Earlier()
        for count in range(10, 41):
            parts = split(documents[:count], SHARES, HERE, earlier)
            earlier = after(parts, earlier)
            characters = [sum(len(each.text) for each in part) for part in parts]
            for actual, share in zip(characters[1:], SHARES, strict=True):
                assert abs(actual / sum(characters) - share) < 200 / sum(characters) + 0.01  # one document


class TestWhereANewTextGoes:
    def split_of(self, seed: int = 0) -> tuple[tuple[Document, ...], ...]:
        return split(texts(10, seed), SHARES, HERE)

    def test_nothing_earlier_changes_nothing(self) -> None:
        assert self.split_of() == split(texts(10), SHARES, HERE, Earlier())

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_revision_goes_where_its_original_is_even_if_that_is_gone(self, part: int) -> None:
        parts = self.split_of()
        original = parts[part][0]
        new = Document("elsewhere.txt", revised(original, 0.1).text)
        left = [each for each in texts(10) if each != original]
        assert new in split([*left, *texts(3, 5), new], SHARES, HERE, after(parts))[part]

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_file_that_was_written_anew_stays_what_it_was(self, part: int) -> None:
        parts = self.split_of()
        new = Document(parts[part][0].name, texts(1, 77)[0].text)
        left = [each for each in texts(10) if each != parts[part][0]]
        assert new in split([*left, new], SHARES, HERE, after(parts))[part]

    def test_one_that_is_like_both_is_set_aside_and_the_others_stay(self) -> None:
        parts = self.split_of()
        train, held = parts[0][0], parts[1][0]
        half = min(len(train.text), len(held.text))
        both = Document("both.txt", train.text[:half] + held.text[:half])
        earlier = after(parts)
        bridge = Earlier(earlier.texts, {"both.txt": {0, 1}}, earlier.sketches)
        found = parts_of(Reading((*texts(10), both), ()), EVALUATION, HERE, bridge)
        assert [each.name for each in found.set_aside] == ["both.txt"]
        assert found == Parts(parts[0], parts[2], parts[1], found.set_aside)

    def test_where_nothing_of_a_part_is_left_a_new_document_is_asked_for(self) -> None:
        parts = self.split_of()
        with pytest.raises(DataFolderInvalid, match="1 more new document"):
            split([*parts[0], *parts[2]], SHARES, HERE, after(parts))
        new = Document("new.txt", texts(1, 88)[0].text)
        assert split([*parts[0], *parts[2], new], SHARES, HERE, after(parts)) == (parts[0], (new,), parts[2])
