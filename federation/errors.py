"""One tree of errors. The docstring of a class is the English message a person reads, `ja` the Japanese one.

Both are templates over the facts given to the constructor. `code` (the class name in kebab case) and
`exit_code` are a contract: scripts may rely on them, wording may change.

Exit codes: 0 ok · 2 usage or settings · 3 plan, model or other mismatch · 4 authentication or token · 5 network or
proxy · 6 clock · 7 disk · 8 data · 9 waiting/not ready · 10 signature or log verification failed · 11 refused by site
policy · 70 bug.
"""

import inspect
import re
import string
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from federation.text import printable_lines

Language = Literal["en", "ja"]


class _Facts(dict[str, object]):
    """An error's facts; one that was given in English only serves for Japanese too. Better that than no message. Some
    facts come from a carrier: what is no text to read is escaped."""

    def __getitem__(self, name: str) -> object:
        fact = super().__getitem__(name)
        return printable_lines(fact) if isinstance(fact, str) else fact

    def __missing__(self, name: str) -> object:
        return self[name.removesuffix("_ja")] if name.endswith("_ja") else f"({name}?)"


class RengoError(Exception):
    """Something is wrong with rengo itself: {detail}. Please report this."""

    ja: ClassVar[str] = "rengo 自体の不具合です: {detail}。ご報告ください。"
    exit_code: int = 70

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """The message for a person, in `language`."""
        template = self.ja if language == "ja" else _english(type(self))
        return template.format_map(_Facts(self.facts))

    @property
    def code(self) -> str:
        """The stable name of this error, for logs and scripts: `ModelFolderInvalid` -> `model-folder-invalid`."""
        return _code(type(self))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by joblib's workers; the default would lose keyword arguments.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[RengoError], args: tuple[object, ...], attributes: dict[str, object]) -> RengoError:
    # Not by way of the constructor: each kind may have its own.
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


_LONGEST = 1000
"""Characters of an English message that is looked at for its facts: it may be anybody's."""


def japanese(code: str, english: str) -> str:
    """`english`, the message of an error of this code, in Japanese: of an error that came over the wire, in English.
    Its facts are found by the English template. What is no error's message here stays as it is."""
    kind = next((kind for kind in _kinds(RengoError) if _code(kind) == code), None)
    if kind is None or len(english) > _LONGEST:
        return english
    pattern, seen = "", set()
    for text, name, _, _ in string.Formatter().parse(_english(kind)):
        again, once = f"(?P={name})", f"(?P<{name}>.*?)"  # a fact may stand in a message twice
        pattern += re.escape(text) + ("" if not name else again if name in seen else once)
        seen.add(name)
    found = re.fullmatch(pattern, english, re.DOTALL)
    return kind.ja.format_map(_Facts(found.groupdict())) if found else english


