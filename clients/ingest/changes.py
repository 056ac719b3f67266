"""What was changed between what the readers gave and what is trained on: counts, without a word of the text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from clients.ingest.personal.kinds import KINDS
from federation.errors import Language

_MODES_JA = {"report": "件数のみ", "mask": "置き換え", "drop": "文書を除外"}


@dataclass(frozen=True)
class Redaction:
    """`finds` of one kind of personal or secret data in `documents`, and the `mode` of personal.toml for it."""

    kind: str
    mode: str
    finds: int
    documents: int

    def done(self, language: Language) -> str:
        """The mode, for a person, who finds it under this name in personal.toml."""
        return f"{self.mode}（{_MODES_JA[self.mode]}）" if language == "ja" else self.mode

    def text(self, language: Language) -> str:
        """For a person."""
        kind = KINDS[self.kind].text(language)
        if language == "ja":
            return f"{kind}: {self.finds:,} か所、{self.documents:,} 文書、処置 {self.done(language)}"
        return f"{kind}: {self.finds:,} in {self.documents:,} documents, mode {self.mode}"


def of_all(readings: Iterable[Sequence[Redaction]]) -> tuple[Redaction, ...]:
    """The redactions of several readings under the same settings as those of one."""
    finds, documents, modes = Counter[str](), Counter[str](), dict[str, str]()
    for redaction in (each for redactions in readings for each in redactions):
        finds[redaction.kind] += redaction.finds
        documents[redaction.kind] += redaction.documents
        modes[redaction.kind] = redaction.mode
    return tuple(Redaction(kind, modes[kind], finds[kind], documents[kind]) for kind in KINDS if kind in finds)


@dataclass(frozen=True)
class Cleaning:
    """How often each step of `cleaning` changed something. `forms`: characters; `paragraphs`: repeated ones that were
    removed, with `paragraph_characters` in all; `near_duplicates`: documents set aside."""

    forms: int = 0
    paragraphs: int = 0
    paragraph_characters: int = 0
    near_duplicates: int = 0

    def __add__(self, other: "Cleaning") -> "Cleaning":
        return Cleaning(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def text(self, language: Language) -> str:
        """For a person."""
        if language == "ja":
            return (
                f"字形を標準化した文字 {self.forms:,}、削除した定型文 {self.paragraphs:,} 段落"
                f"（{self.paragraph_characters:,} 文字）、ほぼ同じため除外した文書 {self.near_duplicates:,}"
            )
        return (
            f"{self.forms:,} characters brought to their usual form, {self.paragraphs:,} repeated paragraphs removed "
            f"({self.paragraph_characters:,} characters), {self.near_duplicates:,} near-duplicates set aside"
        )
