"""From what was typed to a checked configuration, through Hydra. The one importer of Hydra and OmegaConf.

Hydra composes `conf/`, sweeps and launches. What it lets pass is our business: `+typo=1` goes through it silently,
and a bad value would be found when the job that has it starts, hours into a sweep. So, before it runs anything, every
argument is parsed and its key looked up in the dataclasses, every combination of a sweep is composed and read, and all
faults are reported at once. The command line adds two comforts to Hydra's grammar: `data=PATH` stands for
`data.path='/absolute/PATH'`, and text that the grammar cannot parse (Japanese, say) is taken as it stands.
"""

import contextlib
import dataclasses
import itertools
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from federation import formats, output, plan, settings
from federation.arguments import ArgumentParser
from federation.errors import ConfigInvalid, Fault, Language, RengoError, UnknownKey, WrongValue

C = TypeVar("C")
Task = Callable[[C, Path], None]
Announce = Callable[[int, int, list[str]], None]

# Beside this package in a checkout and in a wheel alike. Found by place and not as `pkg://conf`, because a `conf` in
# the working directory can be imported first.
_CONF = Path(__file__).resolve().parent.parent / "conf"


_DEEPEST = 8
"""No plan nests deeper than half of this."""


class OverrideRefused(Fault):
    """The argument `{argument}` cannot be used: {detail}."""

    ja = "引数 `{argument}` は使えません: {detail_ja}。"


class CompositionFailed(Fault):
    """Hydra cannot put this configuration together: {detail}"""

    ja = "Hydra がこの設定を組み立てられません: {detail}"


class NotYaml(Fault):
    """This is not YAML that rengo wrote: {detail}."""

    ja = "rengo が書いた YAML ではありません: {detail_ja}。"


class SweepFailed(RengoError):
    """{failed} of {jobs} jobs failed; the results of the others are complete:"""

    ja = "{jobs} 件のジョブのうち {failed} 件が失敗しました（ほかの結果は揃っています）:"

    def __init__(self, failures: Sequence[tuple[str, RengoError]], jobs: int) -> None:
        self.failures = tuple(failures)
        super().__init__(failed=len(failures), jobs=jobs)
        self.exit_code = failures[0][1].exit_code

    def text(self, language: Language) -> str:
        lines = [f"  - {job}: {error.text(language)}" for job, error in self.failures]
        return "\n".join([super().text(language), *lines])


def run(
    argv: Sequence[str], kind: type[C], config_name: str, task: Task[C], announce: Announce = lambda *_: None
) -> None:
    """Compose `conf/<config_name>.yaml` with `argv` as a `kind` and call `task(config, output folder)` once a job.
    Each job of a sweep has `announce(its number from 1, how many, what is special about it)` called before.

    Raises ConfigInvalid before any job starts, the RengoError of a single job, SweepFailed after a sweep with failures.
    A bug in `task` has its traceback printed where it happens, perhaps another process: it is a plain RengoError then.
    BrokenPipeError passes: nobody reads the output any more.
    """
    arguments = _Flags(f"rengo {config_name}").parse_intermixed_args(argv)
    with _hydra(config_name) as app:
        line = _CommandLine(kind, config_name, arguments.overrides, arguments.multirun)
        if arguments.help:
            print(line.help())
            return
        overrides = line.check()
        if arguments.cfg:
            app.show_cfg(config_name, overrides, arguments.cfg, package=None, resolve=arguments.cfg == "job")
        elif arguments.multirun:
            overrides.append("hydra.mode=MULTIRUN")
            with _claimed(app, config_name, overrides, RunMode.MULTIRUN) as claim:
                job = _Job(kind, task, announce, line.jobs, line.varied)
                batches = app.multirun(config_name, job, [*overrides, claim])
                _raise_failures([job for batch in batches for job in batch])
        else:
            with _claimed(app, config_name, overrides, RunMode.RUN) as claim:
                if failure := app.run(config_name, _Job(kind, task), [*overrides, claim]).return_value:
                    raise failure


def compose(overrides: Sequence[str], kind: type[C], config_name: str) -> C:
    """`conf/<config_name>.yaml` with `overrides` as a `kind`, or ConfigInvalid with every fault."""
    with _hydra(config_name):
        return _read(kind, config_name, _CommandLine(kind, config_name, overrides, multirun=False).check())


def to_yaml(config: Any) -> str:
    """A dataclass as YAML that `plan.read` takes back; for plan.yaml."""
    return formats.written_by() + OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config)))


def from_yaml(text: str, kind: type[C]) -> C:
    """What `to_yaml` wrote, or ConfigInvalid, which says so when another version of rengo did. It may have come over a
    network: aliases, which could make it grow without bound, are refused, and interpolations (`${oc.env:NAME}`) stay
    the text that they are."""
    try:
        _refuse_unbounded(text)
        with _faults():
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
    with hydra.initialize_config_dir(str(_CONF), config_name, version_base="1.3"), _faults():
        yield GlobalHydra.instance().hydra


