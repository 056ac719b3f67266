"""`rengo coordinator members` for a person: who joined, and which invitations are open."""

import datetime
import unicodedata
from collections.abc import Mapping, Sequence

from aggregator.registry import Invitation, Registered
from federation.commands import Words
from federation.errors import Language
from federation.identity import Roster
from federation.registry import APPROVED, REFUSED
from federation.text import printable_lines
from federation.token import fingerprint, spoken

_STATES: dict[str, Words] = {
    "joined": {"en": "joined, not in the roster", "ja": "参加済み・名簿未登録"},
    "in roster": {"en": "in the roster", "ja": "名簿に登録済み"},
    "quarantined": {"en": "in the roster, in quarantine", "ja": "名簿に登録済み・隔離中"},
    "revoked": {"en": "revoked or left", "ja": "失効または脱退"},
}
_ANSWERS: dict[str, Words] = {
    APPROVED: {"en": "approved the plan", "ja": "計画を承認"},
    REFUSED: {"en": "refused the plan: {}", "ja": "計画を拒否: {}"},
}
_HEADER: dict[Language, Sequence[str]] = {
    "en": ("member", "state", "last call", "its clock", "fingerprint"),
    "ja": ("拠点 ID", "状態", "最終通信", "時計の差", "照合値"),
}


def state(member: Registered, newest: Roster) -> str:
    """joined, in roster, quarantined or revoked."""
    if member.revoked or member.id not in newest.keys:
        return "revoked" if member.revoked else "joined"
    return "quarantined" if member.quarantined else "in roster"


def text(
    members: Sequence[Registered],
    newest: Roster,
    open: Sequence[Invitation],
    consents: Mapping[str, tuple[str, str]],
    language: Language,
) -> str:
    """A table of who joined; a line for each answer to the plan that is proposed (member -> (answer, reason)), and for
    each invitation that can still be used."""
    nobody: Words = {"en": "No member has joined yet.", "ja": "まだ参加拠点はありません。"}
    rows = [_HEADER[language], *(_row(member, newest, language) for member in members)]
    lines = _table(rows) if members else [nobody[language]]
    for member, (answer, reason) in sorted(consents.items()):
        lines.append(f"{member}: {_ANSWERS[answer][language].format(reason)}")
    invited: Words = {
        "en": "Invited, has not joined: {id} (until {until})",
        "ja": "招待済み・未参加: {id}（{until} まで）",
    }
    lines += [invited[language].format(id=each.id, until=_local(each.expires)) for each in open]
    return printable_lines("\n".join(lines))


def _row(member: Registered, newest: Roster, language: Language) -> tuple[str, ...]:
    clock = "-" if member.offset is None else f"{member.offset:+} s"
    seen = _local(member.seen) if member.seen else "-"
    return (
        member.id,
        _STATES[state(member, newest)][language],
        seen,
        clock,
        spoken(fingerprint(member.identity_key)),
    )


def _local(utc: str) -> str:
    return datetime.datetime.fromisoformat(utc).astimezone().isoformat(sep=" ", timespec="seconds")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    pad = [[cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in pad]


def _columns(cell: str) -> int:
    """How wide a terminal shows it: Japanese characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in cell)
