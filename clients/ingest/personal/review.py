"""The review file: what was found, where, for the site's people to read and to act on.

It holds what is to be protected, in its own words. So it is written into the member's folder for its owner alone, and
nothing else of rengo ever reads it.
"""

from collections.abc import Iterable, Sequence

from clients.ingest.changes import Redaction
from clients.ingest.personal.redact import MOST_TOLD, Place, Sighting
from federation.errors import Language
from federation.text import printable

NAME = "personal-review.txt"
_MOST = 2_000  # texts of one kind
_WIDEST = 80  # characters of a find, such as a key

_HEAD = {
    "en": "Personal and secret data found in this site's documents. THIS LIST HOLDS IT: leave it in this folder.\n"
    "What is not personal: add it to `allow` in personal.toml. What is missing here: add it to `own`.\n"
    "Each line: what was found | how often | where (file:line of the text that was read) | ⟦it⟧ in its context\n",
    "ja": "この拠点の文書で見つかった個人情報・秘密情報です。\n"
    "この一覧はその情報自体を含むため、このフォルダーの外に出さないでください。\n"
    "個人情報でないものは personal.toml の allow に、漏れているものは own に追加します。\n"
    "各行: 見つかった文字列 | 件数 | 場所（ファイル:本文の行） | 前後の文脈（⟦⟧ の中）\n",
}
_MORE = {"en": "and {count} more texts that are not listed", "ja": "ほか {count} 種類は省略しました"}


def text(redactions: Iterable[Redaction], sightings: Sequence[Sighting], language: Language) -> str:
    """By kind; of each kind what was found most often first."""
    lines = [_HEAD[language]]
    for redaction in redactions:
        lines.append(f"■ {redaction.kind} - {redaction.text(language)}")
        seen = sorted((s for s in sightings if s.kind == redaction.kind), key=lambda s: (-s.count, s.text))
        lines += [_line(each) for each in seen[:_MOST]]
        if len(seen) > _MOST:
            more = f"{len(seen) - _MOST}{'+' if len(seen) == MOST_TOLD else ''}"
            lines.append(_MORE[language].format(count=more))
        lines.append("")
    return "\n".join(lines)


def _line(sighting: Sighting) -> str:
    where = ", ".join(f"{printable(place.document)}:{place.line}" for place in sighting.places)
    dots = ", …" if sighting.count > len(sighting.places) else ""
    return f"{_short(sighting.text)} | {sighting.count} | {where}{dots} | {_in_context(sighting.places[0], sighting)}"


def _in_context(place: Place, sighting: Sighting) -> str:
    return f"{printable(place.before)}⟦{_short(sighting.text)}⟧{printable(place.behind)}"


def _short(found: str) -> str:
    return printable(found if len(found) <= _WIDEST else found[:_WIDEST] + "…")
