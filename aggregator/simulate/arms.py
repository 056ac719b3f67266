"""What a member would have without the federation and with it, measured on its own held-out documents, all of them.

base: the base model as it came. federated: with the adapter that the job ended with. Only a simulation can list them
by member; in a real job each site sees its own and the coordinator sees none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clients.contribution import Learner
from clients.dataset import Corpus
from federation import step
from federation.plan import Plan
from federation.schemes import State


@dataclass(frozen=True)
class Arms:
    """Held-out loss by member, in the plan's order: nats a token and bits a character."""

    nats: Mapping[str, tuple[float, ...]]
    bits_per_character: Mapping[str, tuple[float, ...]]


def measure(
    plan: Plan, learner: Learner, corpora: Mapping[str, Corpus], final: State, measured: Callable[[int, int], None]
) -> Arms:
    """Both arms for every member. `measured(done, of)` is called after each evaluation."""
    states = {"base": step.first_state(plan, learner.shapes), "federated": final}
    nats: dict[str, tuple[float, ...]] = {}
    bits: dict[str, tuple[float, ...]] = {}
    for turn, (arm, state) in enumerate(states.items()):
        factors = step.scheme_of(plan).export(state)
        results = []
        for member in plan.members:
            results.append(learner.evaluate(factors, corpora[member].held_out))
            measured(turn * len(plan.members) + len(results), len(states) * len(plan.members))
        nats[arm] = tuple(result.nats / result.tokens for result in results)
        bits[arm] = tuple(corpora[m].bits_per_character(loss) for m, loss in zip(plan.members, nats[arm], strict=True))
    return Arms(nats, bits)
