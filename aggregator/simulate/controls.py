"""Members from whom nothing can be gained: what a federation of them shows is no learning from each other.

shuffled: every member trains on its own tokens in a random order. Who writes about what is still there (how often each
token comes), what is written is not. Validation and test text stay as they are.

unrelated: every member's text is put into a cipher of its own: in all three parts of it, each token stands for another
one, by a permutation that no other member has. By itself a member's text is as regular as before; to the others it says
nothing.

Beginnings, ends and padding stay where they are. The order and the cipher depend on the member's name alone, so that
all seeds of a sweep share documents.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from aggregator.simulate.config import Control
from clients.dataset import IGNORED, Blocks, Corpus, Ids, Tokenizer


def controlled(corpora: Mapping[str, Corpus], control: Control, tokenizer: Tokenizer) -> dict[str, Corpus]:
    """The members' corpora as this control has them."""
    if control == "none":
        return dict(corpora)
    special = {id for id in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) if id is not None}
    fixed = np.array(sorted(special), dtype=np.int32)
    if control == "shuffled":
        return {name: _shuffled(corpus, fixed, _draw(control, name)) for name, corpus in corpora.items()}
    parts = (blocks for corpus in corpora.values() for blocks in (corpus.train, corpus.validation, corpus.test))
    used = np.setdiff1d(np.unique(np.concatenate([np.unique(blocks.ids) for blocks in parts])), fixed)
    return {name: _in_cipher(corpus, fixed, used, _draw(control, name)) for name, corpus in corpora.items()}


def _draw(control: Control, member: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(f"rengo control v1 {control} {member}".encode()).digest()))


def _shuffled(corpus: Corpus, fixed: Ids, draw: np.random.Generator) -> Corpus:
    def shuffle(ids: Ids) -> Ids:
        free = ~np.isin(ids, fixed)
        shuffled = ids.copy()
        shuffled[free] = draw.permutation(ids[free])
        return shuffled

    return replace(corpus, train=_rewritten(corpus.train, fixed, shuffle))


def _in_cipher(corpus: Corpus, fixed: Ids, used: Ids, draw: np.random.Generator) -> Corpus:
    """`used`: the tokens that change places, sorted."""
    code = np.arange(used[-1] + 1, dtype=np.int32)
    code[used] = draw.permutation(used)

    def encode(ids: Ids) -> Ids:
        return np.where(np.isin(ids, used), code[np.minimum(ids, used[-1])], ids).astype(np.int32)

    train, validation, test = (
        _rewritten(each, fixed, encode) for each in (corpus.train, corpus.validation, corpus.test)
    )
    return replace(corpus, train=train, validation=validation, test=test)


def _rewritten(blocks: Blocks, fixed: Ids, change: Callable[[Ids], Ids]) -> Blocks:
    """Other tokens in the same places, and the labels that follow from them: what predicts predicts the next position's
    token, across blocks too. An end that alone would fill a block is predicted though that block is left out."""
    ids, labels = change(blocks.ids.ravel()), blocks.labels.ravel()
    labels = np.where(np.isin(labels, [IGNORED, *fixed]), labels, np.roll(ids, -1)).astype(np.int32)
    return replace(blocks, ids=ids.reshape(blocks.ids.shape), labels=labels.reshape(blocks.labels.shape))
