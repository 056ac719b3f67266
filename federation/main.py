"""The `rengo` program: picks the noun and hands over.

A noun is an entry point of the group `rengo.commands` and a `Command`: it takes its arguments and the language to
speak, returns the exit code, and raises RengoError for whatever a person has to be told: that is printed here, once for
all nouns. Only the chosen noun is imported. `--json` stays among the arguments, for the noun's own results.
"""

import difflib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from federation.errors import ConfigInvalid, Language, RengoError, UsageError

Command = Callable[[list[str], Language], int]

# One line a noun for `rengo --help`, so that help imports none of them. A noun of another package has none.
_HELP: dict[str, dict[Language, str]] = {
    "member": {
        "en": "a member's site: join, review, approve, start, stop, leave",
        "ja": "参加拠点: 参加・確認・承認・開始・停止・脱退",
    },
    "coordinator": {
        "en": "the coordinator: invite members, run rounds, release adapters",
        "ja": "事務局: 招待・学習回の実行・追加学習差分の公開",
    },
    "root": {
        "en": "sign the roster with the consortium's root key",
        "ja": "コンソーシアムのルート鍵で参加者名簿に署名",
    },
    "bundle": {
        "en": "wheels with hashes, for a site without a package index",
        "ja": "パッケージ取得元に接続できない拠点向けのインストール一式",
    },
    "simulate": {"en": "every member on this machine: no network, no set-up", "ja": "全拠点をこの 1 台で模擬実行"},
    "compare": {
        "en": "runs side by side: loss against rounds, bytes and compute",
        "ja": "実行結果の比較: 損失と学習回・通信量・計算量",
    },
}

_USAGE: dict[Language, str] = {
    "en": """Usage: rengo NOUN … [--lang ja|en] [--json]

Federated LoRA training: documents stay with each manufacturer, only sums of masked updates leave.

{nouns}

  rengo NOUN --help   what it takes        rengo --version   the version

Example: rengo simulate experiment=quick""",
    "ja": """使い方: rengo 名詞 … [--lang ja|en] [--json]

連合 LoRA 学習: 文書は各社に残り、社外に出るのは秘匿集計される更新だけです。

{nouns}

  rengo 名詞 --help   使い方を表示        rengo --version   版を表示

例: rengo simulate experiment=quick""",
}


class UnknownNoun(UsageError):
    """`rengo {noun}` does not exist.{hint} Try `rengo --help`."""

    ja = "`rengo {noun}` はありません。{hint_ja}`rengo --help` をご覧ください。"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see federation/errors.py; 130 when interrupted from the keyboard, 141 when
    nobody reads the output any more)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    language = _system_language(os.environ)
    # Whatever a command writes is for the person who ran it.
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Japanese on a terminal that is not UTF-8: unreadable is better than a crash.
            stream.reconfigure(errors="backslashreplace")
    try:
        language, arguments = _take_language(arguments, language)
        exit_code = _dispatch(arguments, language)
        sys.stdout.flush()  # what is still buffered may find that nobody reads it
        return exit_code
    except RengoError as error:
        print(_report(error, language, as_json="--json" in arguments), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _leave_pipe()
        return 141
    except Exception:
        traceback.print_exc()
        return RengoError.exit_code


def _leave_pipe() -> None:
    """Nobody reads on, as in `rengo … | head`: what is still to be written goes nowhere, and without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _dispatch(arguments: list[str], language: Language) -> int:
    nouns = {entry.name: entry for entry in entry_points(group="rengo.commands")}
    # Options of the program itself stand before the noun; behind it, they are the noun's.
    first = next((argument for argument in arguments if argument != "--json"), None)
    if first == "--version":
        print(f"rengo {_version()}")
        return 0
    if first in ("-h", "--help", None):
        print(_USAGE[language].format(nouns=_listing(nouns, language)))
        return 0 if first else UsageError.exit_code
    if first not in nouns:
        raise _unknown(first, list(nouns))
    arguments.remove(first)
    command: Command = nouns[first].load()
    return command(arguments, language)


def _take_language(arguments: list[str], default: Language) -> tuple[Language, list[str]]:
    """`--lang ja` or `--lang=ja`, wherever it stands, and the arguments without it."""
    language, rest, remaining = default, [], iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option != "--lang":
            rest.append(argument)
            continue
        match value if equals else next(remaining, ""):
            case "ja":
                language = "ja"
            case "en":
                language = "en"
            case _:
                raise UsageError(detail="--lang: ja | en.", detail_ja="--lang: ja | en。", command="rengo")
    return language, rest


def _system_language(environment: Mapping[str, str]) -> Language:
    """Japanese where the locale is, in the order in which POSIX looks."""
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ja" if next(filter(None, names), "").lower().startswith("ja") else "en"


def _listing(nouns: Mapping[str, EntryPoint], language: Language) -> str:
    width = max(map(len, nouns), default=0)
    return "\n".join(f"  {noun:{width}}  {_HELP.get(noun, {}).get(language, '')}".rstrip() for noun in sorted(nouns))


def _unknown(noun: str, nouns: list[str]) -> UnknownNoun:
    close = difflib.get_close_matches(noun, nouns, n=1)
    return UnknownNoun(
        noun=noun,
        hint=f" Did you mean `rengo {close[0]}`?" if close else "",
        hint_ja=f"`rengo {close[0]}` のことですか。" if close else "",
    )


def _version() -> str:
    try:
        return version("rengo")
    except PackageNotFoundError:
        return "(a checkout that is not installed)"


def _report(error: RengoError, language: Language, as_json: bool) -> str:
    """An error for a person, or as one line for a program."""
    if not as_json:
        return f"rengo: {error.text(language)} [{error.code}]"
    line = _facts(error, language) | {"exit_code": error.exit_code}
    if isinstance(error, ConfigInvalid):
        line["faults"] = [_facts(fault, language) for fault in error.faults]
    return json.dumps(line, ensure_ascii=False)


def _facts(error: RengoError, language: Language) -> dict[str, object]:
    facts = {name: str(fact) for name, fact in error.facts.items()}
    return {"error": error.code, "message": error.text(language), "facts": facts}


if __name__ == "__main__":
    sys.exit(main())
