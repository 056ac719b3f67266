"""The truth test: what `clients.ingest` reads out of the files, against the texts that were put in."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from clients.ingest import Reading, read_documents
from clients.ingest.content import full_width_kana
from demo_members.texts import SPAN


@dataclass
class Check:
    """What was found over all members. `wrong` and `characters` by format."""

    wrong: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    owners: dict[int, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, folder: Path, texts: Mapping[str, str], log_rows: Mapping[str, int]) -> Reading:
        """Compare one member's folder with `texts` (by file name) and with the rows that its logs have."""
        reading = read_documents(folder)
        self.faults += [f"{folder.name}/{aside.name}: {aside.reason}" for aside in reading.set_aside]
        for document in reading.documents:
            facts = document.facts
            kind = f"{facts.kind} {facts.encoding}".strip()
            self.files[kind] += 1
            self.characters[kind] += len(document.text)
            if document.name in texts:
                self.wrong[kind] += distance(full_width_kana(texts[document.name]), document.text)
            elif f"～{log_rows[document.name] + 1} 行目、" not in document.text:
                self.faults.append(f"{folder.name}/{document.name}: rows are missing")
            self._note_spans(f"{folder.name}/{document.name}", document.text)
        return reading

    def _note_spans(self, name: str, text: str) -> None:
        squeezed = "".join(text.split())
        for start in range(len(squeezed) - SPAN + 1):
            first = self.owners.setdefault(hash(squeezed[start : start + SPAN]), name)
            if first != name:
                self.faults.append(f"{name} shares with {first}: {squeezed[start : start + SPAN]}")
                return

    def table(self) -> str:
        """Markdown: the character error rate by format and encoding."""
        rows = [
            f"| {kind} | {self.files[kind]} | {self.characters[kind]:,} | "
            + (f"{100 * self.wrong[kind] / self.characters[kind]:.3f} % |" if kind in self.wrong else "- |")
            for kind in sorted(self.files)
        ]
        return "\n".join(["| read as | files | characters | character error rate |", "|---|---:|---:|---:|", *rows])


def distance(wanted: str, found: str) -> int:
    """Characters to insert, delete or replace; line by line where lines agree, so that it is quick."""
    if wanted == found:
        return 0
    matcher = SequenceMatcher(None, wanted, found, autojunk=False)
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal")
