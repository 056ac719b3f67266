"""`rengo simulate`: from a command line to runs.

What a run needs brings torch along: several seconds, which help, `--cfg` and a wrong argument must not cost. So
`running` is imported only where a run begins.
"""

import functools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from aggregator.simulate.config import SimulateConfig
from federation import load_plan
from federation.errors import ConfigInvalid, Language, RengoError, UsageError
from federation.output import disk_errors

_JOB: dict[Language, str] = {
    "en": "job {number} of {jobs}: {overrides}",
    "ja": "ジョブ {number}/{jobs}: {overrides}",
}


class NoSuchRun(RengoError):
    """{path} is not a run of `rengo simulate`: there is no config.yaml in it."""

    ja = "{path} は `rengo simulate` の実行結果ではありません（config.yaml がありません）。"
    exit_code = 2


def main(argv: list[str], language: Language) -> int:
    """Run one job, with -m each job of a sweep, or go on with an interrupted one. Raises RengoError."""
    as_json = "--json" in argv
    if runs := [argument for argument in argv if argument.startswith("resume=")]:
        if len(runs) > 1 or set(argv) - {*runs, "--json"}:
            raise UsageError(
                detail="`resume=RUN` takes every setting from the run; nothing else may be given.",
                detail_ja="`resume=実行結果` はその実行の設定をすべて使うため、ほかの引数は指定できません。",
                command="rengo simulate",
            )
        output = Path(runs[0].removeprefix("resume=")).expanduser().absolute()
        with disk_errors(output):
            resume(output, language, as_json)
    else:
        how: dict[str, Any] = {"language": language, "as_json": as_json}
        task, announce = functools.partial(begin, **how), functools.partial(_announce, **how)
        load_plan.run(argv, SimulateConfig, "simulate", task, announce)
    return 0


def begin(config: SimulateConfig, output: Path, *, language: Language, as_json: bool) -> None:
    """A new run in `output`. Where it is resumed from does not matter: its cache of arms is absolute, as paths of data
    and models are."""
    from aggregator.simulate import running

    if config.arms.cache is not None:
        cache = os.path.abspath(os.path.expanduser(config.arms.cache))
        config = replace(config, arms=replace(config.arms, cache=cache))
    running.run(config, output, language, as_json)


def resume(output: Path, language: Language, as_json: bool) -> None:
    """Go on with the run in `output`. Raises NoSuchRun and ConfigInvalid."""
    path = output / "config.yaml"
    if not path.is_file():
        raise NoSuchRun(path=output)
    config = load_plan.from_yaml(_utf8(path), SimulateConfig)
    from aggregator.simulate import running

    running.go_on(config, output, language, as_json)


def _utf8(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        detail, detail_ja = f"{path} is not UTF-8", f"{path} が UTF-8 ではありません"
        raise ConfigInvalid([load_plan.NotYaml(detail=detail, detail_ja=detail_ja)]) from error


def _announce(number: int, jobs: int, overrides: list[str], *, language: Language, as_json: bool) -> None:
    """Which job of a sweep comes next, and what is special about it."""
    if as_json:
        line = json.dumps({"event": "job", "number": number, "jobs": jobs, "overrides": overrides}, ensure_ascii=False)
    else:
        line = _JOB[language].format(number=number, jobs=jobs, overrides=" ".join(overrides))
    print(line, flush=True)
