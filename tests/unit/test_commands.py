"""How a noun with verbs reads its command line, in both languages, for people and for programs."""

import argparse
import json
import subprocess
import sys

import pytest

from federation.commands import Printer, Result, Verb, confirmed, dispatch, option
from federation.errors import Language, UsageError

WORDS: dict[Language, str] = {"en": "Things.", "ja": "もの。"}


def show(options: argparse.Namespace, printer: Printer) -> Result:
    printer.line("seen", {"en": "saw {what}", "ja": "{what} を確認"}, what=options.what)
    return Result({"what": options.what, "loud": options.loud, "rest": getattr(options, "rest", None)}, "文", 9)


def quiet(options: argparse.Namespace, printer: Printer) -> None:
    """Long-lived verbs return nothing."""


OPTIONS = (option("what", en="which", ja="どれ"), option("--loud", action="store_true", en="loudly", ja="大声で"))
VERBS = (
    Verb("show", show, {"en": "show a thing", "ja": "ものを表示"}, "rengo thing show x", OPTIONS),
    Verb("quiet", quiet, {"en": "say nothing", "ja": "沈黙"}, "rengo thing quiet"),
    Verb("take", show, {"en": "take all", "ja": "全部"}, "rengo thing take x a=1", OPTIONS, rest=True),
)


def call(*argv: str, language: Language = "en") -> int:
    return dispatch("thing", WORDS, VERBS, argv, language)


def test_a_person_gets_text_and_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "溶接", language="ja") == 9
    assert capsys.readouterr().out == "溶接 を確認\n文\n"


@pytest.mark.parametrize("argv", [("--json", "show", "x"), ("show", "--json", "x"), ("show", "x", "--loud", "--json")])
def test_a_program_gets_json_wherever_it_asks_for_it(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*argv) == 9
    line, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert line == {"event": "seen", "what": "x"}
    assert result == {"what": "x", "loud": "--loud" in argv, "rest": None}


def test_a_verb_that_finds_out_nothing_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("quiet") == 0
    assert capsys.readouterr().out == ""


def test_a_verb_may_take_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    call("take", "x", "a=1", "+b=2", "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rest"] == ["a=1", "+b=2"]


@pytest.mark.parametrize(
    "argv",
    [("shwo",), ("show",), ("show", "x", "y"), ("show", "x", "--lou"), ("show", "x", "--what=1"), ("--loud",)],
)
def test_what_it_does_not_know_is_a_usage_error(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as caught:
        call(*argv)
    assert caught.value.exit_code == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_help_shows_every_verb_and_each_verbs_example(language: Language, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help", language=language) == 0
    overview = capsys.readouterr().out
    for verb in VERBS:
        assert f"{verb.name} " in overview
        assert verb.words[language] in overview
        assert call(verb.name, "--help", language=language) == 0
        assert verb.example in capsys.readouterr().out


def test_without_a_verb_it_shows_help_and_says_so_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 2
    assert "show a thing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "yes"), [("y", True), ("はい", True), ("YES", True), ("", False), ("n", False), ("yellow", False)]
)
def test_only_a_person_who_says_yes_confirms(answer: str, yes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert confirmed(WORDS, "ja", yes=False) is yes


def test_without_a_terminal_only_the_option_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert not confirmed(WORDS, "en", yes=False)
    assert confirmed(WORDS, "en", yes=True)


def test_a_verb_that_trains_nothing_does_not_load_torch() -> None:
    """Seconds of start-up that `status` and `--help` must not cost."""
    source = "import sys, clients.cli, aggregator.cli; sys.exit('torch' in sys.modules or 'flwr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
