"""`rengo simulate`: from a command line to runs.

What a run needs brings torch along: several seconds, which help, `--cfg` and a wrong argument must not cost. So
`running` is imported only where a run begins.
"""

import contextlib
import fcntl
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.sweep_text import SweepLines
from federation import load_plan, sweep
from federation.errors import ConfigInvalid, Language, RengoError, UsageError
from federation.output import disk_errors
from federation.sweep import Ended


class NoSuchRun(RengoError):
    """{path} is not a run of `rengo simulate`: there is no config.yaml in it."""

    ja = "{path} は `rengo simulate` の実行結果ではありません（config.yaml がありません）。"
    exit_code = 2


class RunIsRunning(RengoError):
    """The run in {path} is being run by another process. Wait for it, or end it first."""

    ja = "{path} は別のプロセスが実行中です。終了を待つか、先に停止してください。"
    exit_code = 9


def main(argv: list[str], language: Language) -> int:
    """Run one job, with -m each job of a sweep, or go on with an interrupted one. Raises RengoError."""
    as_json = "--json" in argv
    task = functools.partial(begin_or_go_on, language=language, as_json=as_json, started_by=os.getpid())
    teller = Compared(language, as_json)
    if runs := [argument for argument in argv if argument.startswith("resume=")]:
        if len(runs) > 1 or set(argv) - {*runs, "--json"}:
            raise UsageError(
                detail="`resume=RUN` takes every setting from the run or sweep; nothing else may be given.",
                detail_ja="`resume=実行結果` は元の設定をすべて使うため、ほかの引数は指定できません。",
                command="rengo simulate",
            )
        output = Path(runs[0].removeprefix("resume=")).expanduser().absolute()
        with disk_errors(output):
            if (output / sweep.NOTE).is_file():
                load_plan.go_on(output, SimulateConfig, "simulate", task, teller)
            else:
                resume(output, language, as_json)
    else:
        load_plan.run(argv, SimulateConfig, "simulate", task, teller)
    return 0


@dataclass(frozen=True)
class Compared(SweepLines):
    """A sweep whose finished runs are compared at its end, into its folder."""

    def ended(self, folder: Path, jobs: Sequence[Ended]) -> None:
        """How all jobs ended, and what their runs say."""
        from aggregator.simulate import compare  # brings matplotlib along

        super().ended(folder, jobs)
        if any((job.folder / "summary.json").exists() for job in jobs):
            compare.compare([folder], folder, self.language, self.as_json)


def begin_or_go_on(config: SimulateConfig, output: Path, *, language: Language, as_json: bool, started_by: int) -> None:
    """One job, from wherever it stands: a sweep that goes on calls this for each. `started_by`: the process that was
    typed, which may not be this one."""
    _end_with(started_by)
    if (output / "summary.json").exists():
        SweepLines(language, as_json).there()
    elif (output / "config.yaml").exists():
        resume(output, language, as_json)
    else:
        begin(config, output, language=language, as_json=as_json)


def _end_with(parent: int) -> None:
    """End this process soon after `parent`, if that started it. A sweep that is killed by force would leave its
    processes training, and whoever went on with it would meet them."""
    if os.getppid() != parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def begin(config: SimulateConfig, output: Path, *, language: Language, as_json: bool) -> None:
    """A new run in `output`. Where it is resumed from does not matter: its other paths are made absolute, as those of
    data and models are. Raises RunIsRunning."""
    from aggregator.simulate import running

    arms = replace(config.arms, cache=_absolute(config.arms.cache))
    data = replace(config.data, domains=_absolute(config.data.domains))
    with _alone(output):
        running.run(replace(config, arms=arms, data=data), output, language, as_json)


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def resume(output: Path, language: Language, as_json: bool) -> None:
    """Go on with the run in `output`. Raises NoSuchRun, RunIsRunning and ConfigInvalid."""
    path = output / "config.yaml"
    if not path.is_file():
        raise NoSuchRun(path=output)
    config = load_plan.from_yaml(_utf8(path), SimulateConfig)
    from aggregator.simulate import running

    with _alone(output):
        running.go_on(config, output, language, as_json)


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """While this process runs the run in `output`. The lock is on the folder itself: a run that is refused leaves
    nothing in it."""
    handle = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunIsRunning(path=output) from error
        yield
    finally:
        os.close(handle)


def _utf8(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        detail, detail_ja = f"{path} is not UTF-8", f"{path} が UTF-8 ではありません"
        raise ConfigInvalid([load_plan.NotYaml(detail=detail, detail_ja=detail_ja)]) from error
