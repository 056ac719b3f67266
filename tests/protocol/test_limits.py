"""How long a message may be: as long as the longest that an honest party sends."""

from dataclasses import replace
from pathlib import Path

from aggregator.rounds import _limits
from federation import step
from federation.plan import Scheme
from federation.schemes import State
from federation.tensors import size_of
from tests.protocol.consortium import make_consortium


def test_vectors_of_every_round_are_as_long_as_an_answer_may_be(folder: Path) -> None:
    """`alternating` uploads B and A by turns, and A may be much larger than B."""
    job = replace(make_consortium(folder, scheme=Scheme("alternating")).job, shapes={"layer": (5, 40_000)})
    factors = step.first_state(job.plan, job.shapes).factors
    sizes = [4 * size_of(step.scheme_of(job.plan).upload_shapes(State(before, factors))) for before in (0, 1)]
    assert sizes[1] - sizes[0] > 2 * 10**5
    assert _limits(job).blob >= max(sizes)
