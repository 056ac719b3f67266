"""A site's folder of text -> token blocks of one length, to train on and to evaluate on. numpy only.

What is in the folder, `clients.ingest` reads. A file that cannot be used is set aside with a reason: none stops a site.

Labels are aligned: `labels[b, t]` is the token that position t of block b predicts, `IGNORED` where it predicts
nothing. Nothing downstream shifts them again. Every token of a document but its first is predicted exactly once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from clients.ingest import Document, SetAside, read_documents
from federation import plan
from federation.errors import DataFolderInvalid, TooLittleText

IGNORED = -100  # torch's cross_entropy skips it by default

Ids = NDArray[np.int32]
Documents = tuple[Document, ...]


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
        return int(np.count_nonzero(self.labels != IGNORED))

    def first(self, tokens: int) -> Self:
        """As many leading blocks as predict `tokens` tokens, exactly: surplus labels of the last are masked.

        Raises TooLittleText if there are fewer; blocks are never used twice.
        """
        running = np.cumsum(self.labels.ravel() != IGNORED)
        available = int(running[-1]) if running.size else 0
        if available < tokens:
            raise self.source.too_little("held-out", available, tokens, "evaluation.tokens")
        length = self.ids.shape[1]
        end = int(np.searchsorted(running, tokens)) + 1  # position of the last wanted label, plus one
        chosen = self[: -(-end // length)]
        labels = chosen.labels.copy()
        labels.ravel()[end:] = IGNORED
        return replace(chosen, labels=labels)

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


@dataclass(frozen=True, eq=False)
class Corpus:
    """A member's text as blocks. `held_out_characters` and the blocks' tokens turn nats into bits a character."""

    train: Blocks
    held_out: Blocks
    held_out_characters: int
    documents: int
    set_aside: tuple[SetAside, ...]

    @property
    def tokens_per_character(self) -> float:
        """Predicted tokens (ends of documents included) a character of the held-out text."""
        return self.held_out.predicted / self.held_out_characters

    def bits_per_character(self, nats_per_token: float) -> float:
        """A mean loss (nats a token) as bits a character: comparable between tokenisers.

        Exact for the whole held-out text; for a part of it, it assumes the whole's tokens a character.
        """
        return nats_per_token * self.tokens_per_character / log(2)


def read_corpus(source: Source, tokenizer: Tokenizer, length: int, evaluation: plan.Evaluation) -> Corpus:
    """Everything from a member's folder to blocks of `length` tokens.

    Raises:
        DataFolderInvalid: no folder, nothing readable, or too few documents to hold one out.
        TooLittleText: nothing to train on, or fewer held-out tokens than one evaluation takes.
    """
    reading = read_documents(source.folder)
    parts = split(reading.documents, evaluation.held_out_share, source.folder)
    packed = (pack(tokenise(part, tokenizer), length, tokenizer.pad_id) for part in parts)
    train, held_out = (replace(blocks, source=source) for blocks in packed)
    if not len(train):
        raise source.too_little("training", 0, 1, "evaluation.held_out_share")
    held_out.first(evaluation.tokens)
    characters = sum(len(document.text) for document in parts[1])
    return Corpus(train, held_out, characters, len(reading.documents), reading.set_aside)


def split(documents: Sequence[Document], share: float, folder: Path) -> tuple[Documents, Documents]:
    """(train, held out): whole documents, about `share` of the characters held out, at least one on each side.

    Only the texts decide, not their names or order: documents are walked by SHA-256 of their text, and one is held
    out if that brings the held-out characters nearer to the share. So a document larger than twice the share is
    trained on, unless all are: then the smallest is held out. Both parts come in order of SHA-256.

    Raises DataFolderInvalid (about `folder`) for fewer than two different texts.
    """
    hashed = {hashlib.sha256(document.text.encode()).digest(): document for document in documents}
    by_hash = [document for _, document in sorted(hashed.items())]
    if len(by_hash) < 2:
        raise DataFolderInvalid(
            path=folder,
            detail=f"it holds {len(by_hash)} document(s); at least 2 are needed, one to train on and one to hold out",
            detail_ja=f"文書が {len(by_hash)} 件です。学習用と評価用に 2 件以上必要です",
        )
    wanted = share * sum(len(document.text) for document in by_hash)
    held: list[Document] = []
    characters = 0
    for document in by_hash:
        enough = len(held) == len(by_hash) - 1
        if not enough and abs(characters + len(document.text) - wanted) < abs(characters - wanted):
            held.append(document)
            characters += len(document.text)
    held = held or [min(by_hash, key=lambda document: len(document.text))]
    held_texts = {document.text for document in held}
    return tuple(d for d in by_hash if d.text not in held_texts), tuple(held)


def tokenise(documents: Sequence[Document], tokenizer: Tokenizer) -> list[Ids]:
    """Token ids of each document: BOS if the tokenizer has one, the text, EOS."""
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    return [np.array([*start, *tokenizer.encode(d.text), tokenizer.eos_id], dtype=np.int32) for d in documents]


def pack(documents: Sequence[Ids], length: int, pad_id: int) -> Blocks:
    """Lay tokenised documents end to end and cut them into blocks of `length`; the last block is padded.

    A document that is cut continues in the next block at position 0, since attention does not reach into another
    block: its first token there is predicted by the last position of the block before, which still sees what came
    before it, and never from nothing. The padding is a run of its own, at positions from 0, and predicts nothing.
    """
    ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
    total = int(ends[-1]) if documents else 0
    padded = -(-total // length) * length
    ids = np.full(padded, pad_id, dtype=np.int32)
    labels = np.full(padded, IGNORED, dtype=np.int32)
    if total:
        ids[:total] = np.concatenate(documents)
        labels[: total - 1] = ids[1:total]
        labels[ends - 1] = IGNORED  # a document's last token says nothing about the next document
    is_start = np.arange(padded) % length == 0
    is_start[ends[ends < padded]] = True
    positions = np.arange(padded) - np.maximum.accumulate(np.where(is_start, np.arange(padded), 0))
    shape = (-1, length)
    blocks = Blocks(ids.reshape(shape), positions.astype(np.int32).reshape(shape), labels.reshape(shape))
    return blocks[np.flatnonzero((blocks.labels != IGNORED).any(axis=1))]  # a lone EOS at the end has nothing to teach


def _permutation(size: int, seed: bytes, epoch: int) -> NDArray[np.int64]:
    stream = hashlib.shake_256(b"rengo blocks v1\0" + epoch.to_bytes(8, "big") + seed).digest(8 * size)
    return np.argsort(np.frombuffer(stream, dtype="<u8"), kind="stable")
