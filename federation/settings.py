"""Plain data -> frozen dataclasses, strictly: the annotations are the schema, and every fault is found at once.

A library for this (pydantic, cattrs) would speak English only and know nothing of "did you mean".
"""

import dataclasses
import difflib
import math
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from federation.errors import (
    ConfigInvalid,
    ControlCharacters,
    Fault,
    Language,
    MissingKey,
    NotGiven,
    RengoError,
    SettingsFileInvalid,
    UnknownKey,
    WrongValue,
)
from federation.text import is_printable, printable

T = TypeVar("T")

_LANGUAGES: tuple[Language, Language] = ("en", "ja")

# What stands in conf/ for a value that only the user can know.
MANDATORY = "???"


@dataclass(frozen=True)
class Range:
    """The numbers in [low, high], for `Annotated[int, Range(1, 8)]`. Of a list: how many there may be; without it, one
    or more."""

    low: float
    high: float = math.inf


_ANY = Range(-math.inf)


def parse_toml(path: Path, data: bytes) -> dict[str, Any]:
    """What stands in a settings file that people edit; with a byte order mark too. Raises SettingsFileInvalid."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        detail, detail_ja = "it is not UTF-8, byte {}", "UTF-8 で保存されていません（{} バイト目）"
        facts = {"detail": detail.format(error.start + 1), "detail_ja": detail_ja.format(error.start + 1)}
    except (ValueError, RecursionError) as error:  # its own; and of a number or a nesting that is an attack
        facts = {"detail": f"it is not TOML: {error}", "detail_ja": f"TOML の書式ではありません（{error}）"}
    raise SettingsFileInvalid(path=path, **facts)


def of_file(path: Path, data: bytes, of: Callable[[dict[str, Any]], T], invalid: type[RengoError]) -> T:
    """What `of` makes of what stands in a settings file. Raises SettingsFileInvalid; and `invalid`, with
    `path`, `count`, `listing` and `listing_ja`, for the faults of a ConfigInvalid of `of`."""
    try:
        return of(parse_toml(path, data))
    except ConfigInvalid as error:
        en, ja = ("\n".join(f"  - {fault.text(language)}" for fault in error.faults) for language in _LANGUAGES)
        raise invalid(path=path, count=len(error.faults), listing=f"\n{en}", listing_ja=ja) from error


def read(kind: type[T], data: Mapping[str, Any], contradictions: Callable[[Mapping[str, Any]], list[Fault]]) -> T:
    """`data` as a `kind`, or ConfigInvalid that lists every fault: unknown keys, missing ones without a default, wrong
    values, and what `contradictions` finds between the accepted values (by dotted key)."""
    reading = _Reading()
    result = _read_dataclass(kind, data, "", reading)
    faults = reading.faults + contradictions(reading.accepted)
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
    """The known key that a person most likely meant: by its whole dotted name, else a longer one of the same group,
    else by its last part."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    if close:
        return close[0]
    group, dot, name = key.rpartition(".")
    siblings = [k for k in known if dot and k.rpartition(".")[0] == group]
    longer = [k for k in siblings if len(name) > 1 and k.startswith(key)]
    if longer:
        return longer[0]
    by_last = {k.rpartition(".")[2]: k for k in known}
    last = difflib.get_close_matches(name, list(by_last), n=1, cutoff=0.75)
    if last:
        return by_last[last[0]]
    return next((k for k in siblings if k.rpartition(".")[2][:1] == name[:1]), None)


@dataclass
class _Reading:
    """What `read` found so far: faults, and each accepted value by its dotted key."""

    faults: list[Fault] = field(default_factory=list)
    accepted: dict[str, Any] = field(default_factory=dict)


def _read_dataclass(kind: Any, data: Any, path: str, reading: _Reading) -> Any:
    faults = reading.faults
    if not isinstance(data, Mapping):
        faults.append(WrongValue(where=path, value=repr(data), **_expected(kind)))
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    prefix = f"{path}." if path else ""
    for key in data:
        if key not in hints:
            unknown = printable(f"{prefix}{key}")
            faults.append(UnknownKey(unknown, nearest(unknown, keys(kind, prefix))))
    before, values = len(faults), {}
    for f in dataclasses.fields(kind):
        where = prefix + f.name
        if f.name not in data:
            if f.default is dataclasses.MISSING:
                faults.append(MissingKey(where=where, **_expected(hints[f.name])))
        elif dataclasses.is_dataclass(hints[f.name]):
            values[f.name] = _read_dataclass(hints[f.name], data[f.name], where, reading)
        else:
            values[f.name] = _read_value(hints[f.name], data[f.name], where, reading)
    return kind(**values) if len(faults) == before else None


