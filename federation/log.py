"""Log lines of a long-lived program, for people, in the language asked for."""

import logging
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from federation.errors import Language

_LEVELS = {"INFO": "情報", "WARNING": "警告", "ERROR": "エラー", "CRITICAL": "重大"}


_OURS = ("federation", "clients", "aggregator")


@runtime_checkable
class Bilingual(Protocol):
    """Whatever says itself in either language, as an error does."""

    def text(self, language: Language) -> str: ...


class Formatter(logging.Formatter):
    """`japanese`: English template of a message -> Japanese one, over the same arguments. One that is not there (of
    another package) stays English; an error, or what else is bilingual, among the arguments speaks either language."""

    def __init__(self, language: Language, japanese: Mapping[str, str], format: str) -> None:
        super().__init__(format)
        self._language, self._japanese = language, japanese

    def format(self, record: logging.LogRecord) -> str:
        """One line, in the language."""
        told = logging.makeLogRecord(record.__dict__)
        if isinstance(told.args, tuple):
            told.args = tuple(a.text(self._language) if isinstance(a, Bilingual) else a for a in told.args)
        if self._language == "ja":
            told.msg = self._japanese.get(str(told.msg), told.msg)
            told.levelname = _LEVELS.get(told.levelname, told.levelname)
        return super().format(told)


def begin(language: Language, japanese: Mapping[str, str], format: str, level: int = logging.INFO) -> None:
    """Write what this program's modules log to standard error, and of other packages warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(language, japanese, format))
    logging.basicConfig(handlers=[handler])
    for package in _OURS:
        logging.getLogger(package).setLevel(level)
