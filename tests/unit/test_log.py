"""Log lines for people: each of ours has its words in both languages."""

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

import aggregator
import aggregator.log_words
import clients
import clients.log_words
from federation.errors import Language
from federation.log import Formatter
from federation.secagg.refusals import JobClosed


def messages(package: ModuleType) -> Iterator[str]:
    """What the modules of a package log."""
    for file in Path(package.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_log")), args=[ast.Constant(value=str(text)), *_]):
                    yield text
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"))):
                    raise AssertionError(f"{file.name}:{node.lineno}: a message that is not written out")


@pytest.mark.parametrize(
    ("package", "japanese"), [(clients, clients.log_words.JAPANESE), (aggregator, aggregator.log_words.JAPANESE)]
)
def test_every_message_has_its_japanese_words_over_the_same_facts(
    package: ModuleType, japanese: Mapping[str, str]
) -> None:
    assert set(messages(package)) == set(japanese)
    for english, other in japanese.items():
        assert re.findall("%[a-z0-9.]+", english) == re.findall("%[a-z0-9.]+", other)


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "INFO m00 refused a offer: Job 溶接 was closed at this site. Nothing is answered in it any more."),
        ("ja", "情報 m00: 要求 offer を拒否しました: ジョブ 溶接 はこの拠点で終了済みです。今後は何も応答しません。"),
    ],
)
def test_a_line_and_the_error_in_it_are_in_the_language_asked_for(language: Language, line: str) -> None:
    formatter = Formatter(language, clients.log_words.JAPANESE, "%(levelname)s %(message)s")
    given = ("m00", "offer", JobClosed(job="溶接"))
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s refused a %s: %s", given, None)
    assert formatter.format(record) == line
    assert record.msg == "%s refused a %s: %s"  # other handlers see it as it was


def test_what_another_package_logs_is_left_in_its_words() -> None:
    record = logging.LogRecord("flwr", logging.WARNING, "x.py", 1, "gone: %d", (3,), None)
    assert Formatter("ja", {}, "%(message)s").format(record) == "gone: 3"
