"""From what was typed to a checked configuration, through Hydra. It and `command_line` are the importers of Hydra.

Hydra composes `conf/`, sweeps and launches. What it lets pass is our business: `+typo=1` goes through it silently,
and a bad value would be found when the job that has it starts, hours into a sweep. So, before it runs anything, every
argument is parsed and its key looked up in the dataclasses, every combination of a sweep is composed and read, and all
faults are reported at once. The command line adds two comforts to Hydra's grammar: `data=PATH` stands for
`data.path='/absolute/PATH'`, and text that the grammar cannot parse (Japanese, say) is taken as it stands.
"""

import contextlib
import dataclasses
import functools
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from federation import formats, output, plan, sweep
from federation.arguments import ArgumentParser
from federation.command_line import CONF, CommandLine, faults, plain, quoted, read
from federation.errors import ConfigInvalid, Fault, RengoError
from federation.sweep import Ended, SweepTeller

C = TypeVar("C")
Task = Callable[[C, Path], None]

_DEEPEST = 8
"""No plan nests deeper than half of this."""


class NotYaml(Fault):
    """This is not YAML that rengo wrote: {detail}."""

    ja = "rengo が書いた YAML ではありません: {detail_ja}。"


def run(
    argv: Sequence[str], kind: type[C], config_name: str, task: Task[C], teller: SweepTeller = sweep.UNTOLD
) -> None:
    """Compose `conf/<config_name>.yaml` with `argv` as a `kind` and call `task(config, output folder)` once a job: one,
    or with -m, or a preset that is a sweep, several, of which `teller` hears.

    Raises ConfigInvalid before any job starts, the RengoError of a single job, SweepFailed after a sweep with failures,
    SweepBroken when a process of it was killed. A bug in `task` has its traceback printed where it happens, perhaps
    another process: it is a plain RengoError then. BrokenPipeError passes: nobody reads the output any more.
    """
    arguments = _Flags(f"rengo {config_name}").parse_intermixed_args(argv)
    with _hydra(config_name) as app:
        line = CommandLine(kind, config_name, arguments.overrides, arguments.multirun)
        if arguments.help:
            print(line.help())
            return
        overrides = line.check()
        if arguments.cfg:
            app.show_cfg(config_name, overrides, arguments.cfg, package=None, resolve=arguments.cfg == "job")
        elif line.multirun:
            with _claimed(app, config_name, overrides, RunMode.MULTIRUN) as folder:
                sweep.Note(tuple(overrides), _digest(line.configs)).write(folder)
                _sweep(app, config_name, _Job(kind, task, teller, len(line.configs), line.varied), overrides, folder)
        else:
            with _claimed(app, config_name, overrides, RunMode.RUN) as folder:
                given = [*overrides, f"hydra.run.dir={quoted([str(folder)])}"]
                if failure := app.run(config_name, _Job(kind, task), given).return_value.failure:
                    raise failure


def go_on(folder: Path, kind: type[C], config_name: str, task: Task[C], teller: SweepTeller = sweep.UNTOLD) -> None:
    """Run the jobs of the sweep in `folder` again, with the settings and the launcher that it was started with; what
    they find in their output folders is theirs to judge. Raises as `run`, and SweepDamaged and SweepChanged."""
    note = sweep.Note.read(folder)
    with _hydra(config_name) as app:
        line = CommandLine(kind, config_name, note.overrides, multirun=True)
        overrides = line.check()
        if _digest(line.configs) != note.configs:
            raise sweep.SweepChanged(path=folder)
        _sweep(app, config_name, _Job(kind, task, teller, len(line.configs), line.varied), overrides, folder)


def _sweep(app: Any, config_name: str, job: "_Job[C]", overrides: list[str], folder: Path) -> None:
    """All jobs, by the launcher that `overrides` choose."""
    job.teller.begins(folder)
    given = [*overrides, "hydra.mode=MULTIRUN", f"hydra.sweep.dir={quoted([str(folder)])}"]
    try:
        batches = app.multirun(config_name, job, given)
    except BrokenProcessPool as error:
        raise sweep.SweepBroken(path=folder) from error
    jobs: list[Ended] = [each.return_value for batch in batches for each in batch]
    for each in jobs:
        if isinstance(each.failure, BrokenPipeError):
            raise each.failure
    job.teller.ended(folder, jobs)
    if any(each.failure for each in jobs):
        raise sweep.SweepFailed(jobs)


def _digest(configs: Sequence[Any]) -> str:
    """SHA-256 of the settings of all jobs, in order."""
    return sha256("\n".join(map(repr, configs)).encode()).hexdigest()


