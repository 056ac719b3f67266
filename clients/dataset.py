"""A site's folder of text -> token blocks of one length, to train on and to evaluate on. numpy only.

What is in the folder, `clients.ingest` reads. A file that cannot be used is set aside with a reason: none stops a site.

Labels are aligned: `labels[b, t]` is the token that position t of block b predicts, `IGNORED` where it predicts
nothing. Nothing downstream shifts them again. Every token of a document but its first is predicted exactly once.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from clients.ingest import Document, Documents, Reading, SetAside
from clients.ingest.parser import Parser
from clients.ingest.personal.settings import OFF, PersonalSettings
from clients.ingest.preparing import prepared_documents
from clients.splits import NOTHING_EARLIER, Earlier, families, split
from federation import plan
from federation.errors import TooLittleText

USES = ("train", "test", "validation")
"""What documents are used for, in the order in which `splits` numbers its parts."""
IGNORED = -100  # torch's cross_entropy skips it by default
_AT_ONCE = 1024  # blocks in memory

Ids = NDArray[np.int32]


class Tokenizer(Protocol):
    """Text to token ids. `encode` adds no special tokens, nor does it read any out of the text."""

    bos_id: int | None
    eos_id: int
    pad_id: int

    def encode(self, text: str) -> Sequence[int]: ...


@dataclass(frozen=True)
class Source:
    """Whose text it is and where it came from: what an error tells a person."""

    member: str
    folder: Path

    def too_little(self, what: str, actual: int, needed: int, setting: str) -> TooLittleText:
        """The error about this text, for the caller to raise."""
        facts = {"member": self.member, "path": self.folder, "setting": setting}
        return TooLittleText(**facts, what=what, actual=actual, needed=needed)


@dataclass(frozen=True, eq=False)
class Blocks:
    """n blocks of L positions: `ids`, `positions` and `labels` are int32 arrays (n, L), see the module's top.

    `positions` restart at 0 wherever a document, or a document's continuation in a new block, begins. The model
    reads the boundaries between documents from these restarts and from nothing else.
    """

    ids: Ids
    positions: Ids
    labels: Ids
    source: Source = Source("?", Path("?"))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: slice | NDArray[np.int64]) -> Self:
        return replace(self, ids=self.ids[index], positions=self.positions[index], labels=self.labels[index])

    @property
    def predicted(self) -> int:
        """How many tokens are predicted in all."""
        return sum(int(np.count_nonzero(predicting)) for predicting in self._predicting())

    def first(self, tokens: int) -> Self:
        """As many leading blocks as predict `tokens` tokens, exactly: surplus labels of the last are masked.

        Raises TooLittleText if there are fewer; blocks are never used twice.
        """
        length, found, before = self.ids.shape[1], 0, 0
        for predicting in self._predicting():
            running = found + np.cumsum(predicting)
            if running[-1] >= tokens:
                end = before + int(np.searchsorted(running, tokens)) + 1  # position of the last wanted label, plus one
                chosen = self[: -(-end // length)]
                labels = chosen.labels.copy()
                labels.ravel()[end:] = IGNORED
                return replace(chosen, labels=labels)
            found, before = int(running[-1]), before + len(predicting)
        raise self.source.too_little("held-out", found, tokens, "evaluation.tokens")

    def _predicting(self) -> Iterator[NDArray[np.bool_]]:
        """For each position in turn whether it predicts something: of some blocks at a time, since all may not fit."""
        for start in range(0, len(self), _AT_ONCE):
            yield self.labels[start : start + _AT_ONCE].ravel() != IGNORED

    def for_round(self, round: int, count: int, seed: int | bytes) -> Self:
        """The `count` blocks that a member trains on in `round` (from 1), in order.

        The blocks are walked in one permutation an epoch, and rounds follow each other along that walk: none comes
        twice before all have come once, and a member short of text starts over within a round. `seed` tells members
        and jobs apart. The permutations are sorted SHAKE-256 output and thus the same under any numpy.
        """
        if not len(self) or round < 1:
            raise ValueError(f"no blocks for round {round}: there are {len(self)}, and rounds count from 1")
        steps = np.arange((round - 1) * count, round * count)
        epochs, offsets = np.divmod(steps, len(self))
        key = seed if isinstance(seed, bytes) else str(seed).encode()
        orders = {int(epoch): _permutation(len(self), key, int(epoch)) for epoch in np.unique(epochs)}
        return self[np.array([orders[int(e)][o] for e, o in zip(epochs, offsets, strict=True)], dtype=np.int64)]


def joined(parts: Sequence[Blocks]) -> Blocks:
    """The blocks of all parts, one after the other."""
    ids, positions, labels = ([getattr(part, name) for part in parts] for name in ("ids", "positions", "labels"))
    return Blocks(np.concatenate(ids), np.concatenate(positions), np.concatenate(labels))


@dataclass(frozen=True)
class Measure:
    """A text's length in both units: the tokens that are predicted in it, ends included, and its characters."""

    tokens: int
    characters: int


