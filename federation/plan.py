"""The whole plan of a job, as frozen dataclasses: what the coordinator proposes, each site approves and all agree on.

There are no defaults here: every value stands in `conf/`, with a comment, and is written out in the resolved plan.
`read` builds a dataclass from plain data and reports every fault at once; `Plan.digest` is what a site approves.
"""

import dataclasses
import difflib
import hashlib
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin

from federation.errors import ConfigInvalid, Fault, Inconsistent, MissingKey, UnknownKey, WrongValue
from federation.wire import canonical_cbor

T = TypeVar("T")


def number(low: float, high: float = math.inf) -> Any:
    """A numeric field that must lie in [low, high]."""
    return field(metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Model:
    """The frozen base model: which one, and how it is computed with."""

    name: str
    sha256: str
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    threads: int = number(1, 1024)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021): W + (alpha / r) B A on every linear layer whose name ends in a target."""

    r: int = number(1, 1024)
    alpha: float = number(1e-6)
    targets: tuple[str, ...] = field()


@dataclass(frozen=True)
class Optimizer:
    """The members' optimiser. AdamW's state starts anew each round: members keep no secret state between rounds."""

    name: Literal["adamw", "sgd"]
    learning_rate: float = number(1e-12)
    weight_decay: float = number(0)


@dataclass(frozen=True)
class Train:
    """One member's local training in one round, in tokens."""

    sequence_length: int = number(8)
    tokens_per_round: int = number(8)
    tokens_per_step: int = number(8)
    optimizer: Optimizer = field()

    @property
    def steps(self) -> int:
        """Optimiser steps in a round."""
        return self.tokens_per_round // self.tokens_per_step


@dataclass(frozen=True)
class Scheme:
    """How LoRA factors become one summable vector and back (see federation/schemes)."""

    name: Literal["fedit"]


@dataclass(frozen=True)
class ServerOptim:
    """What turns the mean of the members' updates into the next adapter."""

    name: Literal["fedavg"]
    learning_rate: float = number(1e-12)


@dataclass(frozen=True)
class SecAgg:
    """Secure aggregation. The threshold is not here: every member computes it from the number of members.

    `initial_range`: the largest absolute update of one value that is representable in the first round. `auto` takes
    learning rate x steps, about the furthest that AdamW can move a value. Later rounds use `range_headroom` times the
    largest absolute value of the last public mean of the same tensor, never less than `smallest_range`.
    """

    ring_bits: Literal[16, 32]
    threat: Literal["malicious"]
    attempts: int = number(1, 1000)
    initial_range: float | Literal["auto"] = number(1e-12)
    range_headroom: float = number(1)
    smallest_range: float = number(1e-12)


@dataclass(frozen=True)
class Privacy:
    """What bounds one member's influence. `update_norm`: L2 bound on the whole update; none when null."""

    update_norm: float | None = number(1e-12)


@dataclass(frozen=True)
class Evaluation:
    """Held-out loss, through the same secure sum: each member evaluates exactly `tokens` tokens every `every` rounds."""

    every: int = number(1)
    tokens: int = number(8)
    held_out_share: float = number(0.01, 0.9)


@dataclass(frozen=True)
class Plan:
    """One job, whole. `members` are roster ids, sorted; secure aggregation's N is their number."""

    consortium: str
    job: str
    members: tuple[str, ...]
    rounds: int = number(1, 100_000)
    seed: int = number(0, 2**63 - 1)
    model: Model = field()
    lora: Lora = field()
    train: Train = field()
    scheme: Scheme = field()
    server_optim: ServerOptim = field()
    secagg: SecAgg = field()
    privacy: Privacy = field()
    evaluation: Evaluation = field()

    @property
    def threshold(self) -> int:
        """t = floor(2N/3) + 1, from the members of the job and never from a cohort (see docs/security.md)."""
        return threshold(len(self.members))

    def digest(self) -> bytes:
        """SHA-256 of the plan: what a site approves and every context binds. Canonical: see `plain`."""
        return hashlib.sha256(b"rengo plan v1\0" + canonical_cbor(plain(self))).digest()