@contextlib.contextmanager
def _claimed(app: Any, config_name: str, overrides: list[str], mode: RunMode) -> Iterator[str]:
    """The override that gives this run, or this sweep, an output folder that no other has."""
    key = "hydra.run.dir" if mode == RunMode.RUN else "hydra.sweep.dir"
    wanted = OmegaConf.select(app.compose_config(config_name, overrides, mode, with_log_configuration=False), key)
    chosen = any(override.startswith(f"{key}=") for override in overrides)
    with output.claimed(Path(str(wanted)), chosen) as folder:
        try:
            yield f"{key}={_quoted([str(folder)])}"
        except BaseException:
            if list(folder.glob("*")) == [folder / "multirun.yaml"]:  # Hydra's note, of jobs that left nothing
                (folder / "multirun.yaml").unlink()
            raise


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        reasons = [str(reason).splitlines()[0] for reason in (error, error.__cause__) if str(reason or "")]
        raise ConfigInvalid([CompositionFailed(detail=" ".join(reasons))]) from error


def _read(kind: type[C], config_name: str, overrides: list[str]) -> C:
    with _faults():
        return plan.read(kind, _plain(hydra.compose(config_name, overrides)))


def _plain(composed: DictConfig | ListConfig) -> Any:
    # What is missing stays `???`, which `settings.read` reports with the other faults.
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)


def _raise_failures(jobs: list[Any]) -> None:
    for job in jobs:
        if isinstance(job.return_value, BrokenPipeError):
            raise job.return_value
    if failures := [(" ".join(job.overrides), job.return_value) for job in jobs if job.return_value]:
        raise SweepFailed(failures, len(jobs))


@dataclass(frozen=True)
class _Job(Generic[C]):
    """`task` as Hydra calls it. Returns the failure: Hydra would print what it raises and exit with 1."""

    kind: type[C]
    task: Task[C]
    announce: Announce = lambda *_: None
    jobs: int = 1
    varied: tuple[str, ...] = ()

    def __call__(self, composed: DictConfig) -> RengoError | BrokenPipeError | None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                special = [o for o in HydraConfig.get().overrides.task if o.partition("=")[0] in self.varied]
                self.announce(HydraConfig.get().job.num + 1, self.jobs, special)
            with output.disk_errors(folder):
                self.task(plan.read(self.kind, _plain(composed)), folder)
        except (RengoError, BrokenPipeError) as error:
            output.remove_if_empty(folder)
            return error
        except Exception as error:
            traceback.print_exc()
            return RengoError(detail=repr(error))
        return None


