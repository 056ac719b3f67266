"""Which of the files that were found become documents, and why the others do not."""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from clients.ingest import marks, revisions
from clients.ingest.changes import Cleaning, Redaction
from clients.ingest.content import Facts, LeftOut, Unusable
from clients.ingest.logs import told_rows
from clients.ingest.store import Stored, StoredContent
from federation.errors import Language


@dataclass(frozen=True)
class File:
    """A file on disk as it was when it was read. `label`: what comes before `name` in a document's. `sha256` is empty
    where nothing was read of it; `uid`: its owner. `read_with`: other files that decided what its text is, a log's
    companions and logs.toml. `by_default`: the mark is not its own but its folder's."""

    folder: str
    label: str
    name: str
    size: int
    mtime_ns: int
    uid: int
    sha256: bytes
    read_with: tuple[str, ...] = ()
    by_default: bool = False


@dataclass(frozen=True)
class Origin:
    """A text as it was read: what tells it from others, and its length. What is held out is chosen by these alone."""

    sha256: bytes
    characters: int


@dataclass(frozen=True)
class Document:
    """One text. `name`: its path below the folder, with `/`, in Unicode NFC; with several folders, begun with
    the folder's own name. `body`: the text, or where it lies. `facts` say how it was read, `file` from what.

    `rows`: of a log, see `LogSpan`.

    `origin`: what the text was when it was read, if something was changed since; see `preparing`.
    """

    name: str
    body: str | Stored = field(repr=False)
    facts: Facts = field(default=Facts(), compare=False)
    left_out: tuple[LeftOut, ...] = field(default=(), compare=False)
    marks: frozenset[str] = field(default=frozenset(), compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)
    file: File | None = field(default=None, compare=False)
    rows: str = field(default="", compare=False, repr=False)

    @property
    def text(self) -> str:
        """The text, read from the store where it lies there."""
        return self.body if isinstance(self.body, str) else self.body.read()

    @property
    def characters(self) -> int:
        """The length of the text."""
        return len(self.body) if isinstance(self.body, str) else self.body.characters

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text's UTF-8."""
        return hashlib.sha256(self.body.encode()).digest() if isinstance(self.body, str) else self.body.digest

    @property
    def place(self) -> str:
        """Where it is on disk, archives being folders; of a text from nowhere its name."""
        return f"{self.file.folder}/{self.name.removeprefix(self.file.label)}" if self.file else self.name

    @property
    def as_read(self) -> Origin:
        """What the text was when it was read."""
        return self.origin or Origin(self.digest, self.characters)

    def derived(self, step: str, make: Callable[[str], bytes], settings: str = "") -> bytes:
        """What `make` gives for the text; computed once where the text lies in a store, see `Stored.derived`."""
        return make(self.body) if isinstance(self.body, str) else self.body.derived(step, make, settings)

    def changed(
        self, step: str, make: Callable[[str], tuple[str, bytes]], settings: str = ""
    ) -> tuple["Document", bytes]:
        """The document with the text that `make` makes of its own, and what `make` says of it; computed once where
        the text lies in a store, see `Stored.changed`."""
        body, said = make(self.body) if isinstance(self.body, str) else self.body.changed(step, make, settings)
        return (self if body == self.body else replace(self, body=body, origin=self.as_read)), said


Documents = tuple[Document, ...]


@dataclass(frozen=True)
class SetAside:
    """A file that was not used, and why. `left_out`: see `Unusable`."""

    name: str
    reason: str
    reason_ja: str
    marks: frozenset[str] = field(default=frozenset(), compare=False)
    file: File | None = field(default=None, compare=False)
    left_out: tuple[LeftOut, ...] = field(default=(), compare=False)

    def text(self, language: Language) -> str:
        """The reason, for a person."""
        return self.reason_ja if language == "ja" else self.reason


@dataclass(frozen=True)
class Reading:
    """What the folders held, both parts sorted by name, and what `preparing` changed in it. `settings`: SHA-256 (hex)
    of each settings file of the site that decided on texts, by its path."""

    documents: Documents
    set_aside: tuple[SetAside, ...]
    redactions: tuple[Redaction, ...] = ()
    cleaning: Cleaning = field(default=Cleaning())
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A file, or one in an archive. `name`: its path below the folder; `label`: what comes before it in a document's.
    `file`: the one on disk. `digest`: SHA-256 of that, unless this is a part of it. `default`: the mark that it counts
    as bearing if it bears none; "" for none."""

    name: str
    result: StoredContent | Unusable
    label: str = ""
    file: File | None = None
    digest: bytes = b""
    default: str = ""

    @property
    def full_name(self) -> str:
        """As a document's."""
        return self.label + self.name

    @property
    def digests(self) -> set[bytes]:
        """Of its bytes and of its text: what an exact repeat shares with it."""
        text = [self.result.text.digest] if isinstance(self.result, StoredContent) else []
        return {digest for digest in (self.digest, *text) if digest}

    @property
    def words(self) -> bytes:
        """SHA-256 of its text without blanks and line ends, which nobody sees in a copy; empty if there is no text."""
        return self.result.text.derived("words", _words) if isinstance(self.result, StoredContent) else b""

    @property
    def rows(self) -> str:
        """Of a log, what it tells: see `logs.told_rows`."""
        log = self.result.log if isinstance(self.result, StoredContent) else None
        return log.rows if log else ""

    @property
    def own_marks(self) -> frozenset[str]:
        """Of confidentiality, by its name, those of all folders above it, and in it."""
        inside = self.result.marks if isinstance(self.result, StoredContent) else frozenset[str]()
        return marks.in_name(self.name) | (_marks_above(self.file.folder) if self.file else frozenset()) | inside

    @property
    def marks(self) -> frozenset[str]:
        """Its own, or its folder's where it has none."""
        return self.own_marks or (frozenset({self.default}) if self.default else frozenset())

    @property
    def by_default(self) -> bool:
        """Whether its mark is its folder's."""
        return bool(self.default) and not self.own_marks