def threshold(members: int) -> int:
    """t = floor(2N/3) + 1: with at most (N - 1) / 3 corrupt members two survivor sets cannot both win a vote."""
    return 2 * members // 3 + 1


def plain(value: Any) -> Any:
    """A dataclass as plain data for canonical CBOR: floats become their shortest exact decimal, as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def read(kind: type[T], data: Mapping[str, Any]) -> T:
    """`data` as a `kind`, or ConfigInvalid that lists every fault: unknown keys, missing ones, wrong values, and
    right ones that contradict each other."""
    reading = _Reading()
    result = _read_dataclass(kind, data, "", reading)
    faults = reading.faults + _inconsistencies(reading.accepted)
    if faults:
        raise ConfigInvalid(faults)
    return typing.cast(T, result)


def keys(kind: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a dataclass tree, groups included: what an override may name."""
    names = []
    for name, annotation in typing.get_type_hints(kind).items():
        names.append(prefix + name)
        if dataclasses.is_dataclass(annotation):
            names += keys(annotation, f"{prefix}{name}.")
    return names


def nearest(key: str, known: list[str]) -> str | None:
    """The known key that a person most likely meant: by its whole dotted name, else by its last part."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    if close:
        return close[0]
    siblings = [k for k in known if k.rpartition(".")[0] == key.rpartition(".")[0] and "." in key]
    same_start = [k for k in siblings if k.rpartition(".")[2][:1] == key.rpartition(".")[2][:1]]
    by_last = {k.rpartition(".")[2]: k for k in known}
    last = difflib.get_close_matches(key.rpartition(".")[2], list(by_last), n=1, cutoff=0.75)
    if last:
        return by_last[last[0]]
    return same_start[0] if same_start else None


@dataclass
class _Reading:
    """What `read` found so far: faults, and each accepted value by its dotted key."""

    faults: list[Fault] = field(default_factory=list)
    accepted: dict[str, Any] = field(default_factory=dict)


def _read_dataclass(kind: Any, data: Any, path: str, reading: _Reading) -> Any:
    faults = reading.faults
    if not isinstance(data, Mapping):
        faults.append(WrongValue(where=path, value=repr(data), expected=f"a group of settings ({kind.__name__})"))
        return None
    hints = typing.get_type_hints(kind)
    prefix = f"{path}." if path else ""
    for key in data:
        if key not in hints:
            faults.append(UnknownKey(f"{prefix}{key}", nearest(f"{prefix}{key}", keys(kind, prefix))))
    before, values = len(faults), {}
    for f in dataclasses.fields(kind):
        where = prefix + f.name
        if f.name not in data:
            faults.append(MissingKey(where=where, expected=_describe(hints[f.name], f.metadata)))
        elif dataclasses.is_dataclass(hints[f.name]):
            values[f.name] = _read_dataclass(hints[f.name], data[f.name], where, reading)
        else:
            values[f.name] = _read_value(hints[f.name], data[f.name], where, f.metadata, reading)
    return kind(**values) if len(faults) == before else None


def _read_value(annotation: Any, value: Any, where: str, limits: Mapping[str, Any], reading: _Reading) -> Any:
    for option in _options(annotation):
        accepted, result = _accept(option, value, limits)
        if accepted:
            reading.accepted[where] = result
            return result
    reading.faults.append(WrongValue(where=where, value=repr(value), expected=_describe(annotation, limits)))
    return None


def _options(annotation: Any) -> tuple[Any, ...]:
    union = get_origin(annotation) in (typing.Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def _accept(kind: Any, value: Any, limits: Mapping[str, Any]) -> tuple[bool, Any]:
    """Whether `value` is a `kind` within `limits`, and what it is as one. An int is a fine float; a bool is no int."""
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind)), value
    if get_origin(kind) is tuple:
        items_ok = isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, str) for v in value)
        return items_ok, tuple(value) if items_ok else None
    if kind is type(None):
        return value is None, None
    if kind in (int, float):
        if isinstance(value, str) and kind is float:
            value = _decimal(value)
        allowed = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not math.isfinite(value):
            return False, None
        in_limits = limits.get("low", -math.inf) <= value <= limits.get("high", math.inf)
        return in_limits, kind(value)
    return isinstance(value, kind) and value != "", value


def _decimal(text: str) -> float | str:
    """Undo `plain`, and YAML 1.1's habit of reading `1e-3` as text."""
    try:
        return float(text)
    except ValueError:
        return text