class _CommandLine(Generic[C]):
    """The overrides of one command line: rewritten and checked, then left to Hydra."""

    def __init__(self, kind: type[C], config_name: str, arguments: Sequence[str], multirun: bool) -> None:
        self._kind, self._config_name, self._arguments, self._multirun = kind, config_name, arguments, multirun
        self._loader = GlobalHydra.instance().config_loader()
        self._parser = OverridesParser.create(self._loader)
        # A folder of one's own adds options to groups.
        self._searchpath = [argument for argument in arguments if argument.startswith("hydra.searchpath=")]
        self._keys = settings.keys(kind)
        self._groups = [name for name in self._loader.get_group_options("", ObjectType.GROUP) if name != "hydra"]
        self._known = list(dict.fromkeys([*self._keys, *self._groups]))
        self._faults: list[Fault] = []
        self._folders: dict[str, str] = {}  # group -> the argument that gives a folder for it
        self.jobs, self.varied = 1, tuple[str, ...]()

    def check(self) -> list[str]:
        """The overrides for Hydra, or ConfigInvalid. Those that are refused do not hide the faults of the others."""
        admitted = [override for argument in self._arguments if (override := self._admit(argument))]
        self._check_folders(admitted)
        self.varied = tuple(override.get_key_element() for override in admitted if override.is_sweep_override())
        self.jobs = len(list(_combinations(admitted)))
        # Without Hydra's own settings: a fault in them must not hide the faults in ours.
        for job in _combinations(override for override in admitted if not override.is_hydra_override()):
            try:
                _read(self._kind, self._config_name, [*self._searchpath, *job])
            except ConfigInvalid as error:
                self._faults += error.faults
        if self._faults:
            raise ConfigInvalid(list({fault.text("en"): fault for fault in self._faults}.values()))
        return [str(override.input_line) for override in admitted]

    def _check_folders(self, admitted: list[Override]) -> None:
        """`data=PATH` and `data=demo` contradict each other, whichever comes last."""
        for override in admitted:
            group = override.key_or_group
            if group in self._folders and group in self._groups:
                both, path = f"`{self._folders[group]}`", f"`{group}.path=…`"
                en = f"{both} is given, too; keep one, or give the folder as {path}"
                ja = f"{both} もあります。どちらか一方にするか、フォルダーを {path} で指定してください"
                self._refuse(str(override.input_line), en, ja)

    def help(self) -> str:
        """The commented root file, and what each group offers: the comments in conf/ are the manual."""
        root = (_CONF / f"{self._config_name}.yaml").read_text(encoding="utf-8")
        groups = "\n".join(f"#   {group}={self._expected(group)}" for group in self._groups)
        return f"{root}\n# GROUP=OPTION, each explained in {_CONF}{os.sep}GROUP{os.sep}OPTION.yaml:\n{groups}"

    def _admit(self, argument: str) -> Override | None:
        """The parsed override; None when it was refused, with a fault noted."""
        override = self._parse(self._with_path(argument))
        if override is None:
            return None
        key, several = override.key_or_group, override.is_sweep_override()
        if override.is_hydra_override():
            return override if "/" not in key or self._are_options(override) else None
        if key not in self._known:
            self._faults.append(UnknownKey(key, settings.nearest(key, self._known)))
        elif override.is_delete():
            self._refuse(argument, "a setting cannot be removed", "設定は削除できません")
        elif override.is_add() or override.package is not None:
            self._refuse(argument, f"write `{key}=…`", f"`{key}=…` と書いてください")
        elif several and not override.is_discrete_sweep():
            self._refuse(argument, "write the values to try: 1,2,3", "試す値を 1,2,3 のように書いてください")
        elif several and not self._multirun:
            en, ja = "several values need -m; a list is [a,b]", "複数の値には -m が必要です。リストは [a,b] と書きます"
            self._refuse(argument, en, ja)
        elif key not in self._groups or self._are_options(override):
            return override
        return None

    def _refuse(self, argument: str, detail: str, detail_ja: str) -> None:
        self._faults.append(OverrideRefused(argument=argument, detail=detail, detail_ja=detail_ja))

    def _parse(self, argument: str) -> Override | None:
        """What the grammar has no token for, 日本語 say, is text as it stands: reading it tells a mistyped number."""
        key, _, value = argument.partition("=")
        words = value.split(",") if self._multirun else [value]
        override = self._parsed(argument) or self._parsed(f"{key}={_quoted(words)}")
        if override is not None and override.key_or_group:
            return override
        self._refuse(argument, "write KEY=VALUE", "KEY=VALUE と書いてください")
        return None

    def _parsed(self, argument: str) -> Override | None:
        try:
            return self._parser.parse_overrides([argument])[0]
        except HydraException:
            return None

    def _options(self, group: str) -> list[str]:
        options = self._loader.get_group_options(group, ObjectType.CONFIG, self._config_name, self._searchpath)
        return options if group in self._keys else [*options, "null"]

    def _expected(self, group: str) -> str:
        return " | ".join([*self._options(group), *(["PATH"] if f"{group}.path" in self._keys else [])])

    def _are_options(self, override: Override) -> bool:
        group, expected = override.key_or_group, self._expected(override.key_or_group)
        chosen = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
        wrong = [word for word in map(_word, chosen) if word not in self._options(group)]
        self._faults += [
            WrongValue(where=group, value=repr(word), expected=expected, expected_ja=expected) for word in wrong
        ]
        return not wrong

    def _with_path(self, argument: str) -> str:
        """`data=PATH` as `data.path='/absolute/PATH'`; anything else unchanged."""
        key, _, value = argument.partition("=")
        group = key.removesuffix(".path")
        if f"{group}.path" not in self._keys or value in ("", "null"):
            return argument
        words = self._words(argument, value)
        if key == group and not all(_is_path(word) and word not in self._options(group) for word in words):
            return argument
        if key == group:
            self._folders[group] = argument
        return f"{group}.path={_quoted([os.path.abspath(os.path.expanduser(word)) for word in words])}"

    def _words(self, argument: str, value: str) -> list[str]:
        """The words of `value`: one, unless this is a sweep. A path that exists needs no quotes, whatever is in it."""
        if os.path.exists(os.path.expanduser(value)):
            return [value]
        override = self._parsed(argument)
        if override is None:
            return value.split(",") if self._multirun else [value]
        parsed = override.value()
        if isinstance(parsed, ChoiceSweep) and (self._multirun or not parsed.simple_form):
            return [_word(word) for word in parsed.list]
        return [parsed if isinstance(parsed, str) else value]


def _combinations(overrides: Iterable[Override]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep; without sweeps, of the one job."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        sweep = override.is_discrete_sweep()
        choices[key] = [f"{key}={v}" for v in override.sweep_string_iterator()] if sweep else [str(override.input_line)]
    return map(list, itertools.product(*choices.values()))


def _word(value: Any) -> str:
    """A parsed value as the word that was typed."""
    return "null" if value is None else str(value.text if isinstance(value, QuotedString) else value)


def _quoted(words: Sequence[str]) -> str:
    """Text in Hydra's grammar, safe from quotes, commas and interpolation; several as a sweep."""
    return ",".join(QuotedString(word.replace("${", "\\${"), Quote.single).with_quotes() for word in words)


def _is_path(word: str) -> bool:
    return word.startswith((".", "~")) or os.sep in word or "/" in word or os.path.isdir(word)
