"""Write the parts of docs/protocol*.md that the code knows best: messages, state tables, limits, the plan, refusals.

    python scripts/make_protocol_docs.py

Each part stands between `<!-- generated: NAME -->` and `<!-- end -->`. A test fails when a file is stale. What a field
means is written here; a field without its words, or words without their field, end the script.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from federation import plan, wire
from federation.errors import RengoError, SignatureInvalid
from federation.secagg import history, messages, refusals
from federation.secagg.server import FalseDealer, FalseShare, TooFewMembers
from federation.secagg.transitions import COORDINATOR, MEMBER
from federation.settings import Range
from federation.wire import Body, Malformed, Signed, Size

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests/vectors/round-v1.json"

MEANINGS: dict[str, dict[str, str]] = {
    "offer": {
        "suite": "the SUITE string of this version",
        "consortium": "the plan's `consortium`",
        "job": "the plan's `job`",
        "round": "1 to R + 1",
        "attempt": "1 or more; how often this job has started cold",
        "parent": "`ctx` of the round that carries this set-up; zeros when cold",
        "roster": "roster digest",
        "plan": "plan digest",
        "model": "base-model digest: the plan's `model.sha256` as bytes",
    },
    "keys": {"mask_key": "fresh X25519 public key, for pair masks", "channel_key": "another, for envelopes"},
    "cohort": {"keys": "the Keys of U1, by member"},
    "shares": {
        "seed_commitment": "commits to the self-mask seed",
        "root": "of the tree over one leaf a member of U1, in order",
    },
    "sealed": {
        "seed_commitment": "commits to the recipient's share of the seed",
        "key_commitment": "commits to its share of the mask key",
        "envelope": "both shares, sealed",
        "path": "from the leaf of the two commitments to the root in the dealer's Shares",
    },
    "inbox": {
        "shares": "the Shares of U2, by member, without their data",
        "sealed": "what each of U2 sealed for this recipient, in the same order",
    },
    "broadcast": {
        "adapter": "adapter digest",
        "adapter_size": "bytes of the adapter at the front of the data",
        "last": "the last round's sum, described; null in round 1",
    },
    "last_sum": {
        "count": "members in that sum",
        "ranges": "that round's ranges, by tensor name, as exact hexadecimal floats",
        "scalars": "that round's scalar names, in order",
        "proof": "that the round took place",
    },
    "round_proof": {
        "offer": "that round's Offer",
        "keys": "digest U1 of its Keys",
        "shares": "digest U2 of its Shares",
        "adapter": "its terms: the adapter that opened it",
        "dimension": "words in a vector",
        "ring_bits": "16 or 32",
        "encoding": "ring digest",
        "privacy": "privacy digest",
        "last": "last-sum digest",
        "agreed": "the votes of its U4, by member",
    },
    "masked": {"unopened": "dealers of U2 whose envelope this member could not use, by id"},
    "survivors": {"gone": "U2 without U3, by id", "masked": "the Masked of U3, by member, without their data"},
    "agreed": {"survivors": "survivors digest"},
    "unmask": {"agreed": "the Agreed of U4, by member"},
    "revealed": {
        "survivors": "the survivors digest that this member signed",
        "seed_shares": "by dealer in U3: this member's share of its seed",
        "key_shares": "by dealer in U2 without U3: this member's share of its mask key",
    },
    "refused": {
        "request": "kind of the refused message, or `frame`; at most 100 characters",
        "code": "see Refusals",
        "reason": "English, for a log; at most 500 characters",
    },
}
DATA = {
    "shares": "canonical CBOR: list of Sealed, one a member of U1, in order",
    "broadcast": "the adapter, then the last sum's words, if any",
    "masked": "the masked vector's words",
}
SENDERS = {
    **{kind.kind: "coordinator" for t in COORDINATOR for kind in t.requests},
    **{t.answer.kind: "member" for t in COORDINATOR},
    "refused": "member",
}


def described(hint: Any, size: int = wire.DIGEST_SIZE) -> str:
    """An annotation of a message or of the plan, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(inner[1], Size):
        return described(inner[0], inner[1].bytes)
    if origin is Annotated:
        return f"{described(inner[0])}, {_between(inner[1])}"
    if origin is typing.Literal:
        return " or ".join(json.dumps(value) for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(described(item, size) for item in inner)
    if origin is tuple:
        return f"list of {described(inner[0], size)}"
    if origin is dict:
        return f"map of text to {described(bytes, size)}"
    if isinstance(hint, type) and issubclass(hint, Body):
        return f"map {hint.__name__}"
    plain = {int: "number", str: "text", float: "float", types.NoneType: "null", Signed: "statement"}
    return plain.get(hint) or (f"{size} bytes" if size else "bytes")


def _between(limits: Range) -> str:
    high = "2^63 - 1" if limits.high == 2**63 - 1 else f"{limits.high:g}"
    return f"{limits.low:g} or more" if limits.high == float("inf") else f"{limits.low:g} to {high}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bodies() -> dict[str, type[Body]]:
    """Every body by kind, in the order of their definition."""
    found = [item for item in vars(messages).values() if isinstance(item, type) and issubclass(item, Body)]
    return {item.kind: item for item in found if item is not Body}


def message_tables() -> str:
    """A table for each body: its fields in no order that matters, their types and what they mean."""
    kinds = bodies()
    if {kind: set(meanings) for kind, meanings in MEANINGS.items()} != {
        kind: {f.name for f in dataclasses.fields(typing.cast(Any, body))} for kind, body in kinds.items()
    }:
        raise SystemExit("make_protocol_docs: MEANINGS has other fields than the messages have")
    parts = []
    for kind, body in kinds.items():
        hints = typing.get_type_hints(body, include_extras=True)
        rows = [(f"`{name}`", described(hints[name]), meaning) for name, meaning in MEANINGS[kind].items()]
        sender = SENDERS.get(kind)
        role = f"kind `{kind}`, sent by the {sender}" if sender else "only inside other messages"
        data = f"\n\nData: {DATA[kind]}." if kind in DATA else ""
        parts.append(f"**{body.__name__}** ({role})\n\n{table(('field', 'type', 'meaning'), rows)}{data}")
    return "\n\n".join(parts)


def member_table() -> str:
    """State x message -> what the member does."""
    head = ("state", *(t.message.__name__ for t in MEMBER))
    rows = []
    for at, state in enumerate([*(t.state for t in MEMBER), None]):
        name = state.__name__ if state else ("no session" if at == 0 else "finished")
        cells = ["again / `conflicting`"] * at + ["`not-allowed-here`"] * (len(MEMBER) - at)
        if at < len(MEMBER):
            due = MEMBER[at]
            following = due.following.__name__ if due.following else "finished"
            cells[at] = f"**{due.answer.__name__ if due.answer else 'no answer'}** -> {following}"
        rows.append((name, *cells))
    return table(head, rows)


def coordinator_table() -> str:
    """Step -> what is sent to whom, and what is awaited in which context."""
    rows = []
    for number, t in enumerate(COORDINATOR):
        names = ", ".join(kind.__name__ for kind in t.requests)
        rows.append((str(number), names, t.asked, f"{t.answer.__name__} in `{t.context}`", t.answered))
    return table(("step", "sends", "to", "awaits", "who answered"), rows)


def limits() -> str:
    """Every fixed bound."""
    rows = [
        ("messages in a frame", str(wire.MAX_MESSAGES)),
        ("non-empty lists and maps within each other", str(wire.MAX_DEPTH)),
        ("characters (code points) of a text in a body, of `from` and of `to`", str(wire.MAX_TEXT)),
        ("a number", "0 to 2^63 - 1"),
        ("attempts that a member may have missed", str(history.ATTEMPT_REACH)),
    ]
    return table(("what", "at most"), rows)


def plan_table() -> str:
    """Every setting of a plan by its dotted name."""
    rows: list[tuple[str, ...]] = []

    def walk(kind: Any, prefix: str) -> None:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if dataclasses.is_dataclass(hint):
                walk(hint, f"{prefix}{name}.")
            else:
                rows.append((f"`{prefix}{name}`", described(hint)))

    walk(plan.Plan, "")
    return table(("setting", "type"), rows)


def refusal_table() -> str:
    """Codes and words: of members, then of the coordinator about members."""
    members: list[type[RengoError]] = [
        Malformed,
        SignatureInvalid,
        *(c for c in vars(refusals).values() if isinstance(c, type) and issubclass(c, refusals.Refusal)),
    ]
    rows = [(f"`{kind().code}`", words(kind)) for kind in members if kind is not refusals.Refusal]
    coordinators: tuple[type[RengoError], ...] = (TooFewMembers, FalseShare, FalseDealer)
    own = [(f"`{kind().code}`", words(kind)) for kind in coordinators]
    return f"{table(('code', 'words'), rows)}\n\nOf the coordinator alone:\n\n{table(('code', 'words'), own)}"


def words(kind: type[RengoError]) -> str:
    """The English template of an error, on one line."""
    return " ".join((kind.__doc__ or "").split())


def example() -> str:
    """The first exchange of the whole round in the vectors, taken apart."""
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    member, exchange = vectors["plan"]["members"][0], vectors["exchanges"][0]
    parts = []
    for what, data in (("request", exchange["requests"][member]), ("answer", exchange["answers"][member])):
        frame = bytes.fromhex(data)
        size = int.from_bytes(frame[6:10], "little")
        pieces = [
            ("magic, version 1, one message", frame[:6]),
            (f"header of {size} bytes", frame[6:10]),
            ("header", frame[10 : 10 + size]),
            ("signature", frame[10 + size : 74 + size]),
            ("no data", frame[74 + size :]),
        ]
        lines = [line for name, piece in pieces for line in [f"# {name}", *_wrapped(piece.hex())]]
        parts.append(f"The {what}:\n\n```\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def _wrapped(text: str) -> list[str]:
    return [text[at : at + 96] for at in range(0, len(text), 96)]


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "docs/protocol.md": {
        "messages": message_tables,
        "member": member_table,
        "coordinator": coordinator_table,
        "limits": limits,
        "refusals": refusal_table,
        "example": example,
    },
    "docs/protocol-encoding.md": {"plan": plan_table},
}


def renewed(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The document with every generated part as it has to be today."""
    for name, part in parts.items():
        start, end = f"<!-- generated: {name} -->", "<!-- end -->"
        before, found, rest = text.partition(start)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise SystemExit(f"make_protocol_docs: no part {name} in the document")
        text = f"{before}{start}\n{part()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for name, parts in PARTS.items():
        file = ROOT / name
        file.write_text(renewed(file.read_text(encoding="utf-8"), parts), encoding="utf-8")
