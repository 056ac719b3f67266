"""Requests that an honest member refuses, each one change away from a good one and signed anew by whoever lies:
of a job in which everybody is everybody's neighbour."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aggregator.carriers import Exchange
from federation import tensors
from federation.identity import COORDINATOR, Identity
from federation.secagg.contexts import setup_context
from federation.secagg.messages import Agreed, Broadcast, Cohort, Inbox, Keys, Masked, Offer, Shares, Survivors, Unmask
from federation.wire import Body, Signed, read_body

ADAPTER = {"layer.lora_A": (2, 4), "layer.lora_B": (5, 2)}
BODIES: dict[str, type[Body]] = {
    kind.kind: kind for kind in (Offer, Keys, Cohort, Shares, Inbox, Broadcast, Masked, Survivors, Agreed, Unmask)
}
Identities = Mapping[str, Identity]
Requests = dict[str, list[Signed]]


def changed(signer: Identity, statement: Signed, blob: bytes | None = None, **fields: object) -> Signed:
    """The statement with other fields or data, signed by `signer`; an Offer in the context that it then makes."""
    header = statement.header
    # Every body is a dataclass; their common base is none.
    body = replace(read_body(BODIES[header.kind], header.body), **fields)  # type: ignore[type-var]
    digest = setup_context(body) if isinstance(body, Offer) else header.digest
    return signer.sign(body, digest, header.recipient, bytes(statement.blob) if blob is None else blob)


def bad_requests(exchange: Exchange, good: tuple[Signed, ...], identities: Identities) -> Requests:
    """By what is wrong with it."""
    forged = Signed(good[0].header_bytes, identities["root"].sign_bytes(good[0].to_sign()), good[0].blob)
    make = {"keys": _offers, "shares": _cohorts, "masked": _vectors, "agreed": _survivors, "revealed": _votes}
    if exchange.round > 1 and exchange.step != "masked":
        return {}  # the same again
    return {"not signed by the coordinator": [forged], **make[exchange.step](good, identities)}


def _offers(good: tuple[Signed, ...], identities: Identities) -> Requests:
    changes: dict[str, dict[str, Any]] = {
        "another plan": {"plan": bytes(32)},
        "another roster": {"roster": bytes(32)},
        "another base model": {"model": bytes(32)},
        "another suite": {"suite": "rengo-secagg-2"},
        "attempt 0": {"attempt": 0},
        "an attempt out of reach": {"attempt": 1001},
        "a round beyond the last": {"round": 3},
    }
    return {what: [changed(identities[COORDINATOR], good[0], **fields)] for what, fields in changes.items()}


def _cohorts(good: tuple[Signed, ...], identities: Identities) -> Requests:
    mine, second, *rest = read_body(Cohort, good[0].header.body).keys
    liar = identities[second.header.sender]
    low_order = changed(liar, second, mask_key=bytes(32))
    copied = changed(liar, second, mask_key=read_body(Keys, rest[0].header.body).mask_key)
    substituted = changed(Identity(liar.id, identities["root"]._key), second, mask_key=b"\x09" + bytes(31))
    stranger = Identity("0-outside", identities["0-outside"]._key).sign(
        read_body(Keys, second.header.body), second.header.digest, COORDINATOR
    )
    cohorts = {
        "three members": (mine, second, rest[0]),
        "without its recipient": (second, *rest),
        "a member twice": (mine, second, second, *rest),
        "out of order": (mine, *rest, second),
        "a point of low order": (mine, low_order, *rest),
        "one key of two members": (mine, copied, *rest),
        "a key substituted": (mine, substituted, *rest),
        "a member that the plan does not name": (stranger, mine, second, *rest),
    }
    return {what: [changed(identities[COORDINATOR], good[0], keys=keys)] for what, keys in cohorts.items()}


def _vectors(good: tuple[Signed, ...], identities: Identities) -> Requests:
    inbox, broadcast = good
    coordinator, dealt = identities[COORDINATOR], read_body(Inbox, inbox.header.body)
    # The Inbox is taken by the first request with a bad adapter, and gets no answer then or later.
    return {
        "fewer envelopes than Shares": [changed(coordinator, inbox, sealed=dealt.sealed[:-1])],
        "three dealers": [changed(coordinator, inbox, shares=dealt.shares[:3], sealed=dealt.sealed[:3])],
        "an adapter before the Inbox": [broadcast],
        "an adapter that ends early": [inbox, changed(coordinator, broadcast, blob=bytes(broadcast.blob[:-4]))],
        "other data than was signed": [inbox, replace(broadcast, blob=bytes(len(broadcast.blob)))],
        **{what: [inbox, bad] for what, bad in _adapters(broadcast, coordinator).items()},
    }


def _adapters(broadcast: Signed, coordinator: Identity) -> dict[str, Signed]:
    body = read_body(Broadcast, broadcast.header.body)
    values = tensors.from_bytes(broadcast.blob[: body.adapter_size], ADAPTER)
    moved = {name: array.copy() for name, array in values.items()}
    first = moved[min(moved)]
    first[0] = np.nextafter(first[0], np.float32(1)) if body.last is None else first[0] + np.float32(0.01)
    data = tensors.to_bytes(moved) + bytes(broadcast.blob[body.adapter_size :])
    bad = {
        "an adapter that is not the digest's": changed(coordinator, broadcast, blob=data),
        "another adapter": changed(coordinator, broadcast, blob=data, adapter=tensors.digest(moved)),
    }
    if body.last is None:
        return bad
    ranges = tuple((2 * float.fromhex(text)).hex() for text in body.last.ranges)
    proof = replace(body.last.proof, adapter=bytes(32))
    lasts = {
        "no last sum": None,
        "a last sum of six": replace(body.last, count=6),
        "a last sum of three": replace(body.last, count=3),
        "other ranges": replace(body.last, ranges=ranges),
        "a last sum on another adapter": replace(body.last, proof=proof),
    }
    return bad | {what: changed(coordinator, broadcast, last=last) for what, last in lasts.items()}


def _survivors(good: tuple[Signed, ...], identities: Identities) -> Requests:
    coordinator, shown = identities[COORDINATOR], read_body(Survivors, good[0].header.body)
    alive = shown.masked
    last = alive[-1].header.sender
    sets = {
        "three alive": ((*shown.gone, last), alive[:-1]),
        "one gone and alive": ((*shown.gone, last), alive),
        "one neither gone nor alive": ((), alive),
        "a stranger gone": ((*shown.gone, "0-outside"), alive),
    }
    return {what: [changed(coordinator, good[0], gone=gone, masked=masked)] for what, (gone, masked) in sets.items()}


def _votes(good: tuple[Signed, ...], identities: Identities) -> Requests:
    coordinator, votes = identities[COORDINATOR], read_body(Unmask, good[0].header.body).agreed
    last = votes[-1]
    other = changed(identities[last.header.sender], last, survivors=bytes(32))
    forged = Signed(last.header_bytes, coordinator.sign_bytes(last.to_sign()))
    shown = {
        "three votes": votes[:3],
        "a vote twice": (*votes, last),
        "a vote for another set": (*votes[:-1], other),
        "a forged vote": (*votes[:-1], forged),
        "without its recipient's": votes[1:],
    }
    return {what: [changed(coordinator, good[0], agreed=agreed)] for what, agreed in shown.items()}
