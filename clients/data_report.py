"""What is read at a site, for its people: counts, files, and how a text looks after reading."""

import difflib
from collections import Counter
from pathlib import Path

from clients.ingest import Document, Reading
from federation.commands import Result
from federation.errors import Language, RengoError

_FILES_SAMPLED = 3
_WIDEST = 200


class NoSuchDocument(RengoError):
    """{name} is not among the documents that are read here.{hint} `rengo member data where` lists them."""

    ja = "{name} は読み取り対象の文書にありません。{hint_ja}`rengo member data where` で一覧を表示します。"
    exit_code = 8


def counts(reading: Reading) -> dict[str, int]:
    """How many documents there are of each kind and encoding."""
    found = Counter(_how(document) for document in reading.documents)
    return dict(sorted(found.items()))


def report(folder: Path, reading: Reading, language: Language) -> Result:
    """Counts by kind and encoding, and what was set aside, with reasons."""
    characters = sum(len(document.text) for document in reading.documents)
    unsure = [d.name for d in reading.documents if d.facts.sure < 0.6]
    reasons = Counter(s.reason for s in reading.set_aside)
    left_out = [(document.name, each) for document in reading.documents for each in document.left_out]
    lost = Counter[str]()
    for _, each in left_out:
        lost[each.what] += each.count
    facts = {
        "folder": str(folder),
        "documents": len(reading.documents),
        "characters": characters,
        "kinds": counts(reading),
        "unsure_encoding": unsure,
        "left_out": [{"name": name, "count": each.count, "what": each.what} for name, each in left_out],
        "set_aside": [{"name": s.name, "reason": s.reason} for s in reading.set_aside],
        "totals": {"left_out": dict(lost.most_common()), "set_aside": dict(reasons.most_common())},
    }
    read = len(reading.documents)
    words = {
        "en": (f"{read} documents, {characters:,} characters", "set aside", "encoding not certain", "not in the text"),
        "ja": (f"文書 {read} 件、{characters:,} 文字", "除外", "文字コードの判定が不確か", "本文に含めていません"),
    }[language]
    lines = [f"{folder}: {words[0]}", *(f"  {count:6}  {how}" for how, count in counts(reading).items())]
    lines += [f"{words[2]}: {name}" for name in unsure]
    lines += [f"{words[3]}: {name}: {each.text(language)}" for name, each in left_out]
    told = Counter(s.text(language) for s in reading.set_aside)
    lines += [f"{words[1]}: {count:6}  {reason}" for reason, count in told.most_common() if count > 1]
    lines += [f"{words[1]}: {s.name}: {s.text(language)}" for s in reading.set_aside]
    return Result(facts, "\n".join(lines))


def where(folder: Path, reading: Reading, language: Language) -> Result:
    """Every file that is read, and how."""
    rows = [{"file": d.place, "as": _how(d), "characters": len(d.text)} for d in reading.documents]
    head = {"en": f"read, never written, in {folder}:", "ja": f"読み取り専用: {folder}"}[language]
    lines = [f"  {d.name}  ({_how(d)}, {len(d.text):,})" for d in reading.documents]
    return Result({"folder": str(folder), "files": rows}, "\n".join([head, *lines]))


def sample(folder: Path, reading: Reading, name: str | None, lines: int, language: Language) -> Result:
    """The first lines of one document, or of a few from across the folder, as training would see them."""
    documents = reading.documents
    if name is not None:
        chosen = [d for d in documents if d.name == name]
        if not chosen:
            raise _no_such(name, [d.name for d in documents])
    else:
        step = max(1, len(documents) // _FILES_SAMPLED)
        chosen = list(documents[::step][:_FILES_SAMPLED])
    texts = {d.name: [line[:_WIDEST] for line in d.text.split("\n") if line.strip()][:lines] for d in chosen}
    note = {"en": "this text stays here", "ja": "この内容は社外に出ません"}[language]
    shown = [f"{d.name} ({_how(d)}; {note})\n" + "\n".join(f"  | {line}" for line in texts[d.name]) for d in chosen]
    return Result({"folder": str(folder), "samples": texts}, "\n".join(shown))


def _how(document: Document) -> str:
    return f"{document.facts.kind} {document.facts.encoding}".strip()


def _no_such(name: str, names: list[str]) -> NoSuchDocument:
    close = difflib.get_close_matches(name, names, n=1)
    hint, hint_ja = (f" Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else ("", "")
    return NoSuchDocument(name=name, hint=hint, hint_ja=hint_ja)
