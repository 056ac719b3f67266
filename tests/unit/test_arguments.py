"""What is wrong with a command line is said in the reader's language, also where argparse finds it."""

import pytest

from federation.arguments import ArgumentParser, folder
from federation.errors import UsageError


def parser() -> ArgumentParser:
    """One argument of each kind that verbs have."""
    parser = ArgumentParser("rengo it", add_help=False, allow_abbrev=False)
    parser.add_argument("plan", nargs="?")
    parser.add_argument("--home", type=folder, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--wait", type=float)
    parser.add_argument("--format", choices=["csv", "syslog"])
    parser.add_argument("--yes", action="store_true")
    return parser


@pytest.mark.parametrize(
    ("argv", "english", "japanese"),
    [
        ("", "the following arguments are required: --home.", "必要な引数がありません: --home。"),
        ("--home x a b", "unrecognized arguments: b.", "次の引数は使えません: b。"),
        ("--home", "argument --home: expected one argument.", "--home に値がありません。"),
        ("--home=", "argument --home: invalid folder value: ''.", "--home にフォルダーを指定してください: ''。"),
        ("--home x --port y", "argument --port: invalid int value: 'y'.", "--port は整数で指定してください: 'y'。"),
        ("--home x --wait y", "argument --wait: invalid float value: 'y'.", "--wait は数で指定してください: 'y'。"),
        ("--home x --yes=1", "argument --yes: ignored explicit argument '1'.", "--yes は値をとりません: '1'。"),
    ],
)
def test_a_fault_is_told_in_either_language(argv: str, english: str, japanese: str) -> None:
    with pytest.raises(UsageError) as caught:
        parser().parse_args(argv.split())
    assert caught.value.text("en") == f"{english} Try `rengo it --help`."
    assert caught.value.text("ja") == f"{japanese}`rengo it --help` をご覧ください。"


def test_a_choice_that_there_is_not_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        parser().parse_args(["--home", "x", "--format", "xml"])
    japanese = caught.value.text("ja")
    assert japanese.startswith("--format に 'xml' は使えません（使える値: ")
    assert "csv" in japanese
    assert "syslog" in japanese


def test_one_that_has_no_name_on_the_command_line_is_told_without_one() -> None:
    nameless = ArgumentParser(prog="rengo it")
    nameless.add_argument("what", choices=["export", "verify"])
    with pytest.raises(UsageError) as caught:
        nameless.parse_args(["frob"])
    assert caught.value.text("ja").startswith("'frob' は使えません（使える値: ")


def test_what_argparse_says_in_other_words_is_shown_as_it_is() -> None:
    with pytest.raises(UsageError) as caught:
        parser().error("something new")
    assert caught.value.text("ja").startswith("something new。")