def _read_value(annotation: Any, value: Any, where: str, reading: _Reading) -> Any:
    if value == MANDATORY:
        reading.faults.append(NotGiven(where=where, example="/path/to/folder" if where.endswith(".path") else "..."))
        return None
    options, limits = _options(annotation)
    for option in options:
        accepted, result = _accept(option, value, limits)
        if accepted:
            texts = result if isinstance(result, tuple) else (result,)
            if not all(is_printable(text) for text in texts if isinstance(text, str)):
                reading.faults.append(ControlCharacters(where=where, value=repr(value)))
                return None
            reading.accepted[where] = result
            return result
    reading.faults.append(WrongValue(where=where, value=repr(value), **_expected(annotation)))
    return None


def _options(annotation: Any) -> tuple[tuple[Any, ...], Range]:
    """The types that a field may have, and the range of its numbers."""
    limits = _ANY
    if get_origin(annotation) is Annotated:
        annotation, limits = get_args(annotation)
    union = get_origin(annotation) in (typing.Union, types.UnionType)
    return (get_args(annotation) if union else (annotation,)), limits


def _accept(kind: Any, value: Any, limits: Range) -> tuple[bool, Any]:
    """Whether `value` is a `kind` within `limits`, and what it is as one. An int is a fine float; a bool is no int."""
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind)), value
    if get_origin(kind) is tuple:
        least = 1 if limits == _ANY else limits.low
        items_ok = isinstance(value, (list, tuple)) and len(value) >= least and all(isinstance(v, str) for v in value)
        return items_ok, tuple(value) if items_ok else None
    if kind is type(None):
        return value is None, None
    if kind in (int, float):
        if isinstance(value, str) and kind is float:
            value = _decimal(value)
        allowed = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not abs(value) <= sys.float_info.max:
            return False, None
        return limits.low <= value <= limits.high, kind(value)
    return isinstance(value, kind) and value != "", value


def _decimal(text: str) -> float | str:
    """Undo `plain`, and YAML 1.1's habit of reading `1e-3` as text."""
    try:
        return float(text)
    except ValueError:
        return text


_WORDS: dict[Any, dict[Language, str]] = {
    int: {"en": "a whole number", "ja": "整数"},
    float: {"en": "a number", "ja": "数値"},
    str: {"en": "text", "ja": "文字列"},
    bool: {"en": "true or false", "ja": "true か false"},
    type(None): {"en": "null", "ja": "null"},
    tuple: {"en": "a list of names", "ja": "名前のリスト"},
    "group": {"en": "a group of settings", "ja": "設定のグループ"},
    "or": {"en": " or ", "ja": " か "},
    "at least": {"en": " of at least {low}", "ja": "（{low} 以上）"},
    "between": {"en": " from {low} to {high}", "ja": "（{low} 以上 {high} 以下）"},
}


def _expected(annotation: Any) -> dict[str, str]:
    """What a field has to be, in both languages, as facts of an error."""
    return {"expected": _describe(annotation, "en"), "expected_ja": _describe(annotation, "ja")}


def _describe(annotation: Any, language: Language) -> str:
    options, limits = _options(annotation)
    parts = []
    for option in options:
        if get_origin(option) is Literal:
            parts += [str(choice) for choice in get_args(option)]
        else:
            kind = "group" if dataclasses.is_dataclass(option) else get_origin(option) or option
            parts.append(_WORDS[kind][language])
    text = _WORDS["or"][language].join(parts)
    if limits != _ANY and not any(get_origin(option) is tuple for option in options):
        bound = "at least" if limits.high == math.inf else "between"
        text += _WORDS[bound][language].format(low=_number(limits.low), high=_number(limits.high))
    return text


def _number(value: float) -> str:
    """A bound as a person would write it; one of a whole number to the last digit."""
    return str(value) if isinstance(value, int) else f"{value:g}"