def compose(overrides: Sequence[str], kind: type[C], config_name: str) -> C:
    """`conf/<config_name>.yaml` with `overrides` as a `kind`, or ConfigInvalid with every fault."""
    with _hydra(config_name):
        return read(kind, config_name, CommandLine(kind, config_name, overrides, multirun=False).check())


def to_yaml(config: Any) -> str:
    """A dataclass as YAML that `plan.read` takes back; for plan.yaml."""
    return formats.written_by() + OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config)))


def from_yaml(text: str, kind: type[C]) -> C:
    """What `to_yaml` wrote, or ConfigInvalid, which says so when another version of rengo did. It may have come over a
    network: aliases, which could make it grow without bound, are refused, and interpolations (`${oc.env:NAME}`) stay
    the text that they are."""
    try:
        _refuse_unbounded(text)
        with faults():
            raw: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
            return plan.read(kind, raw)
    except ConfigInvalid as error:
        raise ConfigInvalid([*error.faults, *formats.other_settings(error.faults, text)]) from error
    except yaml.YAMLError as error:
        raise ConfigInvalid([NotYaml(detail=(reason := str(error).splitlines()[0]), detail_ja=reason)]) from error


def _refuse_unbounded(text: str) -> None:
    """Raises ConfigInvalid for YAML that would take more memory or time than its length lets expect."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ConfigInvalid([NotYaml(detail="it is nested too deeply", detail_ja="入れ子が深すぎます")])
        if isinstance(event, yaml.AliasEvent):
            raise ConfigInvalid([NotYaml(detail="it has aliases", detail_ja="エイリアスがあります")])


class _Flags(ArgumentParser):
    """Hydra's flags that make sense here; everything else is an override."""

    def __init__(self, command: str) -> None:
        super().__init__(prog=command, add_help=False, allow_abbrev=False)
        self.add_argument("-m", "--multirun", action="store_true")
        self.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
        self.add_argument("-h", "--help", action="store_true")
        self.add_argument("--json", action="store_true")  # for the noun: its `task` knows what to print
        self.add_argument("overrides", nargs="*")


@contextlib.contextmanager
def _hydra(config_name: str) -> Iterator[Any]:
    """Hydra's application object on `conf/`. What it finds wrong with `hydra.*` settings is a fault like any other."""
    with hydra.initialize_config_dir(str(CONF), config_name, version_base="1.3"), faults():
        yield GlobalHydra.instance().hydra


@contextlib.contextmanager
def _claimed(app: Any, config_name: str, overrides: list[str], mode: RunMode) -> Iterator[Path]:
    """An output folder for this run, or this sweep, that no other has."""
    key = "hydra.run.dir" if mode == RunMode.RUN else "hydra.sweep.dir"
    wanted = OmegaConf.select(app.compose_config(config_name, overrides, mode, with_log_configuration=False), key)
    chosen = any(override.startswith(f"{key}=") for override in overrides)
    with output.claimed(Path(str(wanted)), chosen) as folder:
        try:
            yield folder
        except BaseException:
            notes = {folder / "multirun.yaml", folder / sweep.NOTE}  # Hydra's and ours, of jobs that left nothing
            if set(folder.glob("*")) <= notes:
                for note in notes:
                    note.unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class _Job(Generic[C]):
    """`task` as Hydra calls it. Returns how it ended: what it raises Hydra would print, and exit with 1."""

    kind: type[C]
    task: Task[C]
    teller: SweepTeller = sweep.UNTOLD
    jobs: int = 1
    varied: tuple[str, ...] = ()

    def __call__(self, composed: DictConfig) -> Ended:
        typed = HydraConfig.get()
        folder = Path(typed.runtime.output_dir)
        if typed.mode != RunMode.MULTIRUN:
            return Ended(1, (), folder, self._failure(composed, folder))
        number, special = typed.job.num + 1, [o for o in typed.overrides.task if o.partition("=")[0] in self.varied]
        announce = functools.partial(self.teller.job, number, self.jobs, special)
        return Ended(number, tuple(special), folder, self._failure(composed, folder, announce))

    def _failure(
        self, composed: DictConfig, folder: Path, announce: Callable[[], None] = lambda: None
    ) -> RengoError | BrokenPipeError | None:
        try:
            announce()
            with output.disk_errors(folder):
                self.task(plan.read(self.kind, plain(composed)), folder)
        except (RengoError, BrokenPipeError) as error:
            output.remove_if_empty(folder)
            return error
        except Exception as error:
            traceback.print_exc()
            return RengoError(detail=repr(error))
        return None
