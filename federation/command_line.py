"""What was typed, as overrides for Hydra: parsed, rewritten, and checked with every combination of a sweep."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from federation import plan, settings
from federation.errors import ConfigInvalid, Fault, UnknownKey, WrongValue

C = TypeVar("C")

# Beside this package in a checkout and in a wheel alike. Found by place and not as `pkg://conf`, because a `conf` in
# the working directory can be imported first.
CONF = Path(__file__).resolve().parent.parent / "conf"


class OverrideRefused(Fault):
    """The argument `{argument}` cannot be used: {detail}."""

    ja = "引数 `{argument}` は使えません: {detail_ja}。"


class CompositionFailed(Fault):
    """Hydra cannot put this configuration together: {detail}"""

    ja = "Hydra がこの設定を組み立てられません: {detail}"


@contextlib.contextmanager
def faults() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        reasons = [str(reason).splitlines()[0] for reason in (error, error.__cause__) if str(reason or "")]
        raise ConfigInvalid([CompositionFailed(detail=" ".join(reasons))]) from error


def read(kind: type[C], config_name: str, overrides: list[str]) -> C:
    with faults():
        composed = plain(hydra.compose(config_name, overrides))
        OmegaConf.create(composed)  # as the YAML of a run will be read: a `${` without its end is found now
        return plan.read(kind, composed)


def plain(composed: DictConfig | ListConfig) -> Any:
    # What is missing stays `???`, which `settings.read` reports with the other faults.
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)


class CommandLine(Generic[C]):
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
        self.configs: list[C] = []
        self.varied: tuple[str, ...] = ()

    @property
    def multirun(self) -> bool:
        """Whether this is a sweep: by -m, or because a preset is one. Known after `check`."""
        return self._multirun

    def check(self) -> list[str]:
        """The overrides for Hydra, or ConfigInvalid. Those that are refused do not hide the faults of the others.
        Afterwards `configs` has each job's configuration, and `varied` the keys in which they differ."""
        admitted = [override for argument in self._arguments if (override := self._admit(argument))]
        self._check_folders(admitted)
        swept = [*self._preset_sweep(admitted), *admitted]
        self.varied = tuple({o.get_key_element(): None for o in swept if o.is_sweep_override()})
        # Without Hydra's own settings: a fault in them must not hide the faults in ours.
        for job in _combinations(override for override in swept if not override.is_hydra_override()):
            try:
                self.configs.append(read(self._kind, self._config_name, [*self._searchpath, *job]))
            except ConfigInvalid as error:
                self._faults += error.faults
        if self._faults:
            raise ConfigInvalid(list({fault.text("en"): fault for fault in self._faults}.values()))
        return [str(override.input_line) for override in admitted]

    def _preset_sweep(self, admitted: list[Override]) -> list[Override]:
        """What a preset sweeps over (`hydra.sweeper.params`), if it does (`hydra.mode: MULTIRUN`, or -m was given)."""
        mode = RunMode.MULTIRUN if self._multirun else RunMode.RUN
        given = [str(override.input_line) for override in admitted if not override.is_sweep_override()]
        try:
            app: Any = GlobalHydra.instance().hydra
            composed = app.compose_config(self._config_name, given, mode, with_log_configuration=False).hydra
        except (HydraException, OmegaConfBaseException):
            return []  # found again, and told, where it is composed to run
        self._multirun |= composed.mode == RunMode.MULTIRUN
        params = (composed.sweeper.get("params") or {}) if self._multirun else {}
        return [override for key, value in params.items() if (override := self._admit(f"{key}={value}"))]

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
        root = (CONF / f"{self._config_name}.yaml").read_text(encoding="utf-8")
        groups = "\n".join(f"#   {group}={self._expected(group)}" for group in self._groups)
        return f"{root}\n# GROUP=OPTION, each explained in {CONF}{os.sep}GROUP{os.sep}OPTION.yaml:\n{groups}"

    def _admit(self, argument: str) -> Override | None:
        """The parsed override; None when it was refused, with a fault noted."""
        override = self._parse(self._with_path(argument))
        if override is None:
            return None
        key, several = override.key_or_group, override.is_sweep_override()
        if override.is_hydra_override():
            if key == "hydra.launcher.n_jobs" and override.value() == 0:
                self._refuse(argument, "at least one job has to run at a time", "同時実行数は 1 以上にしてください")
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
        override = self._parsed(argument) or self._parsed(f"{key}={quoted(words)}")
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
        return f"{group}.path={quoted([os.path.abspath(os.path.expanduser(word)) for word in words])}"

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


def quoted(words: Sequence[str]) -> str:
    """Text in Hydra's grammar, safe from quotes, commas and interpolation; several as a sweep."""
    return ",".join(QuotedString(word.replace("${", "\\${"), Quote.single).with_quotes() for word in words)


def _is_path(word: str) -> bool:
    return word.startswith((".", "~")) or os.sep in word or "/" in word or os.path.isdir(word)
