"""How well the files of tests/truth are read: the rate of wrong characters in each against what it says, by kind.

    .venv/bin/python scripts/measure_truth.py             print the table
    .venv/bin/python scripts/measure_truth.py --write     put it into docs/ingest.md and into tests/truth/rates.json

The rate is the fewest characters to insert, delete or replace, as a share of those that the file says. Line ends count,
since a paragraph torn apart is wrong; empty lines and how many blanks stand together do not.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from clients.ingest import readers  # noqa: E402
from clients.ingest.content import Unusable, full_width_kana  # noqa: E402

TRUTH = ROOT / "tests" / "truth"
DOCS = ROOT / "docs" / "ingest.md"
BEGIN, END = "<!-- scripts/measure_truth.py begins -->", "<!-- scripts/measure_truth.py ends -->"


class Measured(NamedTuple):
    """One file. `rate`: None where it was set aside, for `reason`; `characters` of what it says."""

    name: str
    characters: int
    rate: float | None
    reason: str = ""


def measured(path: Path) -> Measured:
    """`path`: of a file in tests/truth/files."""
    name = path.relative_to(TRUTH / "files").as_posix()
    said = (TRUTH / "expected" / f"{name}.txt").read_text(encoding="utf-8")
    wanted = normalised(full_width_kana(said))
    found = []
    for _, read in readers.parts(path.read_bytes(), path.name):
        try:
            found.append(read().text)
        except Unusable as refusal:
            return Measured(name, len(wanted), None, refusal.reason)
    return Measured(name, len(wanted), distance(wanted, normalised("".join(found))) / max(1, len(wanted)))


def normalised(text: str) -> str:
    """Without empty lines, and with one blank for many."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def distance(wanted: str, found: str) -> int:
    """Levenshtein's, a column at a time as bits of whole numbers (Myers 1999, in Hyyrö's form of 2003)."""
    if not wanted:
        return len(found)
    places: dict[str, int] = {}
    for at, character in enumerate(wanted):
        places[character] = places.get(character, 0) | 1 << at
    mask, last = (1 << len(wanted)) - 1, 1 << len(wanted) - 1
    more, less, score = mask, 0, len(wanted)  # bits: where the column rises and falls
    for character in found:
        same = places.get(character, 0)
        diagonal = (((same & more) + more) ^ more) | same | less
        rises, falls = less | (~(diagonal | more) & mask), more & diagonal
        score += bool(rises & last) - bool(falls & last)
        rises, falls = rises << 1 | 1, falls << 1
        vertical = same | less
        more, less = (falls | ~(vertical | rises)) & mask, rises & vertical & mask
    return score


def all_measured() -> list[Measured]:
    """Every file, by name."""
    return [measured(path) for path in sorted((TRUTH / "files").rglob("*")) if path.is_file()]


def table(found: list[Measured]) -> str:
    """Markdown. What is read without a mistake shares a line by format."""
    rows: dict[tuple[str, str], list[Measured]] = {}
    for each in found:
        file_format, rest = each.name.split("/", 1)
        rows.setdefault((file_format, "" if each.rate == 0 else rest), []).append(each)
    lines = ["| format | kind (made by) | characters | wrong |", "|---|---|---:|---:|"]
    for (file_format, _), files in sorted(rows.items()):
        kinds: dict[str, list[str]] = {}
        for each in files:
            _, kind, maker = each.name.rsplit(".", 1)[0].split("/")
            kinds.setdefault(kind, []).append(maker)
        said = "; ".join(f"{kind} ({', '.join(makers)})" for kind, makers in kinds.items())
        rate = files[0].rate
        result = f"set aside: {files[0].reason}" if rate is None else f"{100 * rate:.2f} %"
        lines.append(f"| {file_format} | {said} | {sum(each.characters for each in files):,} | {result} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into the docs and the recorded rates")
    args = parser.parse_args()
    found = all_measured()
    print(table(found))
    if args.write:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
        rates = {each.name: each.reason if each.rate is None else round(each.rate, 5) for each in found}
        text = json.dumps(rates, ensure_ascii=False, indent=1, sort_keys=True)
        (TRUTH / "rates.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
