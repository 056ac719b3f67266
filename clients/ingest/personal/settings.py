"""personal.toml: what this site does with personal and secret data in its documents."""

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from clients.ingest.personal.own import SHORTEST, Vocabulary
from federation import settings
from federation.errors import Fault, Inconsistent, RengoError, SettingsFileInvalid
from federation.settings import Range
from federation.text import is_printable

Mode = Literal["off", "report", "mask", "drop"]

DEFAULT = """# Personal and secret data in the documents here. Stop the member before you edit this, and start it again.
# Not everything is found: see what is with `rengo member data report`, and docs/ingest.md for what is missed.

own   = [] # words and numbers of this site's own: ["得意先名", "E-#####"]; # is a digit, ? a letter from A to Z
allow = [] # what is not personal though it looks so: ["高田工場", "03-####"]

[modes]    # off: not looked for; report: counted; mask: replaced, as by ［電話番号］; drop: the document is set aside
name      = "mask"   # names of persons
phone     = "mask"   # telephone, fax and extension numbers
mail      = "mask"   # mail addresses
address   = "mask"   # postal addresses with a house's number
my_number = "mask"   # マイナンバー
employee  = "mask"   # employee numbers that are called so
secret    = "mask"   # passwords, keys, tokens
ip        = "report" # addresses of machines
own       = "mask"   # what stands in `own` above
"""


class PersonalSettingsInvalid(RengoError):
    """{path} has {count} fault(s); nothing was started:
    {listing}"""

    ja = "{path} に {count} 件の誤りがあります（何も開始していません）:\n{listing_ja}"
    exit_code = 2


@dataclass(frozen=True)
class Modes:
    """What is done with each kind of `kinds.KINDS`."""

    name: Mode
    phone: Mode
    mail: Mode
    address: Mode
    my_number: Mode
    employee: Mode
    secret: Mode
    ip: Mode
    own: Mode

    def of(self, kind: str) -> Mode:
        """The mode of one kind."""
        return cast(Mode, getattr(self, kind))


@dataclass(frozen=True)
class PersonalSettings:
    """personal.toml; see DEFAULT for what each means."""

    own: Annotated[tuple[str, ...], Range(0)] = field(repr=False)
    allow: Annotated[tuple[str, ...], Range(0)] = field(repr=False)
    modes: Modes

    @cached_property
    def as_text(self) -> str:
        """All of it, the same for the same settings. It holds what `own` does."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @cached_property
    def own_vocabulary(self) -> Vocabulary:
        """`own`, ready to be looked for."""
        return Vocabulary(self.own)

    @cached_property
    def allowed_vocabulary(self) -> Vocabulary:
        """`allow`, ready to be looked for."""
        return Vocabulary(self.allow)


OFF = PersonalSettings((), (), Modes(**dict.fromkeys((field.name for field in fields(Modes)), get_args(Mode)[0])))
"""Nothing is looked for: what `rengo simulate` does, whose texts all lie on one machine anyway."""


def read(path: Path) -> PersonalSettings:
    """What the file says; DEFAULT_SETTINGS where there is none, as at a site that joined before there was this file.

    Raises SettingsFileInvalid, or PersonalSettingsInvalid with every fault.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return DEFAULT_SETTINGS
    except OSError as error:
        raise SettingsFileInvalid(path=path, detail=error.strerror, detail_ja=error.strerror) from error
    return settings.of_file(path, data, _read, PersonalSettingsInvalid)


def _read(raw: dict[str, Any]) -> PersonalSettings:
    """Raises ConfigInvalid. What may be names is checked here, entries of lists told by their number: a general error
    would say what they are."""
    faults: list[Fault] = []
    modes = raw.get("modes", {})
    for kind in [kind for kind, mode in modes.items() if mode not in get_args(Mode)] if isinstance(modes, dict) else ():
        raw["modes"] = {**raw["modes"], kind: get_args(Mode)[0]}
        en, ja = "it has to be one of " + ", ".join(get_args(Mode)), "次のいずれかです: " + "、".join(get_args(Mode))
        faults.append(Inconsistent(where=f"modes.{kind}", detail=en, detail_ja=ja))
    for key in ("own", "allow"):
        if not isinstance(entries := raw.get(key, []), list):
            raw[key] = []
            en, ja = 'it has to be a list: ["…"]', '["…"] の形の一覧です'
            faults.append(Inconsistent(where=key, detail=en, detail_ja=ja))
            continue
        if key not in raw:
            continue
        good = [_is_entry(entry) for entry in entries]
        raw[key] = [entry for entry, is_good in zip(entries, good, strict=True) if is_good]
        for number in (number for number, is_good in enumerate(good, 1) if not is_good):
            en = f"entry {number} is no text of {SHORTEST} or more visible characters without blanks around it"
            ja = f"{number} 番目は {SHORTEST} 文字以上の文字列ではないか、前後に空白か表示されない文字があります"
            faults.append(Inconsistent(where=key, detail=en, detail_ja=ja))
    return settings.read(PersonalSettings, raw, lambda _: faults)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, str) and len(entry) >= SHORTEST and entry == entry.strip() and is_printable(entry)


DEFAULT_SETTINGS = _read(tomllib.loads(DEFAULT))
"""What DEFAULT says."""
