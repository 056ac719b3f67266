"""Consortia under `threat=semi_malicious`, and who is whose neighbour in them."""

from pathlib import Path

from federation.plan import SecAgg
from federation.secagg.graph import Parameters, graph_of
from tests.protocol.consortium import Consortium, make_consortium


def make_sparse(folder: Path, count: int, **changes: object) -> Consortium:
    """One member of twenty may be corrupt and two of twenty lost."""
    secagg = SecAgg(32, "semi_malicious", 0.08, 0.1, "auto", 3, "auto", 8.0, 1e-6)
    consortium = make_consortium(folder, count, secagg=secagg, **changes)
    assert parameters_of(consortium).degree < count - 1
    return consortium


def parameters_of(consortium: Consortium) -> Parameters:
    found = consortium.plan.neighbourhoods
    assert found is not None
    return found


def around(consortium: Consortium, share_ctx: bytes, member: str) -> tuple[str, ...]:
    """A member and its neighbours in a set-up."""
    return graph_of(consortium.names, parameters_of(consortium).degree, share_ctx).neighbourhood(member)
