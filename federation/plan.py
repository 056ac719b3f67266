"""The whole plan of a job, as frozen dataclasses: what the coordinator proposes, each site approves and all agree on.

Every value stands in `conf/`, with a comment, and is written out in the resolved plan; the few defaults here are for
plans from before the setting came (docs/adr/0012).
`read` builds a dataclass from plain data and reports every fault at once; `Plan.digest` is what a site approves.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from federation import settings
from federation.errors import Fault, Inconsistent
from federation.identity import LARGEST_ID, is_member_id
from federation.secagg.graph import MOST_NEIGHBOURS, Parameters, parameters
from federation.settings import Range
from federation.text import printable
from federation.wire import canonical_cbor

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """The frozen base model: which one, and how it is computed with."""

    name: str
    sha256: str
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    threads: Annotated[int, Range(1, 1024)]


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021): W + (alpha / r) B A on every linear layer whose name ends in a target."""

    r: Annotated[int, Range(1, 1024)]
    alpha: Annotated[float, Range(1e-6)]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Optimizer:
    """The members' optimiser. AdamW's state starts anew each round: members keep no secret state between rounds.

    `learning_rate` is that of the first round; it falls by as much every round, to `decay_to` times that in the last.
    """

    name: Literal["adamw", "sgd"]
    learning_rate: Annotated[float, Range(1e-12)]
    weight_decay: Annotated[float, Range(0)]
    decay_to: Annotated[float, Range(1e-3, 1)] = 1.0


@dataclass(frozen=True)
class Train:
    """One member's local training in one round, in tokens."""

    sequence_length: Annotated[int, Range(8)]
    tokens_per_round: Annotated[int, Range(8)]
    tokens_per_step: Annotated[int, Range(8)]
    optimizer: Optimizer

    @property
    def steps(self) -> int:
        """Optimiser steps in a round."""
        return self.tokens_per_round // self.tokens_per_step

    def in_round(self, round: int, rounds: int) -> "Train":
        """With the learning rate of that round, of so many."""
        given = self.optimizer
        share = 1 - (1 - given.decay_to) * (round - 1) / max(rounds - 1, 1)
        return dataclasses.replace(
            self, optimizer=dataclasses.replace(given, learning_rate=given.learning_rate * share)
        )


@dataclass(frozen=True)
class Scheme:
    """How LoRA factors become one summable vector and back (see federation/schemes)."""

    name: Literal["fedit", "ffa", "rolora", "alternating", "fedsb"]


@dataclass(frozen=True)
class ServerOptim:
    """What turns the mean of the members' updates into the next adapter. `momentum`: what is left of the last velocity,
    for `fedavgm` alone. (A plan leaves out a setting that stands at its default: so it hashes as it did before.)"""

    name: Literal["fedavg", "fedavgm"]
    learning_rate: Annotated[float, Range(1e-12)]
    momentum: Annotated[float | None, Range(0, 0.999)] = None


@dataclass(frozen=True)
class SecAgg:
    """Secure aggregation. No threshold is here: every member computes it from the number of members.

    `quorum`: how many members have to be in every sum. `auto` is the least that the number of members permits
    (`least_quorum`); a plan may ask for more, never for fewer.

    Under `semi_malicious` a member deals with its neighbours only, as many as `corruption_rate` and `dropout_rate`
    take: the share of all members that may collude, and be lost in a round. Both are null under `malicious`.

    `initial_range`: the largest absolute update of one value that is representable in the first round. `auto` takes
    the furthest that AdamW moves a value, from learning rate and steps. Later rounds use `range_headroom` times the
    largest absolute value of the last public mean of the same tensor, never less than `smallest_range`.
    """

    ring_bits: Literal[16, 32]
    threat: Literal["malicious", "semi_malicious"]
    corruption_rate: Annotated[float | None, Range(0, 0.33)]
    dropout_rate: Annotated[float | None, Range(0, 0.33)]
    quorum: Annotated[int | Literal["auto"], Range(3)]
    attempts: Annotated[int, Range(1, 1000)]
    initial_range: Annotated[float | Literal["auto"], Range(1e-12)]
    range_headroom: Annotated[float, Range(1)]
    smallest_range: Annotated[float, Range(1e-12)]


@dataclass(frozen=True)
class Privacy:
    """What bounds one member's influence. `update_norm`: L2 bound on the whole update; none when null."""

    update_norm: Annotated[float | None, Range(1e-12)]


@dataclass(frozen=True)
class Evaluation:
    """Documents that a member never trains on. `validation_share` of its text decides: each member evaluates exactly
    `tokens` tokens of it every `every` rounds, through the same secure sum. `test_share` is measured once, last."""

    every: Annotated[int, Range(1)]
    tokens: Annotated[int, Range(8)]
    validation_share: Annotated[float, Range(0.01, 0.45)]
    test_share: Annotated[float, Range(0.01, 0.45)]


