"""Files -> text, in a process of its own: what a hostile file can bring down is that process, and not the site.

One process reads file after file; it is replaced when it dies, runs out of memory, or does not answer. What it says is
taken for hostile too: `pipe` bounds it, and `answers` checks every fact.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from types import TracebackType
from typing import NamedTuple, Self

from clients.ingest import answers
from clients.ingest.confinement import WALLS, Limits
from clients.ingest.content import Content, Unusable
from clients.ingest.pipe import BadAnswer, Frame, receive, send
from clients.ingest.together import Request
from federation.errors import RengoError

MOST_PARTS = 10_000  # files in one archive, those in archives within included
_MOST_DEATHS = 16  # in one archive
_START_SECONDS = 120.0


class ParserNotStarted(RengoError):
    """The process that reads documents did not start: {detail}. `python -m clients.ingest.worker` shows why."""

    ja = "文書を読み取るプロセスが起動しません: {detail}。`python -m clients.ingest.worker` で原因を確認できます。"
    exit_code = 8


class Part(NamedTuple):
    """What was read of one file: of an archive, each file within by its `name` there; of any other, "" alone."""

    name: str
    result: Content | Unusable


class _Ended(Exception):
    """The process ended, hung or talked nonsense while it read `part`. `final`: not for what it had read before."""

    def __init__(self, part: str, reason: Unusable, final: bool) -> None:
        super().__init__(reason.reason)
        self.part, self.reason, self.final = part, reason, final


class Parser:
    """Use it as a context manager: the process starts with the first file and ends with the block."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None
        self._fresh = True  # this process has read nothing yet
        self._walls: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def missing_walls(self) -> list[str]:
        """Which of `confinement.WALLS` this kernel does not give. Raises ParserNotStarted."""
        self._started()
        return [wall for wall in WALLS if wall not in self._walls]

    def parts(self, descriptor: int, name: str, request: Request | None = None) -> list[Part]:
        """Everything in the open file. `request`: how its logs are to be read. Raises ParserNotStarted, and nothing
        about the file itself."""
        found, deaths = list[Part](), 0
        while True:
            try:
                self._read_on(descriptor, name, request, found)
            except _Ended as end:
                by_chance = not (self._fresh or end.final)
                self._end()
                if by_chance:
                    continue  # once more, in a new process: a verdict must not depend on the files before
                found.append(Part(end.part, end.reason))
                deaths += 1
                if end.part and deaths < _MOST_DEATHS:
                    continue
                if end.part:
                    found.append(Part("", _rest_not_read(deaths)))
            return found

    def _read_on(self, descriptor: int, name: str, request: Request | None, found: list[Part]) -> None:
        """Add what comes after `found`. Raises _Ended."""
        door = self._started()
        reading = ""
        try:
            others, text = ([*request.descriptors.values()], request.text()) if request else ([], "")
            socket.send_fds(door, [b"f"], [descriptor, *others])
            send(door, Frame({"name": name, "skip": len(found)}, text))
            while "end" not in (frame := receive(door, self._limits.text, self._limits.patience)).head:
                if len(found) > MOST_PARTS:
                    raise BadAnswer("without end")
                if "part" in frame.head:
                    reading = answers.name(frame)
                else:
                    found.append(Part(reading, answers.result(frame)))
                    reading = ""
        except answers.MoreMemoryNeeded as error:
            raise _Ended(reading, self._too_much_memory(), final=False) from error
        except TimeoutError as error:
            patience = self._limits.patience
            reason = Unusable(f"not read within {patience} s", f"{patience} 秒以内に読み取れませんでした", again=True)
            raise _Ended(reading, reason, final=True) from error
        except BadAnswer as error:
            reason = Unusable(f"its parser's answer is none ({error})", f"解析結果の形式が不正です（{error}）")
            raise _Ended(reading, reason, final=False) from error
        except (EOFError, ConnectionError) as error:
            raise _Ended(reading, *self._death()) from error
        self._fresh = False

    def _started(self) -> socket.socket:
        if self._door is not None:
            return self._door
        here, there = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-m", "clients.ingest.worker"]
        command += [str(getattr(self._limits, field.name)) for field in fields(self._limits)]
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder)
        with there:
            # A new interpreter and no fork: keys in this process's memory are not in that one's. Nor is there an
            # environment, which may name proxies and tokens. In a session of its own, Ctrl-C does not reach it.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # parsers tell pieces of files there
                cwd="/",
                env={"PYTHONPATH": path, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        self._door, self._fresh = here, True
        try:
            self._walls = frozenset(receive(here, 0, _START_SECONDS).head.get("walls", ()))
        except (EOFError, OSError, BadAnswer) as error:
            self._end()
            raise ParserNotStarted(detail=str(error) or "it ended at once") from error
        return here

    def _death(self) -> tuple[Unusable, bool]:
        """Why the process is gone, and whether that is final."""
        assert self._process is not None  # noqa: S101  # it answered before
        with contextlib.suppress(subprocess.TimeoutExpired):  # its socket is closed: it ends, or `_end` ends it
            self._process.wait(10)
        code, seconds = self._process.returncode or 0, self._limits.seconds
        if code == -signal.SIGXCPU:
            english = f"takes more than {seconds} s of computing"
            return Unusable(english, f"解析に {seconds} 秒を超える計算が必要です"), True
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        english = f"its parser crashed ({how}), or needs more than {_mebibytes(self._limits)} MiB of memory"
        return Unusable(english, f"解析中に異常終了しました（{how}。メモリ不足の可能性があります）"), False

    def _too_much_memory(self) -> Unusable:
        mebibytes = _mebibytes(self._limits)
        return Unusable(
            f"needs more than {mebibytes} MiB of memory", f"解析に {mebibytes} MiB を超えるメモリが必要です"
        )

    def _end(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._door = self._process = None


def _mebibytes(limits: Limits) -> int:
    return limits.memory // 2**20


def _rest_not_read(deaths: int) -> Unusable:
    return Unusable(
        f"{deaths} files in it broke their parser: the rest of it was not read",
        f"内部の {deaths} ファイルで解析が異常終了したため、残りは読み取っていません",
    )
