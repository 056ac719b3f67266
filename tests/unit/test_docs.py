"""Documents that say what the code does: the generated tables are fresh, and every test that is named exists."""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

import clients.cli
from aggregator import cli as coordinator
from aggregator import root_cli
from federation import commands
from scripts.check_readme import PAIRS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import make_protocol_docs  # noqa: E402


@pytest.mark.parametrize("name", make_protocol_docs.PARTS)
def test_the_protocols_tables_are_what_the_code_gives(name: str) -> None:
    """If not: python scripts/make_protocol_docs.py"""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert make_protocol_docs.renewed(text, make_protocol_docs.PARTS[name]) == text


def test_a_stale_table_is_noticed() -> None:
    name, parts = next(iter(make_protocol_docs.PARTS.items()))
    stale = (ROOT / name).read_text(encoding="utf-8").replace("| `mask_key` | 32 bytes |", "| `mask_key` | 33 bytes |")
    assert make_protocol_docs.renewed(stale, parts) != stale


def functions_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


NAMED = re.findall(r"`((?:unit|protocol)/\w+\.py)::(\w+)`", (ROOT / "docs/attacks.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_every_test_that_the_attacks_name_exists(file: str, test: str) -> None:
    assert test.startswith("test_")
    assert test in functions_in(f"tests/{file}")


def test_every_row_of_the_attacks_names_a_test() -> None:
    text = (ROOT / "docs/attacks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!---|attack)(.+)", text.partition("## Attacks and tests")[2], flags=re.M)
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []


def typed() -> list[tuple[str, str]]:
    """(page, command line) of every `rengo member`, `coordinator` and `root` that README and guides show to type."""
    found = []
    for name in sorted({name for pair in PAIRS for name in pair}):
        for block in re.findall(r"^```$(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), flags=re.M | re.S):
            lines = re.findall(r"^rengo ((?:member|coordinator|root) [^#>\n]+)", block, flags=re.M)
            found += [(name, line.strip()) for line in lines]
    return found


def test_commands_to_type_are_found_on_every_page() -> None:
    assert {name for name, _ in typed()} == {name for pair in PAIRS for name in pair}


@pytest.mark.parametrize(("page", "line"), typed())
def test_every_command_to_type_has_all_that_it_needs(page: str, line: str) -> None:
    noun, verb, *arguments = shlex.split(line)
    found = {"member": [*clients.cli._VERBS.values()], "coordinator": coordinator._VERBS, "root": root_cli._VERBS}
    [known] = [each for each in found[noun] if each.name == verb]
    parser = commands._parser(noun, known, "en")
    if known.rest:
        parser.parse_known_intermixed_args(arguments)
    else:
        parser.parse_intermixed_args(arguments)


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if heading and target.suffix == ".md":
            assert heading in anchors(target), link


def anchors(document: Path) -> set[str]:
    """What a heading is called in a link: lower case, without punctuation, blanks as hyphens."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