@dataclass(frozen=True)
class Deadlines:
    """Seconds that members have for one exchange, from when it begins; who has not answered then has dropped out of it.

    `training`: for the one in which they receive the adapter, train, evaluate, and send the masked update; the last,
    which only measures, runs the same model over the same text. `answer`: for each of the others.
    """

    training: Annotated[int, Range(1, 7 * 86400)]
    answer: Annotated[int, Range(1, 7 * 86400)]

    def seconds(self, step: str) -> int:
        """For the exchange that awaits this answer (federation/secagg/server.py, Step)."""
        return self.training if step == "masked" else self.answer


@dataclass(frozen=True)
class Plan:
    """One job, whole. `members` are roster ids, sorted; secure aggregation's N is their number."""

    consortium: str
    job: str
    members: tuple[str, ...]
    rounds: Annotated[int, Range(1, 100_000)]
    seed: Annotated[int, Range(0, 2**63 - 1)]
    model: Model
    lora: Lora
    train: Train
    scheme: Scheme
    server_optim: ServerOptim
    secagg: SecAgg
    privacy: Privacy
    evaluation: Evaluation
    deadlines: Deadlines

    @property
    def quorum(self) -> int:
        """How many members have to be in every sum: `secagg.quorum`, and never fewer than the least."""
        stated = self.secagg.quorum
        return self.least_quorum if stated == "auto" else max(stated, self.least_quorum)

    @property
    def least_quorum(self) -> int:
        """The smallest quorum, from the number of the job's members and never from a cohort."""
        found = self.neighbourhoods
        return least_quorum(len(self.members), found.corrupt if found else 0)

    @property
    def neighbourhoods(self) -> Parameters | None:
        """The graph of `semi_malicious`; None where everybody is everybody's neighbour."""
        secagg = self.secagg
        if secagg.threat == "malicious" or secagg.corruption_rate is None or secagg.dropout_rate is None:
            return None
        return parameters(len(self.members), secagg.corruption_rate, secagg.dropout_rate)

    @property
    def threshold(self) -> int:
        """t, how many open a secret and how many votes decide (see docs/security.md): the least quorum, where everybody
        is everybody's neighbour."""
        found = self.neighbourhoods
        return found.threshold if found else self.least_quorum

    @property
    def neighbourhood_size(self) -> int:
        """A member and its neighbours."""
        found = self.neighbourhoods
        return found.degree + 1 if found else len(self.members)

    @property
    def spare(self) -> int:
        """How many members a round can do without."""
        found, beyond = self.neighbourhoods, len(self.members) - self.quorum
        return min(found.lost, beyond) if found else beyond

    @property
    def corruptible(self) -> int:
        """f: how many members may collude with the coordinator without learning more than a sum."""
        found = self.neighbourhoods
        return found.corrupt if found else len(self.members) - self.threshold

    def digest(self) -> bytes:
        """SHA-256 of the plan: what a site approves and every context binds. Canonical: see `plain`."""
        return hashlib.sha256(b"rengo plan v1\0" + canonical_cbor(plain(self))).digest()


def least_quorum(members: int, corrupt: int = 0) -> int:
    """floor(2N/3) + 1: with at most (N - 1) / 3 corrupt members two survivor sets cannot both win a vote of all. With
    neighbourhoods and f that are corrupt floor((2N + f)/3) + 1: those that open a sum are too many for the members
    left to open a second one in another attempt (docs/security.md)."""
    return (2 * members + corrupt) // 3 + 1


