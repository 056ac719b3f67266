"""What the fuzzer starts from and what it found (tests/corpus) is read or refused as promised, without a fuzzer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from fuzzing.targets import TARGETS, seeds

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_every_kept_input_is_read_or_refused_as_promised(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[target](path.read_bytes())
    TARGETS[target](b"")


def test_every_target_starts_from_what_honest_parties_say() -> None:
    assert {target for target, _ in seeds()} == set(TARGETS)


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000
