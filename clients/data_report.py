"""What is read at a site, for its people: a report on files and counts, and how a text looks after reading."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from clients.ingest import Document, Reading, SetAside
from clients.ingest.changes import Cleaning, Redaction, of_all
from clients.ingest.content import LeftOut
from federation.commands import Result
from federation.errors import Language, RengoError
from federation.text import printable

UNSURE = 0.6
"""Below this, how sure a reader is of an encoding (`Facts.sure`) is worth a look."""

_KINDS_JA = {"text": "テキスト", "table": "表", "sensor log": "センサーログ", "event log": "イベントログ"}
_FILES_SAMPLED = 3
_WIDEST = 200


class NoSuchDocument(RengoError):
    """{name} is not among the documents that are read here.{hint} `rengo member data where` lists them."""

    ja = "{name} は読み取り対象の文書にありません。{hint_ja}`rengo member data where` で一覧を表示します。"
    exit_code = 8


@dataclass(frozen=True)
class File:
    """One that was found, and what became of it: `chars` of text, or set `aside`."""

    path: str
    kind: str = ""
    encoding: str = ""
    sure: float = 1.0
    chars: int = 0
    records: int = 0
    marks: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    aside: SetAside | None = None

    def how(self, language: Language) -> str:
        """Kind and encoding."""
        return f"{kind_text(self.kind, language)} {self.encoding}".strip()

    @property
    def shown(self) -> str:
        """The path, for a person: files are called what anybody likes."""
        return printable(self.path)

    def why(self, language: Language) -> str:
        """Why it is set aside; nothing for one that is used."""
        return self.aside.text(language) if self.aside else ""

    def told(self, language: Language) -> str:
        """The same, with what of it is counted, for a person: a reason may name another file."""
        counted = ", ".join(part.text(language) for part in self.left_out)
        return printable(f"{self.why(language)} ({counted})" if counted else self.why(language))

    def facts(self) -> dict[str, Any]:
        """For a program."""
        return {
            "path": self.path,
            "status": "set aside" if self.aside else "used",
            "kind": self.kind,
            "encoding": self.encoding,
            "encoding_confidence": self.sure,
            "chars": self.chars,
            "records": self.records,
            "marks": list(self.marks),
            "left_out": [{"count": each.count, "what": each.what} for each in self.left_out],
            "reason": self.why("en"),
        }


@dataclass(frozen=True)
class Kind:
    """How much there is of one kind and encoding."""

    files: int
    chars: int


@dataclass(frozen=True)
class Report:
    """Every file in `folders`. `measured`: further totals that need more than reading, such as tokens."""

    folders: tuple[Path, ...]
    files: tuple[File, ...]
    measured: Mapping[str, float] = field(default_factory=dict)
    redactions: tuple[Redaction, ...] = ()
    cleaning: Cleaning = field(default=Cleaning())

    @property
    def used(self) -> list[File]:
        """Those that became documents."""
        return [file for file in self.files if not file.aside]

    @property
    def set_aside(self) -> list[File]:
        """The others."""
        return [file for file in self.files if file.aside]

    def kinds(self, language: Language) -> dict[str, Kind]:
        """By kind and encoding, that with the most text first."""
        chars, files = Counter[str](), Counter[str]()
        for file in self.used:
            chars[file.how(language)] += file.chars
            files[file.how(language)] += 1
        return {how: Kind(files[how], count) for how, count in chars.most_common()}

    def reasons(self, language: Language) -> Counter[str]:
        """How many files were set aside for what."""
        return Counter(file.why(language) for file in self.set_aside)

    def left_out(self) -> Counter[str]:
        """How much of what is in files that are used and not in their texts."""
        found = Counter[str]()
        for part in (part for file in self.used for part in file.left_out):
            found[part.what] += part.count
        return found

    def left_out_by_folder(self, language: Language) -> dict[str, Counter[str]]:
        """The same for each folder that has any, and of files that are set aside, too: where scans lie."""
        found = defaultdict[str, Counter[str]](Counter)
        for file in self.files:
            for part in file.left_out:
                found[str(PurePosixPath(file.path).parent)][part.name(language)] += part.count
        return dict(sorted(found.items()))

    def totals(self) -> dict[str, float]:
        """The figures to begin with."""
        files, used = len(self.files), len(self.used)
        counted = {"files": files, "used": used, "set_aside": files - used}
        counted |= {name: sum(getattr(file, name) for file in self.used) for name in ("records", "chars")}
        return {**counted, **self.measured}

    def facts(self) -> dict[str, Any]:
        """For a program."""
        kinds = {how: {"files": kind.files, "chars": kind.chars} for how, kind in self.kinds("en").items()}
        counted: dict[str, Any] = {
            "kinds": kinds,
            "reasons": dict(self.reasons("en")),
            "left_out": dict(self.left_out()),
        }
        counted["left_out_by_folder"] = {folder: dict(each) for folder, each in self.left_out_by_folder("en").items()}
        return {
            "folders": [str(folder) for folder in self.folders],
            "files": [file.facts() for file in self.files],
            "totals": self.totals() | counted,
            "redactions": [asdict(redaction) for redaction in self.redactions],
            "cleaning": asdict(self.cleaning),
        }


def report(folders: Sequence[Path], readings: Sequence[Reading], measured: Mapping[str, float]) -> Report:
    """Of `readings`, all that is in `folders`."""
    files = [file for reading in readings for file in _files(reading)]
    cleaning = sum((reading.cleaning for reading in readings), Cleaning())
    return Report(tuple(folders), tuple(files), measured, of_all(r.redactions for r in readings), cleaning)


def told(report: Report, language: Language) -> Result:
    """A report on the terminal: counts by kind and encoding, and what was set aside, with reasons."""
    totals = report.totals()
    words = {
        "en": ("documents", "characters", "set aside", "encoding not certain", "not in the text", "personal or secret"),
        "ja": ("文書", "文字", "除外", "文字コードの判定が不確か", "本文に含めていません", "個人情報・秘密情報"),
    }[language]
    by_folder = {"en": "not used, by folder", "ja": "フォルダー別の不使用"}[language]
    folders = ", ".join(map(str, report.folders))
    lines = [f"{folders}: {words[0]} {totals['used']:,}, {words[1]} {totals['chars']:,}"]
    lines += [f"  {kind.files:6}  {how}" for how, kind in report.kinds(language).items()]
    lines += [f"{words[3]}: {file.shown}" for file in report.used if file.sure < UNSURE]
    lines += [f"{words[4]}: {file.shown}: {part.text(language)}" for file in report.used for part in file.left_out]
    lines += [
        f"{words[2]}: {count:6}  {printable(why)}" for why, count in report.reasons(language).most_common() if count > 1
    ]
    lines += [f"{words[2]}: {file.shown}: {file.told(language)}" for file in report.set_aside]
    for folder, parts in report.left_out_by_folder(language).items():
        lines += [f"{by_folder}: {printable(folder)}: {what} {count:,}" for what, count in parts.most_common()]
    lines += [report.cleaning.text(language), *(f"{words[5]}: {each.text(language)}" for each in report.redactions)]
    return Result(report.facts(), "\n".join(lines))


def kind_text(kind: str, language: Language) -> str:
    """A kind of file (`Facts.kind`), for a person. Names of formats are the same in Japanese."""
    return _KINDS_JA.get(kind, kind) if language == "ja" else kind


def counts(reading: Reading, language: Language) -> dict[str, int]:
    """How many documents there are of each kind and encoding."""
    found = Counter(_how(document, language) for document in reading.documents)
    return dict(sorted(found.items()))


def where(folder: Path, reading: Reading, language: Language) -> Result:
    """Every file that is read, and how."""
    rows = [{"file": d.place, "as": _how(d, "en"), "characters": d.characters} for d in reading.documents]
    head = {"en": f"read, never written, in {folder}:", "ja": f"読み取り専用: {folder}"}[language]
    lines = [f"  {printable(d.name)}  ({_how(d, language)}, {d.characters:,})" for d in reading.documents]
    return Result({"folder": str(folder), "files": rows}, "\n".join([head, *lines]))


def sample(folder: Path, reading: Reading, name: str | None, lines: int, language: Language) -> Result:
    """The first lines of one document, or of a few from across the folder, as training would see them."""
    chosen = sampled(reading) if name is None else [d for d in reading.documents if d.name == name]
    if name is not None and not chosen:
        raise _no_such(name, [d.name for d in reading.documents])
    texts = {d.name: beginning(d, lines) for d in chosen}
    note = {"en": "this text stays here", "ja": "この内容は社外に出ません"}[language]
    shown = [
        f"{printable(d.name)} ({_how(d, language)}; {note})\n" + "\n".join(f"  | {line}" for line in texts[d.name])
        for d in chosen
    ]
    return Result({"folder": str(folder), "samples": texts}, "\n".join(shown))


def sampled(reading: Reading) -> list[Document]:
    """A few from across the folder."""
    step = max(1, len(reading.documents) // _FILES_SAMPLED)
    return list(reading.documents[::step][:_FILES_SAMPLED])


def beginning(document: Document, lines: int) -> list[str]:
    """Its first lines that are not blank."""
    return [line[:_WIDEST] for line in document.text.split("\n") if line.strip()][:lines]


def _files(reading: Reading) -> list[File]:
    """By name."""
    used = [_used(document) for document in reading.documents]
    return sorted(
        (*used, *(File(s.name, left_out=s.left_out, aside=s) for s in reading.set_aside)), key=lambda file: file.path
    )


def _used(document: Document) -> File:
    facts = document.facts
    sizes = document.characters, facts.records
    how = facts.kind, facts.encoding, facts.sure
    return File(document.name, *how, *sizes, tuple(sorted(document.marks)), document.left_out)


def _how(document: Document, language: Language) -> str:
    return f"{kind_text(document.facts.kind, language)} {document.facts.encoding}".strip()


def _no_such(name: str, names: list[str]) -> NoSuchDocument:
    close = difflib.get_close_matches(name, names, n=1)
    hint, hint_ja = (f" Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else ("", "")
    return NoSuchDocument(name=name, hint=hint, hint_ja=hint_ja)
