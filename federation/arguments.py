"""argparse whose faults are UsageErrors, in both languages."""

import argparse
import re
from pathlib import Path
from typing import NoReturn

from federation.errors import UsageError

_JAPANESE = [
    (r"the following arguments are required: (.+)", "必要な引数がありません: {0}"),
    (r"unrecognized arguments: (.+)", "次の引数は使えません: {0}"),
    (r"argument (\S+): expected (?:one|\d+|at least one|at most one) arguments?", "{0} に値がありません"),
    (r"argument (\S+): ignored explicit argument (.+)", "{0} は値をとりません: {1}"),
    (r"argument [^-\s]\S*: invalid choice: (.+) \(choose from (.+)\)", "{0} は使えません（使える値: {1}）"),
    (r"argument (\S+): invalid choice: (.+) \(choose from (.+)\)", "{0} に {1} は使えません（使える値: {2}）"),
    (r"argument (\S+): invalid folder value: (.+)", "{0} にフォルダーを指定してください: {1}"),
    (r"argument (\S+): invalid int value: (.+)", "{0} は整数で指定してください: {1}"),
    (r"argument (\S+): invalid float value: (.+)", "{0} は数で指定してください: {1}"),
]
"""What argparse says about arguments of the kinds that are used here: it has neither codes nor Japanese of its own. A
message that is not in the list is shown as it is."""


class ArgumentParser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print and end the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(detail=f"{message}.", detail_ja=f"{_japanese(message)}。", command=self.prog)


def folder(text: str) -> Path:
    """A folder of the command line. Raises ValueError for an empty one (`--home "$UNSET"`), to Path the current one."""
    if not text:
        raise ValueError("no folder")
    return Path(text).expanduser()


def _japanese(message: str) -> str:
    for pattern, words in _JAPANESE:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return words.format(*found.groups())
    return message