def selected(
    found: Sequence[Found], permitted: Collection[str], remembered: Sequence[Found] = (), together: bool = False
) -> Reading:
    """Each of `found` as a document or set aside. `permitted`: the marks of confidentiality that a document may bear.
    `remembered`: what was read before of files that cannot be read now, for what it forbids. `together`: whether logs
    were read with others, so that none should tell any more what a forbidden one does.

    What a forbidden file says is forbidden under every name. Exact repeats are set aside: trained on and held out, they
    would make a loss a lie.
    """
    documents, set_aside = list[Document](), list[SetAside]()
    outdated = revisions.superseded(each.full_name for each in found)
    marked = [each for each in (*found, *remembered) if each.marks - set(permitted)]
    forbidden = {digest: each.full_name for each in marked for digest in (*each.digests, each.words) if digest}
    forbidden_rows = _telling(found, marked) if together else {}
    seen: dict[bytes, str] = {}
    for each in sorted(found, key=lambda each: each.full_name):
        file = replace(each.file, by_default=each.by_default) if each.file else None
        try:
            if isinstance(each.result, Unusable):
                raise each.result
            _require_permitted(each, permitted, forbidden)
            _require_no_marked_rows(each, forbidden_rows)
            _require_current(each, outdated)
            _require_new(each, seen)
        except Unusable as refusal:
            aside = SetAside(each.full_name, refusal.reason, refusal.reason_ja, each.marks, file, refusal.left_out)
            set_aside.append(aside)
        else:
            content = each.result
            told = content.facts, content.left_out, each.marks
            documents.append(Document(each.full_name, content.text, *told, file=file, rows=each.rows))
    return Reading(tuple(documents), tuple(set_aside))


@cache
def _marks_above(folder: str) -> frozenset[str]:
    """Those in the path of a data folder, as it was given and as it is where it is a link."""
    return marks.in_name(folder) | marks.in_name(os.path.realpath(folder))


def _words(text: str) -> bytes:
    return hashlib.sha256("".join(text.split()).encode("utf-8", "surrogatepass")).digest()


def _require_permitted(file: Found, permitted: Collection[str], forbidden: dict[bytes, str]) -> None:
    if refused := sorted(file.marks - set(permitted)):
        borne = "、".join(refused)
        if file.by_default:
            en = f"counts as {borne} as its folder's unmarked files do, which is not permitted here"
            raise Unusable(en, f"表示がないためフォルダーの既定「{borne}」とみなし、許可されていません")
        raise Unusable(f"marked {borne}, which is not permitted here", f"「{borne}」の表示があり、許可されていません")
    for digest in {*file.digests, file.words if forbidden else b""} & forbidden.keys():
        first = forbidden[digest]
        raise Unusable(f"the same text as {first}, which is marked", f"機密表示のある {first} と同じ内容です")


def _telling(found: Sequence[Found], marked: Sequence[Found]) -> dict[str, str]:
    """Logs that tell what one of the `marked` does: one that cannot be read now, or that has other columns or another
    machine's name, so that its rows were not left out."""
    logs = [each for each in (*marked, *found) if each.rows]
    count = sum(1 for each in marked if each.rows)
    pairs = told_rows.sharing([each.rows for each in logs], only_stretches=True) if count else []
    return {logs[other].full_name: logs[first].full_name for first, other in pairs if first < count <= other}


def _require_no_marked_rows(file: Found, forbidden: Mapping[str, str]) -> None:
    if (first := forbidden.get(file.full_name)) is not None:
        raise Unusable(f"tells rows of {first}, which is marked", f"機密表示のある {first} の行を含みます")


def _require_current(file: Found, outdated: Collection[str]) -> None:
    if revisions.in_old_folder(file.name):
        raise Unusable("in a folder of old files", "旧版・廃版のフォルダーにあります")
    if revisions.is_old(file.name):
        raise Unusable("out of date, as its name says", "ファイル名に旧版・廃版とあります")
    if file.full_name in outdated:
        raise Unusable("a newer revision is beside it", "新しい改訂版があります")


def _require_new(file: Found, seen: dict[bytes, str]) -> None:
    """`seen`: digest -> the document that first had it; grows."""
    for digest in file.digests:
        if digest in seen:
            raise Unusable(f"the same text as {seen[digest]}", f"{seen[digest]} と同じ内容です")
    seen.update(dict.fromkeys(file.digests, file.full_name))
