"""Which of the files that were found become documents, and why the others do not."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from clients.ingest import marks, revisions
from clients.ingest.changes import Cleaning, Redaction
from clients.ingest.content import Content, Facts, LeftOut, Unusable
from federation.errors import Language


@dataclass(frozen=True)
class Origin:
    """A text as it was read: what tells it from others, and its length. What is held out is chosen by these alone."""

    sha256: bytes
    characters: int


@dataclass(frozen=True)
class Document:
    """One text. `name`: its path below the folder, with `/`, in Unicode NFC. `facts` say how it was read.

    `origin`: what the text was when it was read, if something was changed since; see `preparing`.
    """

    name: str
    text: str
    facts: Facts = field(default=Facts(), compare=False)
    left_out: tuple[LeftOut, ...] = field(default=(), compare=False)
    marks: frozenset[str] = field(default=frozenset(), compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def as_read(self) -> Origin:
        """What the text was when it was read."""
        return self.origin or Origin(hashlib.sha256(self.text.encode()).digest(), len(self.text))

    def with_text(self, text: str) -> Self:
        """The document with another text."""
        return replace(self, text=text, origin=self.as_read)


Documents = tuple[Document, ...]


@dataclass(frozen=True)
class SetAside:
    """A file that was not used, and why."""

    name: str
    reason: str
    reason_ja: str

    def text(self, language: Language) -> str:
        """The reason, for a person."""
        return self.reason_ja if language == "ja" else self.reason


@dataclass(frozen=True)
class Reading:
    """What a folder held, both parts sorted by name, and what `preparing` changed in it."""

    documents: Documents
    set_aside: tuple[SetAside, ...]
    redactions: tuple[Redaction, ...] = ()
    cleaning: Cleaning = field(default=Cleaning())


@dataclass(frozen=True)
class Found:
    """A file, or one in an archive. `digest`: SHA-256 of the file on disk, where there is one and it could be read."""

    name: str
    result: Content | Unusable
    digest: bytes = b""

    @property
    def digests(self) -> set[bytes]:
        """Of its bytes and of its text: what an exact repeat shares with it."""
        text = [hashlib.sha256(self.result.text.encode()).digest()] if isinstance(self.result, Content) else []
        return {digest for digest in (self.digest, *text) if digest}

    @property
    def marks(self) -> frozenset[str]:
        """Of confidentiality, by its name and in it."""
        return marks.in_name(self.name) | (self.result.marks if isinstance(self.result, Content) else frozenset())


def selected(found: Sequence[Found], permitted: Collection[str]) -> Reading:
    """Each of `found` as a document or set aside. `permitted`: the marks of confidentiality that a document may bear.

    What a forbidden file says is forbidden under every name. Exact repeats are set aside: trained on and held out, they
    would make a loss a lie.
    """
    documents, set_aside = list[Document](), list[SetAside]()
    outdated = revisions.superseded(each.name for each in found)
    forbidden = {digest: each.name for each in found if each.marks - set(permitted) for digest in each.digests}
    seen: dict[bytes, str] = {}
    for each in sorted(found, key=lambda each: each.name):
        try:
            if isinstance(each.result, Unusable):
                raise each.result
            _require_permitted(each, permitted, forbidden)
            _require_current(each.name, outdated)
            _require_new(each, seen)
        except Unusable as refusal:
            set_aside.append(SetAside(each.name, refusal.reason, refusal.reason_ja))
        else:
            content = each.result
            documents.append(Document(each.name, content.text, content.facts, content.left_out, each.marks))
    return Reading(tuple(documents), tuple(set_aside))


def _require_permitted(file: Found, permitted: Collection[str], forbidden: dict[bytes, str]) -> None:
    if refused := sorted(file.marks - set(permitted)):
        borne = "、".join(refused)
        raise Unusable(f"marked {borne}, which is not permitted here", f"「{borne}」の表示があり、許可されていません")
    for digest in file.digests & forbidden.keys():
        first = forbidden[digest]
        raise Unusable(f"the same text as {first}, which is marked", f"機密表示のある {first} と同じ内容です")


def _require_current(name: str, outdated: Collection[str]) -> None:
    if revisions.in_old_folder(name):
        raise Unusable("in a folder of old files", "旧版・廃版のフォルダーにあります")
    if name in outdated:
        raise Unusable("a newer revision is beside it", "新しい改訂版があります")


def _require_new(file: Found, seen: dict[bytes, str]) -> None:
    """`seen`: digest -> the document that first had it; grows."""
    for digest in file.digests:
        if digest in seen:
            raise Unusable(f"the same text as {seen[digest]}", f"{seen[digest]} と同じ内容です")
    seen.update(dict.fromkeys(file.digests, file.name))