@dataclass(frozen=True, eq=False)
class Corpus:
    """A member's text as blocks. What is not trained on has two purposes: `validation` decides (which round, which
    learning rate), `test` is looked at once, at the end. `test_texts` are what `test` consists of, in its order:
    documents, each with its near-duplicates, since versions of one document are no independent evidence."""

    train: Blocks
    validation: Blocks
    test: Blocks
    test_texts: tuple[Measure, ...]
    documents: int
    set_aside: tuple[SetAside, ...]

    @property
    def tokens_per_character(self) -> float:
        """Predicted tokens (ends of documents included) a character of the test text."""
        return self.test.predicted / sum(text.characters for text in self.test_texts)


@dataclass(frozen=True)
class Parts:
    """A folder's documents by purpose, and the files that were not used."""

    train: Documents
    validation: Documents
    test: Documents
    set_aside: tuple[SetAside, ...]


def read_parts(
    folder: Path,
    evaluation: plan.Evaluation,
    parser: Parser | None = None,
    permitted: Collection[str] = (),
    personal: PersonalSettings = OFF,
) -> Parts:
    """A member's documents, split; `parser`, `permitted` and `personal` as in `prepared_documents`.

    Raises DataFolderInvalid: no folder, nothing readable, or too few documents.
    """
    return parts_of(prepared_documents(folder, parser, permitted, personal).reading, evaluation, folder)


def parts_of(reading: Reading, evaluation: plan.Evaluation, folder: Path, earlier: Earlier = NOTHING_EARLIER) -> Parts:
    """What was read, split; `earlier` as in `splits.split`, its parts numbered as in `USES`. Raises DataFolderInvalid
    (about `folder`) for too few documents."""
    shares = (evaluation.test_share, evaluation.validation_share)
    train, test, validation = split(reading.documents, shares, folder, earlier)
    dealt = {document.digest for document in (*train, *test, *validation)}
    torn = [_torn(document) for document in reading.documents if document.digest not in dealt]
    set_aside = sorted((*reading.set_aside, *torn), key=lambda each: each.name) if torn else reading.set_aside
    return Parts(train, validation, test, tuple(set_aside))


def _torn(document: Document) -> SetAside:
    en = "new, and like a document that was trained on and like one that was held out (or with rows of both)"
    ja = "新しい文書ですが、学習に使った文書と評価用に分けた文書の両方に似ています（または両方と同じ行があります）"
    return SetAside(document.name, en, ja, document.marks, document.file)


class Packing(Protocol):
    """How documents become blocks of `length`: (the blocks, how many tokens each document has)."""

    def __call__(self, documents: Documents, tokenizer: Tokenizer, length: int) -> tuple[Blocks, Ids]: ...


def packed(documents: Documents, tokenizer: Tokenizer, length: int) -> tuple[Blocks, Ids]:
    """Packing in memory."""
    tokens = tokenise(documents, tokenizer)
    return pack(tokens, length, tokenizer.pad_id), np.array([len(ids) for ids in tokens], dtype=np.int32)


