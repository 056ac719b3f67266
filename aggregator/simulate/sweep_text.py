"""What a sweep of `rengo simulate` says: how to go on, each job as it begins, and at the end how all of them ended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table as Grid

from aggregator.simulate.screen import Screen
from federation.errors import Language, RengoError
from federation.sweep import Ended

_WORDS: dict[str, dict[Language, str]] = {
    "begins": {
        "en": "sweep in {folder}; if it is interrupted, go on with: rengo simulate resume={folder}",
        "ja": "スイープの保存先: {folder}。中断した場合: rengo simulate resume={folder}",
    },
    "job": {"en": "job {number} of {jobs}: {special}", "ja": "ジョブ {number}/{jobs}: {special}"},
    "there": {"en": "finished before", "ja": "完了済み"},
    "number": {"en": "job", "ja": "ジョブ"},
    "special": {"en": "settings", "ja": "設定"},
    "outcome": {"en": "outcome", "ja": "結果"},
    "finished": {"en": "finished", "ja": "完了"},
    "failed": {"en": "failed with {code}: {message}", "ja": "失敗（終了コード {code}）: {message}"},
}


@dataclass(frozen=True)
class SweepLines:
    """Tells on standard output, in words or with --json in one JSON object a line. A `SweepTeller`."""

    language: Language
    as_json: bool

    def begins(self, folder: Path) -> None:
        """Before the first job: also who is killed later has been told how to go on."""
        self._say("begins", {"event": "sweep", "folder": str(folder)})

    def job(self, number: int, jobs: int, special: Sequence[str]) -> None:
        """Which job comes next, and what is special about it."""
        facts = {"event": "job", "number": number, "jobs": jobs, "overrides": list(special)}
        self._say("job", facts | {"special": " ".join(special)})

    def there(self) -> None:
        """The job that was told last has nothing left to do."""
        self._say("there", {"event": "finished_before"})

    def ended(self, folder: Path, jobs: Sequence[Ended]) -> None:
        """Every job and how it ended."""
        if self.as_json:
            print(json.dumps({"event": "sweep_done", "jobs": [self._facts(job) for job in jobs]}, ensure_ascii=False))
            return
        grid = Grid()
        grid.add_column(self._text("number"), justify="right")
        for name in ("special", "outcome"):
            grid.add_column(self._text(name), overflow="fold")
        for job in jobs:
            grid.add_row(str(job.number), " ".join(job.special), self._outcome(job))
        Screen().print(grid, markup=False)

    def _facts(self, job: Ended) -> dict[str, object]:
        facts: dict[str, object] = {"number": job.number, "overrides": list(job.special), "output": str(job.folder)}
        failure = job.failure
        if isinstance(failure, RengoError):
            return facts | {
                "exit_code": failure.exit_code,
                "error": failure.code,
                "message": failure.text(self.language),
            }
        return facts | {"exit_code": 0}

    def _outcome(self, job: Ended) -> str:
        if not isinstance(job.failure, RengoError):
            return self._text("finished")
        message = job.failure.text(self.language)
        return self._text("failed").format(code=job.failure.exit_code, message=message)

    def _say(self, name: str, facts: dict[str, object]) -> None:
        line = json.dumps(facts, ensure_ascii=False) if self.as_json else self._text(name).format(**facts)
        print(line, flush=True)

    def _text(self, name: str) -> str:
        return _WORDS[name][self.language]
