"""Write the lists that names of persons are found with, from the MIT-licensed japanese-personal-name-dataset.

    pip download --no-deps japanese-personal-name-dataset==0.4.0, unpack it, then
    python scripts/make_name_lists.py japanese_personal_name_dataset/dataset

All of its surnames; of its given names the characters that most begin and end with. Kept in the repository and not a
dependency, so that one version of rengo masks the same names everywhere and nothing more runs beside a member's keys.
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "clients" / "ingest" / "personal" / "lists"
FIRST, LAST = 500, 250  # characters


def main() -> None:
    dataset = Path(sys.argv[1])
    surnames = [row[0] for row in _rows(dataset / "last_name_org.csv")]
    given = {
        name
        for sex in ("man", "woman")
        for row in _rows(dataset / f"first_name_{sex}_opti.csv")
        for name in row[2:]
        if len(name) in (2, 3)
    }
    first, last = (_commonest(name[place] for name in given)[:most] for place, most in ((0, FIRST), (-1, LAST)))
    OUT.mkdir(exist_ok=True)
    (OUT / "surnames.txt").write_text("\n".join(surnames) + "\n", encoding="utf-8")
    (OUT / "given_names.txt").write_text(f"{''.join(first)}\n{''.join(last)}\n", encoding="utf-8")


def _rows(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.reader(lines) if row]


def _commonest(characters: Iterable[str]) -> list[str]:
    counts = Counter(characters)
    return sorted(counts, key=lambda character: (-counts[character], character))


if __name__ == "__main__":
    main()