def _describe(annotation: Any, limits: Mapping[str, Any]) -> str:
    parts = []
    for option in _options(annotation):
        if get_origin(option) is Literal:
            parts += [str(choice) for choice in get_args(option)]
        elif get_origin(option) is tuple:
            parts.append("a list of names")
        elif option is type(None):
            parts.append("null")
        elif dataclasses.is_dataclass(option):
            parts.append("a group of settings")
        else:
            parts.append({int: "a whole number", float: "a number", str: "text", bool: "true or false"}[option])
    text = " or ".join(parts)
    low, high = limits.get("low"), limits.get("high")
    if low is not None:
        text += f" of at least {low:g}" if high == math.inf else f" from {low:g} to {high:g}"
    return text


# A job's name becomes a folder at the coordinator and at every site, on any system.
_FOLDER_NAME = re.compile(r'[^.\\/:*?"<>|\x00-\x1f][^\\/:*?"<>|\x00-\x1f]{0,99}')

# (setting, what it has to be a multiple of)
_MULTIPLES = (
    ("train.tokens_per_step", "train.sequence_length"),
    ("train.tokens_per_round", "train.tokens_per_step"),
    ("evaluation.tokens", "train.sequence_length"),
)


def check_consistent(plan: Plan) -> list[Fault]:
    """Faults that lie between settings. An overflow of the ring is found here: never a wrong sum."""
    return _inconsistencies(dict(_settings(plan)))


def _settings(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a dataclass tree with its dotted key."""
    for f in dataclasses.fields(value):
        item = getattr(value, f.name)
        if dataclasses.is_dataclass(item):
            yield from _settings(item, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, item


def _inconsistencies(settings: Mapping[str, Any]) -> list[Fault]:
    """Each rule speaks when all the settings that it needs are there, so it serves a whole plan, a configuration that
    does not know the members yet, and what is left of one that has other faults."""
    faults: list[Fault] = []

    def fault(where: str, detail: str, detail_ja: str) -> None:
        faults.append(Inconsistent(where=where, detail=detail, detail_ja=detail_ja))

    for key, unit in _MULTIPLES:
        if key in settings and unit in settings and settings[key] % settings[unit]:
            fault(
                key,
                f"{settings[key]} is not a multiple of {unit} ({settings[unit]})",
                f"{settings[key]} は {unit} ({settings[unit]}) の倍数ではありません",
            )
    if settings.get("secagg.initial_range") == "auto" and settings.get("train.optimizer.name", "adamw") != "adamw":
        fault(
            "secagg.initial_range",
            "`auto` is only known for adamw; give a number",
            "`auto` は adamw のときだけ使えます。数値を指定してください",
        )
    if not _FOLDER_NAME.fullmatch(settings.get("job", "any")):
        fault(
            "job",
            'folders are named after it: at most 100 characters, none of \\ / : * ? " < > |, no dot in front',
            'フォルダー名になります。100 文字以内、先頭に . を置かず、\\ / : * ? " < > | を含めないこと',
        )
    if "members" in settings:
        _check_members(settings["members"], settings.get("secagg.ring_bits", 32), fault)
    return faults


def _check_members(members: tuple[str, ...], ring_bits: int, fault: Callable[[str, str, str], None]) -> None:
    count = len(members)
    if list(members) != sorted(set(members)):
        fault("members", "ids have to be sorted and distinct", "ID は昇順で重複しないこと")
    if count < 3:
        fault(
            "members",
            f"{count} member(s): secure aggregation needs at least 3",
            f"{count} 拠点では足りません（3 以上）",
        )
    if (2 ** (ring_bits - 1) - 1) // max(count, 1) < 64:
        fault(
            "secagg.ring_bits",
            f"a {ring_bits}-bit ring has no head-room for {count} members; use 32",
            f"{ring_bits} ビットでは {count} 拠点の合計があふれます。32 を使ってください",
        )