def plain(value: Any) -> Any:
    """A dataclass as plain data for canonical CBOR: floats become their shortest exact decimal, as text. A setting that
    came later than others has a default, which means what was so before it came, and is left out where it stands."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        stated = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: plain(item) for f, item in stated if f.default is dataclasses.MISSING or item != f.default}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def read(kind: type[T], data: Mapping[str, Any]) -> T:
    """`data` as a `kind`, or ConfigInvalid that lists every fault: unknown keys, missing ones, wrong values, and
    right ones that contradict each other."""
    return settings.read(kind, data, _inconsistencies)


# A job's name becomes a folder at the coordinator and at every site, on any system.
_FOLDER_NAME = re.compile(r'[^.\\/:*?"<>|\x00-\x1f][^\\/:*?"<>|\x00-\x1f]{0,99}')

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

# (setting, what it has to be a multiple of)
_MULTIPLES = (
    ("train.tokens_per_step", "train.sequence_length"),
    ("train.tokens_per_round", "train.tokens_per_step"),
    ("evaluation.tokens", "train.sequence_length"),
    ("arms.pooled_tokens_per_step", "train.sequence_length"),  # of a simulation
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


def _inconsistencies(values: Mapping[str, Any]) -> list[Fault]:
    """Each rule speaks when all the settings that it needs are there, so it serves a whole plan, a configuration that
    does not know the members yet, and what is left of one that has other faults."""
    faults: list[Fault] = []

    def fault(where: str, detail: str, detail_ja: str) -> None:
        faults.append(Inconsistent(where=where, detail=detail, detail_ja=detail_ja))

    for key, unit in _MULTIPLES:
        if values.get(key) is not None and unit in values and values[key] % values[unit]:
            fault(
                key,
                f"{values[key]} is not a multiple of {unit} ({values[unit]})",
                f"{values[key]} は {unit} ({values[unit]}) の倍数ではありません",
            )
    if values.get("secagg.initial_range") == "auto" and values.get("train.optimizer.name", "adamw") != "adamw":
        fault(
            "secagg.initial_range",
            "`auto` is only known for adamw; give a number",
            "`auto` は adamw のときだけ使えます。数値を指定してください",
        )
    if not _FOLDER_NAME.fullmatch(values.get("job", "any")):
        fault(
            "job",
            'folders are named after it: at most 100 characters, none of \\ / : * ? " < > |, no dot in front',
            'フォルダー名になります。100 文字以内、先頭に . を置かず、\\ / : * ? " < > | を含めないこと',
        )
    if not _SHA256.fullmatch(values.get("model.sha256") or "0" * 64):
        fault("model.sha256", "a SHA-256 is 64 hexadecimal digits", "SHA-256 は 16 進数 64 桁です")
    _check_momentum(values, fault)
    _check_threat(values, fault)
    _check_quorum(values, fault)
    if "members" in values:
        _check_members(values["members"], values.get("secagg.ring_bits", 32), fault)
    return faults


def _check_momentum(values: Mapping[str, Any], fault: Callable[[str, str, str], None]) -> None:
    """Momentum belongs to `fedavgm`, and moves on from round to round only where the scheme says how."""
    name, momentum = values.get("server_optim.name"), values.get("server_optim.momentum")
    if name and (name == "fedavgm") == (momentum is None):
        wanted, wanted_ja = ("a number", "数値") if momentum is None else ("null", "null")
        fault(
            "server_optim.momentum",
            f"under `{name}` it has to be {wanted}",
            f"`{name}` では {wanted_ja} にしてください",
        )
    if name == "fedavgm" and values.get("scheme.name") == "rolora":
        fault(
            "server_optim.name",
            "`rolora` has no momentum: what B did in one round is not known in terms of A, which moves in the next. "
            "Use `alternating`, whose factors are chosen so that it is, or `fedavg`",
            "`rolora` では慣性を使えません。`alternating` か `fedavg` にしてください",
        )


def _check_threat(values: Mapping[str, Any], fault: Callable[[str, str, str], None]) -> None:
    """The two rates belong to the graph of `semi_malicious`, which has to be sparser than everyone with everyone."""
    threat, sparse = values.get("secagg.threat"), values.get("secagg.threat") == "semi_malicious"
    rates = {key: values[key] for key in ("secagg.corruption_rate", "secagg.dropout_rate") if key in values}
    for key, rate in rates.items() if threat else ():
        if (rate is None) == sparse:
            wanted = "a number" if sparse else "null"
            fault(key, f"under `{threat}` it has to be {wanted}", f"`{threat}` では {wanted} にしてください")
    count = len(values.get("members", ()))
    known = sparse and count >= 3 and len(rates) == 2 and None not in rates.values()
    if known and parameters(count, *rates.values()) is None:
        fault(
            "secagg.threat",
            f"{count} members have no neighbourhoods at these rates: everybody would be everybody's neighbour, or have "
            f"more than {MOST_NEIGHBOURS}. Lower the rates, or use `malicious`, which withstands more",
            f"{count} 拠点では、この割合で隣接集合を作れません（隣接が全員または {MOST_NEIGHBOURS} を超えます）。"
            "割合を下げるか、より強い `malicious` を使ってください",
        )


def _check_quorum(values: Mapping[str, Any], fault: Callable[[str, str, str], None]) -> None:
    """A quorum that a plan states is between the least one and all members, where these are known."""
    stated, count = values.get("secagg.quorum", "auto"), len(values.get("members", ()))
    rates = [values.get(key) for key in ("secagg.corruption_rate", "secagg.dropout_rate")]
    if stated == "auto" or count < 3 or "secagg.threat" not in values:
        return
    sparse = values["secagg.threat"] == "semi_malicious"
    found = parameters(count, *rates) if sparse and None not in rates else None
    if sparse and found is None:
        return  # told already
    least = least_quorum(count, found.corrupt if found else 0)
    if not least <= stated <= count:
        fault(
            "secagg.quorum",
            f"of {count} members at least {least} and at most {count} can be asked for in every sum, not {stated}; "
            f"`auto` is {least}",
            f"{count} 拠点では {least} 以上 {count} 以下にしてください（{stated} は不可）。`auto` は {least} です",
        )


def _check_members(members: tuple[str, ...], ring_bits: int, fault: Callable[[str, str, str], None]) -> None:
    count = len(members)
    if list(members) != sorted(set(members)):
        fault("members", "ids have to be sorted and distinct", "ID は昇順で重複しないこと")
    unfit = [member for member in members if not is_member_id(member)]
    if unfit:
        fault(
            "members",
            f"no member can be called {printable(unfit[0][:40])!r}: at most {LARGEST_ID} bytes of UTF-8 in Unicode NFC",
            f"ID に {printable(unfit[0][:40])!r} は使えません（NFC の UTF-8 で {LARGEST_ID} バイト以内）",
        )
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