def corpus_of(
    source: Source,
    parts: Parts,
    tokenizer: Tokenizer,
    length: int,
    evaluation: plan.Evaluation,
    packing: Packing = packed,
) -> Corpus:
    """Blocks of `length` tokens. Raises TooLittleText: nothing to train on, or fewer tokens to validate with than one
    evaluation takes."""
    groups = families(parts.test)
    test_documents = tuple(document for group in groups for document in group)
    (train, _), (validation, _), (test, sizes) = (
        packing(documents, tokenizer, length) for documents in (parts.train, parts.validation, test_documents)
    )
    train, validation, test = (replace(blocks, source=source) for blocks in (train, validation, test))
    if not len(train):
        raise source.too_little("training", 0, 1, "evaluation.test_share")
    validation.first(evaluation.tokens)
    ends = np.cumsum([len(group) for group in groups])
    predicted = [int(np.sum(each - 1)) for each in np.split(sizes, ends[:-1])]
    characters = (sum(document.characters for document in group) for group in groups)
    measures = tuple(map(Measure, predicted, characters))
    count = len(parts.train) + len(parts.validation) + len(parts.test)
    return Corpus(train, validation, test, measures, count, parts.set_aside)


def read_corpus(
    source: Source,
    tokenizer: Tokenizer,
    length: int,
    evaluation: plan.Evaluation,
    permitted: Collection[str] = (),
    personal: PersonalSettings = OFF,
) -> Corpus:
    """Everything from a member's folder to blocks. Raises as `read_parts` and `corpus_of` do."""
    parts = read_parts(source.folder, evaluation, permitted=permitted, personal=personal)
    return corpus_of(source, parts, tokenizer, length, evaluation)


def tokenise(documents: Sequence[Document], tokenizer: Tokenizer) -> list[Ids]:
    """Token ids of each document: BOS if the tokenizer has one, the text, EOS."""
    return [token_ids(document, tokenizer) for document in documents]


def token_ids(document: Document, tokenizer: Tokenizer) -> Ids:
    """Those of one document; see `tokenise`."""
    return np.array([*begun(document.text, tokenizer), tokenizer.eos_id], dtype=np.int32)


def begun(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a document that begins with `text`: BOS if the tokenizer has one, and the text."""
    return [*([] if tokenizer.bos_id is None else [tokenizer.bos_id]), *tokenizer.encode(text)]


def pack(documents: Iterable[Ids], length: int, pad_id: int) -> Blocks:
    """Lay tokenised documents end to end and cut them into blocks of `length`; the last block is padded.

    A document that is cut continues in the next block at position 0, since attention does not reach into another
    block: its first token there is predicted by the last position of the block before, which still sees what came
    before it, and never from nothing. The padding is a run of its own, at positions from 0, and predicts nothing.
    """
    none = np.zeros((3, 0, length), dtype=np.int32)
    ids, positions, labels = np.concatenate([none, *laid(documents, length, pad_id)], axis=1)
    return Blocks(ids, positions, labels)


def laid(documents: Iterable[Ids], length: int, pad_id: int) -> Iterator[Ids]:
    """The blocks of `pack`, some at a time: ids, positions and labels as one array (3, some, length). A block in which
    nothing is predicted, as a lone EOS at the end, has nothing to teach and is left out."""
    rest = np.zeros((3, 0), dtype=np.int32)  # the block that is not full yet
    for ids in documents:
        own = np.arange(len(ids), dtype=np.int32)
        positions = np.minimum(own, (rest.shape[1] + own) % length)
        labels = np.append(ids[1:], np.int32(IGNORED))  # its last token says nothing about the next document
        rest = np.concatenate([rest, np.stack([ids, positions, labels])], axis=1)
        whole = rest.shape[1] // length * length
        yield _teaching(rest[:, :whole].reshape(3, -1, length))
        rest = rest[:, whole:]
    if missing := -rest.shape[1] % length:
        padding = np.empty((3, missing), dtype=np.int32)
        padding[0], padding[1], padding[2] = pad_id, np.arange(missing), IGNORED
        yield _teaching(np.concatenate([rest, padding], axis=1).reshape(3, 1, length))


def _teaching(blocks: Ids) -> Ids:
    return blocks[:, (blocks[2] != IGNORED).any(axis=1)]


def _permutation(size: int, seed: bytes, epoch: int) -> NDArray[np.int64]:
    stream = hashlib.shake_256(b"rengo blocks v1\0" + epoch.to_bytes(8, "big") + seed).digest(8 * size)
    return np.argsort(np.frombuffer(stream, dtype="<u8"), kind="stable")
