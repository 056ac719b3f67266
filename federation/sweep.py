"""A sweep as its folder remembers it, how its jobs ended, and who is told."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, Self

from federation.errors import Language, RengoError
from federation.output import write_text_whole

NOTE = "sweep.json"


class SweepDamaged(RengoError):
    """{path} is damaged, and only it knew the settings of the sweep. Its runs go on one by one: resume=RUN."""

    ja = "{path} が壊れており、スイープの設定を読めません。個々の実行は resume=実行結果 で続けられます。"
    exit_code = 10


class SweepChanged(RengoError):
    """The sweep in {path} cannot go on: what was typed then gives other settings now (another version of rengo, or
    another preset). Start a new sweep; its runs go on one by one: resume=RUN."""

    ja = (
        "{path} のスイープは続けられません: 当時の引数から得られる設定が変わりました"
        "（rengo の版またはプリセットの違い）。新しく開始するか、個々の実行を resume=実行結果 で続けてください。"
    )
    exit_code = 3


class SweepBroken(RengoError):
    """A process of the sweep in {path} was killed, which ends those beside it too; often memory is used up. What is
    finished is complete. Go on with: rengo simulate resume={path}"""

    ja = (
        "{path} のスイープのプロセスが強制終了し、並行するジョブも止まりました（多くはメモリー不足です）。"
        "完了した結果は揃っています。続けるには: rengo simulate resume={path}"
    )
    exit_code = 9


@dataclass(frozen=True)
class Note:
    """What a sweep was started with: overrides as Hydra takes them, and the SHA-256 of all jobs' configurations."""

    overrides: tuple[str, ...]
    configs: str

    def write(self, folder: Path) -> None:
        """Into the sweep's folder, before its first job."""
        write_text_whole(folder / NOTE, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` left. Raises SweepDamaged."""
        try:
            found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
            return cls(tuple(map(str, found["overrides"])), str(found["configs"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SweepDamaged(path=folder / NOTE) from error


@dataclass(frozen=True)
class Ended:
    """How one job ended: its number from 1, what is special about it, its output folder, and why it failed."""

    number: int
    special: tuple[str, ...]
    folder: Path
    failure: RengoError | BrokenPipeError | None


class SweepFailed(RengoError):
    """{failed} of {jobs} jobs failed; the results of the others are complete:"""

    ja = "{jobs} 件のジョブのうち {failed} 件が失敗しました（ほかの結果は揃っています）:"

    def __init__(self, jobs: Sequence[Ended]) -> None:
        self.failures = [(" ".join(job.special), job.failure) for job in jobs if isinstance(job.failure, RengoError)]
        super().__init__(failed=len(self.failures), jobs=len(jobs))
        self.exit_code = self.failures[0][1].exit_code

    def text(self, language: Language) -> str:
        lines = [f"  - {job}: {error.text(language)}" for job, error in self.failures]
        return "\n".join([super().text(language), *lines])


class SweepTeller(Protocol):
    """Who is told of a sweep. Jobs may begin in other processes, to which this is pickled."""

    def begins(self, folder: Path) -> None:
        """Before the first job."""

    def job(self, number: int, jobs: int, special: Sequence[str]) -> None:
        """Before each."""

    def ended(self, folder: Path, jobs: Sequence[Ended]) -> None:
        """After the last."""


class _Untold:
    def begins(self, folder: Path) -> None: ...
    def job(self, number: int, jobs: int, special: Sequence[str]) -> None: ...
    def ended(self, folder: Path, jobs: Sequence[Ended]) -> None: ...


UNTOLD: SweepTeller = _Untold()
