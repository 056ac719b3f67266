"""The demo's thirty members: what lies in their folders, and that it can be read."""

from collections import Counter
from pathlib import Path

import docx
import pytest

from aggregator.simulate.overlap import seen_share
from aggregator.simulate.probes import OURS
from aggregator.simulate.questions import read_paragraphs, read_questions
from aggregator.simulate.table import DEMO_MEMBERS
from clients.ingest import Reading, read_documents
from clients.ingest.parser import Parser


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    with Parser() as parser:
        return {folder.name: read_documents(folder, parser) for folder in sorted(DEMO_MEMBERS.iterdir())}


def test_every_file_of_thirty_members_is_read(readings: dict[str, Reading]) -> None:
    assert len(readings) == 30
    assert {name: reading.set_aside for name, reading in readings.items() if reading.set_aside} == {}


def test_members_differ_in_size_and_none_is_too_small_to_hold_documents_out(readings: dict[str, Reading]) -> None:
    sizes = {name: sum(len(d.text) for d in reading.documents) for name, reading in readings.items()}
    assert 14_000 <= min(sizes.values()) < 15_000
    assert 100_000 < max(sizes.values()) <= 150_000
    assert min(len(reading.documents) for reading in readings.values()) >= 8


def test_each_format_and_encoding_occurs(readings: dict[str, Reading]) -> None:
    facts = [document.facts for reading in readings.values() for document in reading.documents]
    kinds = Counter((each.kind, each.encoding) for each in facts)
    texts = {"text", "html", "sensor log"}
    assert set(kinds) == {(kind, encoding) for kind in texts for encoding in ("utf-8", "cp932")} | {
        ("pdf", ""),
        ("docx", ""),
    }
    in_cp932 = sum(count for (kind, encoding), count in kinds.items() if kind != "sensor log" and encoding == "cp932")
    in_utf_8 = sum(count for (kind, encoding), count in kinds.items() if kind != "sensor log" and encoding == "utf-8")
    assert 0.3 < in_cp932 / (in_cp932 + in_utf_8) < 0.36
    assert min(each.sure for each in facts) > 0.9


def test_some_members_have_sensor_logs_and_none_is_mostly_that(readings: dict[str, Reading]) -> None:
    shares = {}
    for name, reading in readings.items():
        logs = sum(len(d.text) for d in reading.documents if d.facts.kind == "sensor log")
        shares[name] = logs / sum(len(d.text) for d in reading.documents)
    assert sum(share > 0 for share in shares.values()) == 6
    assert max(shares.values()) <= 0.25
    all_logs = "".join(d.text for r in readings.values() for d in r.documents if d.facts.kind == "sensor log")
    assert "Inp OutRange" in all_logs
    assert "Bad" in all_logs


def test_folders_look_like_real_ones(readings: dict[str, Reading]) -> None:
    names = [document.name for reading in readings.values() for document in reading.documents]
    assert any(name.startswith("手順書/") for name in names)
    assert sum(not name.isascii() for name in names) > len(names) / 3
    assert sum(file.stat().st_size for file in DEMO_MEMBERS.rglob("*") if file.is_file()) < 8_000_000


def test_word_documents_are_ones_that_other_programs_open() -> None:
    files = sorted(DEMO_MEMBERS.rglob("*.docx"))
    file = next(file for file in files if docx.Document(str(file)).tables)
    document = docx.Document(str(file))
    assert document.paragraphs[0].style is not None
    text = read_documents(file.parent).documents
    assert all(paragraph.text in next(d.text for d in text if d.name == file.name) for paragraph in document.paragraphs)


def test_nothing_is_larger_than_a_document_of_a_few_pages(readings: dict[str, Reading]) -> None:
    for member, reading in readings.items():
        for document in reading.documents:
            limit = 25_000 if document.facts.kind == "sensor log" else 7_000
            assert len(document.text) < limit, Path(member, document.name)


def test_no_passage_of_our_questions_or_general_text_stands_in_a_member_s_documents(
    readings: dict[str, Reading],
) -> None:
    asked = [*{question.context for question in read_questions(OURS)}, *read_paragraphs(OURS)]
    members = [document.text for reading in readings.values() for document in reading.documents]
    assert seen_share(asked, members) == 0
