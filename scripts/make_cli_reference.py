"""docs/cli.md and docs/cli.ja.md: what every command says to --help. A test fails when they are out of date.

python scripts/make_cli_reference.py
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from federation.errors import Language
from federation.main import main as rengo

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FILES: dict[Language, str] = {"en": "cli.md", "ja": "cli.ja.md"}
_HEADS: dict[Language, str] = {
    "en": """# Every command

[日本語](cli.ja.md)

What `--help` says, written by `scripts/make_cli_reference.py`. Every command takes `--lang ja|en` and,
where it prints facts, `--json`. Exit codes are in [README](../README.md#exit-codes).
""",
    "ja": """# コマンド一覧

[English](cli.md)

`scripts/make_cli_reference.py` が `--help` の出力から作成しています。どのコマンドにも `--lang ja|en` を指定でき、
結果を出力するコマンドには `--json` も指定できます。
終了コードは [README](../README.ja.md#終了コード) を参照してください。
""",
}


def reference(language: Language) -> str:
    """The whole page."""
    parts = [_HEADS[language], *_section(2, [], language)]
    for noun in _names(_help([], language)):
        overview = _help([noun], language)
        parts += _section(2, [noun], language)
        for verb in _names(overview) if f"rengo {noun} VERB" in overview else []:
            parts += _section(3, [noun, verb], language)
    return "\n".join(parts)


def _section(level: int, words: list[str], language: Language) -> Iterator[str]:
    yield f"{'#' * level} {' '.join(['rengo', *words])}\n\n```\n{_help(words, language)}\n```\n"


def _help(words: list[str], language: Language) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = rengo([*words, "--help", "--lang", language])
    if code:
        raise SystemExit(f"rengo {' '.join(words)} --help ended with {code}")
    # `simulate` says where its settings are on this machine.
    return output.getvalue().strip().replace(f"{ROOT}{os.sep}", "")


def _names(overview: str) -> list[str]:
    """The nouns or verbs that an overview lists: two spaces, a name, its description two or more spaces on."""
    return [match[1] for match in re.finditer(r"^  ([a-z]+) {2,}\S", overview, flags=re.M)]


def main() -> int:
    """Write both pages."""
    os.environ["COLUMNS"] = "100"  # argparse wraps to the terminal
    for language, name in FILES.items():
        (DOCS / name).write_text(reference(language), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
