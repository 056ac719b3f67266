"""The SuperLink's log, which is made of what strangers and members sent: one line a record whatever is in it, and no
more of it on the disk than so much.

In the SuperLink's process `one_line_each`; in the coordinator's, which reads its output, `keep`.
"""

import contextlib
import logging
import os
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from federation.text import printable

_LONGEST, _LINES = 500, 12
"""Characters of a line; lines of what an exception says, from its end."""
MOST = 4 << 20
"""Bytes of the log, and of the older one beside it."""
_PIECE = 64 << 10


class OneLine(logging.LogRecord):
    """A record whose text is cut, and cannot begin a line that would pass for another record. An exception's lines are
    indented."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.exc_info and self.exc_info[0]:
            lines = "".join(traceback.format_exception(*self.exc_info)).splitlines()[-_LINES:]
            self.exc_text = "\n".join("    " + _shown(line) for line in lines)

    def getMessage(self) -> str:  # logging's name
        """As said, on one line."""
        return _shown(super().getMessage())


def _shown(text: str) -> str:
    return printable(text[:_LONGEST])[:_LONGEST]


def one_line_each() -> None:
    """From now on for every logger of this process, whoever configures it."""
    logging.setLogRecordFactory(OneLine)


def keep(output: BinaryIO, path: Path, most: int = MOST) -> None:
    """Append a process's output to `path` until it ends. Before that is larger than `most` bytes it becomes `path`.1,
    in place of the last one."""
    with output:
        with contextlib.suppress(OSError):
            path.touch()  # there is one to look into, also when nothing goes wrong
        while part := os.read(output.fileno(), _PIECE):
            # On a full disk it is lost: a pipe that nobody empties would stop the SuperLink.
            with contextlib.suppress(OSError):
                if path.exists() and path.stat().st_size + len(part) > most:
                    path.replace(path.with_name(f"{path.name}.1"))
                with path.open("ab") as log:
                    log.write(part)
