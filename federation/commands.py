"""How a noun with several verbs reads its command line: `rengo member approve PLAN --yes`.

A verb is a function and what `--help` says about it, in both languages. It returns what it found out as a `Result`:
facts for `--json`, text for a person. A verb that works for long prints lines of its own as it goes (`Printer`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.arguments import ArgumentParser
from federation.errors import Language, UsageError
from federation.text import printable_lines

Words = Mapping[Language, str]


class NotConfirmed(UsageError):
    """Nothing was changed: say --yes, or answer y."""

    ja = "何も変更していません。実行するには --yes を付けるか、y と答えてください。"


@dataclass(frozen=True)
class Result:
    """What a verb found out: `facts` for a program, `text` for a person, and the exit code."""

    facts: Mapping[str, Any]
    text: str
    exit_code: int = 0


@dataclass(frozen=True)
class Printer:
    """Where lines go while a verb is at work: text for a person, JSON lines for a program. `aside`: to standard error,
    where standard output is for the result."""

    language: Language
    as_json: bool
    aside: bool = False

    def line(self, event: str, words: Words, **facts: Any) -> None:
        """One thing that happened. `words` are templates over `facts`."""
        if self.as_json:
            text = json.dumps({"event": event, **facts}, ensure_ascii=False, default=str)
        else:
            text = printable_lines(words[self.language].format(**facts))
        print(text, flush=True, file=sys.stderr if self.aside else sys.stdout)


@dataclass(frozen=True)
class Option:
    """An option or argument of a verb: its names, what it says in --help, and how argparse reads it."""

    names: tuple[str, ...]
    words: Words
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verb:
    """`rengo NOUN NAME …`. `run` gets the parsed options and a printer. `rest`: unknown arguments are its business."""

    name: str
    run: Callable[[argparse.Namespace, Printer], Result | None]
    words: Words
    example: str
    options: tuple[Option, ...] = ()
    rest: bool = False


def option(*names: str, en: str, ja: str, **how: Any) -> Option:
    """An Option, as it reads best in a list of them."""
    return Option(names, {"en": en, "ja": ja}, how)


def dispatch(noun: str, words: Words, verbs: Sequence[Verb], argv: Sequence[str], language: Language) -> int:
    """Find the verb, read its options, run it and print what it returns; the exit code. Raises RengoError."""
    arguments, as_json = [a for a in argv if a != "--json"], "--json" in argv
    name = next((a for a in arguments if not a.startswith("-")), None)
    verb = next((v for v in verbs if v.name == name), None)
    if verb is None:
        if name is None and set(arguments) <= {"-h", "--help"}:
            print(_overview(noun, words, verbs, language))
            return 0 if arguments else UsageError.exit_code
        given = f"`rengo {noun} {name or ' '.join(arguments)}`"
        raise UsageError(
            detail=f"{given} does not exist.", detail_ja=f"{given} はありません。", command=f"rengo {noun}"
        )
    arguments.remove(verb.name)
    return _run(noun, verb, arguments, as_json, language)


def alone(verb: Verb, argv: Sequence[str], language: Language) -> int:
    """`rengo NAME …`: a noun that is its own verb. Otherwise as `dispatch`."""
    return _run("", verb, [a for a in argv if a != "--json"], "--json" in argv, language)


def _run(noun: str, verb: Verb, arguments: list[str], as_json: bool, language: Language) -> int:
    if {"-h", "--help"} & set(arguments):
        print(_help(noun, verb, language))
        return 0
    parser = _parser(noun, verb, language)
    if verb.rest:
        options, rest = parser.parse_known_intermixed_args(arguments)
        options.rest = rest
    else:
        options = parser.parse_intermixed_args(arguments)
    result = verb.run(options, Printer(language, as_json))
    if result is None:
        return 0
    text = json.dumps(dict(result.facts), ensure_ascii=False, default=str) if as_json else printable_lines(result.text)
    if text:
        print(text, flush=True)
    return result.exit_code


def confirmed(words: Words, language: Language, yes: bool) -> bool:
    """Whether a person says yes to `words`; without a terminal only `--yes` does."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    hint = {"en": " [y/N] ", "ja": " [y/N] "}[language]
    return input(words[language] + hint).strip().lower() in ("y", "yes", "はい")


def _parser(noun: str, verb: Verb, language: Language) -> ArgumentParser:
    # argparse's own headings are English; these are ours.
    titles = {"en": ("arguments", "options"), "ja": ("引数", "オプション")}[language]
    raw = argparse.RawDescriptionHelpFormatter
    epilog = {"en": "Example:", "ja": "例:"}[language] + f"\n  {verb.example}"
    parser = ArgumentParser(
        prog=" ".join(filter(None, ["rengo", noun, verb.name])),
        description=verb.words[language],
        epilog=epilog,
        add_help=False,
        allow_abbrev=False,
        formatter_class=raw,
    )
    arguments, options = (parser.add_argument_group(title) for title in titles)
    for each in verb.options:
        group = options if each.names[0].startswith("-") else arguments
        group.add_argument(*each.names, help=each.words[language], **each.how)
    return parser


def _help(noun: str, verb: Verb, language: Language) -> str:
    return _parser(noun, verb, language).format_help().rstrip()


def _overview(noun: str, words: Words, verbs: Sequence[Verb], language: Language) -> str:
    width = max(len(verb.name) for verb in verbs)
    lines = [f"  {verb.name:{width}}  {verb.words[language]}" for verb in verbs]
    usage, more = {
        "en": ("Usage", f"rengo {noun} VERB --help   what it takes, with an example"),
        "ja": ("使い方", f"rengo {noun} 動詞 --help   使い方と例"),
    }[language]
    return "\n".join(
        [f"{usage}: rengo {noun} VERB … [--json] [--lang ja|en]", "", words[language], "", *lines, "", more]
    )