def _kinds(kind: type[RengoError]) -> Iterator[type[RengoError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def _english(kind: type[RengoError]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _code(kind: type[RengoError]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


class UsageError(RengoError):
    """{detail} Try `{command} --help`."""

    ja = "{detail_ja}`{command} --help` をご覧ください。"
    exit_code = 2


class ConfigInvalid(RengoError):
    """The configuration has {count} fault(s), nothing was started:
    {listing}"""

    ja = "設定に {count} 件の誤りがあります（何も開始していません）:\n{listing}"
    exit_code = 2

    def __init__(self, faults: "Sequence[Fault]") -> None:
        self.faults = tuple(faults)
        super().__init__(count=len(self.faults), listing="")

    def text(self, language: Language) -> str:
        count = len(self.faults)
        head = (
            f"設定に {count} 件の誤りがあります（何も開始していません）:"
            if language == "ja"
            else f"The configuration has {count} fault{'s' if count > 1 else ''}; nothing was started:"
        )
        return "\n".join([head, *(f"  - {fault.text(language)}" for fault in self.faults)])


class Fault(RengoError):
    """{where}: {detail}"""

    ja = "{where}: {detail}"
    exit_code = 2


class UnknownKey(Fault):
    """`{where}` is not a setting.{hint}"""

    ja = "`{where}` という設定はありません。{hint_ja}"

    def __init__(self, where: str, similar: str | None = None) -> None:
        hint, hint_ja = ("", "")
        if similar is not None:
            hint, hint_ja = f" Did you mean `{similar}`?", f"`{similar}` のことですか。"
        super().__init__(where=where, hint=hint, hint_ja=hint_ja)


class MissingKey(Fault):
    """`{where}` is not set; it has to be {expected}."""

    ja = "`{where}` が設定されていません（必要な値: {expected_ja}）。"


class NotGiven(Fault):
    """`{where}` has to be given, there is no default for it here. Add `{where}={example}`."""

    ja = "`{where}` の指定が必要です（ここには既定値がありません）。`{where}={example}` を加えてください。"


class WrongValue(Fault):
    """`{where}` is {value}; it has to be {expected}."""

    ja = "`{where}` の値 {value} は使えません（使える値: {expected_ja}）。"


class ControlCharacters(Fault):
    """`{where}` is {value}: it contains characters that cannot be seen (controls, line ends, bidirectional formats)."""

    ja = "`{where}` の値 {value} には表示されない文字（制御文字、改行、双方向制御など）が含まれています。"


class Inconsistent(Fault):
    """`{where}`: {detail}"""

    ja = "`{where}`: {detail_ja}"


class SettingsFileInvalid(RengoError):
    """{path} cannot be read: {detail}. Mend it, or restore it."""

    ja = "{path} を読めません: {detail_ja}。修正するか復元してください。"
    exit_code = 2


class ModelFolderInvalid(RengoError):
    """The base model folder {path} cannot be used: {detail}. Give a local Hugging Face model folder: `model=PATH`."""

    ja = (
        "基盤モデルのフォルダー {path} は使えません: {detail_ja}。"
        "`model=PATH` でローカルの Hugging Face モデルを指定してください。"
    )
    exit_code = 3


class UnknownLoraTarget(RengoError):
    """The base model has no linear layer named {missing}, which `lora.targets` asks for. Its linear layers are:
    {available}.{hint}"""

    ja = "`lora.targets` にある {missing} という線形層は基盤モデルにありません。使えるもの: {available}。{hint_ja}"
    exit_code = 3


class DeviceUnavailable(RengoError):
    """There is no device {device} for torch on this machine, which `model.device` asks for. It has: {available}."""

    ja = "`model.device` にある {device} はこのマシンの torch では使えません。使えるもの: {available}。"
    exit_code = 3


class TrainingDiverged(RengoError):
    """Training diverged: the loss or a factor is no longer a finite number. Lower `train.optimizer.learning_rate`
    (it is {learning_rate})."""

    ja = (
        "学習が発散しました（損失または LoRA の値が有限ではありません）。"
        "`train.optimizer.learning_rate`（現在 {learning_rate}）を下げてください。"
    )
    exit_code = 3


class ModelMismatch(RengoError):
    """The base model in {path} is not the one that `model.sha256` names: expected SHA-256 {expected}, found {actual}.
    Nothing was trained or sent."""

    ja = (
        "{path} の基盤モデルは `model.sha256` と異なります。期待値 {expected}、実際 {actual}。"
        "学習も送信もしていません。"
    )
    exit_code = 3


class DataFolderInvalid(RengoError):
    """The data folder {path} cannot be used: {detail}."""

    ja = "データフォルダー {path} は使えません: {detail_ja}。"
    exit_code = 8


class TooLittleText(RengoError):
    """Member {member} has too little text in {path}: {actual} {what} tokens, {needed} are needed. Add documents or
    lower `{setting}`."""

    ja = (
        "参加拠点 {member} の文章が足りません（{path}）: {what} {actual} トークン、必要数 {needed}。"
        "文書を追加するか `{setting}` を下げてください。"
    )
    exit_code = 8


class SignatureInvalid(RengoError):
    """The signature on {what} does not verify. It was changed, or signed with another key."""

    ja = "{what} の署名を検証できません。改変されたか、別の鍵による署名です。"
    exit_code = 10


class JobStopped(RengoError):
    """Job {job} stopped in round {round}: {detail}"""

    ja = "ジョブ {job} は学習回 {round} で停止しました: {detail_ja}"
    exit_code = 9
