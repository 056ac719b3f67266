"""A member's folder at a site: its settings, keys, what it approved and its journal. For its owner alone (0700/0600).

member.toml         names, addresses and data folders; written by `join`, a person may edit it
policy.toml         what this site permits
personal.toml       what it does with personal and secret data in its documents
keys/               member.key (identity), node.key (Flower node)
root.pub, ca.pem    whom this site trusts, from the join token on
carrier             host:port that the node connects to, as the registry said last
roster, plan.yaml   as approved; approvals.json says by whom
journal.sqlite      what left
split.sqlite        what each document was trained on or held out for, for good
held-out.jsonl      what each adapter gains this site, by its own held-out documents
manifests/          on which data each job trains here; receipts/ of what was purged
extracted/          text of the documents and what is made of it, reports and review files too, until it is purged
"""

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from clients import policy_file
from clients.ingest.marks import MARKS
from clients.ingest.personal import settings as personal_settings
from clients.ingest.personal.settings import PersonalSettings
from clients.keys import load_or_create
from clients.policy_file import SitePolicy
from federation import load_plan, settings
from federation.errors import ConfigInvalid, Fault, Inconsistent, RengoError, SettingsFileInvalid, SignatureInvalid
from federation.formats import OtherSettings
from federation.identity import Identity, Roster, SignedRoster
from federation.plan import Model, Plan, Train
from federation.registry import APPROVED, is_address
from federation.settings import Range
from federation.wire import Malformed, canonical_cbor, read_cbor

DEMO = "demo"

_TOML = """# One member's site. Stop the member before you edit this, and start it again.
id       = {id}       # the member's id in the roster
registry = {registry} # where the coordinator's registry is
data     = {data}     # folders with manuals and logs: read, never written
model    = {model}    # folder with the base model; "demo" for the small one inside rengo
# unmarked = ["/srv/logs = 社外秘"] # what files without a mark count as: `rengo member data add DIR --mark MARK`
# read_mb_per_s = 20           # how fast files are read at most, for the sake of a file server
# read_hours = "20:00-06:00"   # when files are read, local time
# What this machine trains with, where that is not what the plan says:
# device = "cuda"              # cpu, cuda, cuda:1
# dtype = "bfloat16"           # of the base model: float32, bfloat16, float16
# threads = 8
# tokens_per_round = 512       # fewer than the plan's, for a slow machine: the round waits for nobody
"""


class NoMemberHere(RengoError):
    """There is no member in {path}. Join with `rengo member join --token-file FILE --data FOLDER`, or say where it is
    with --home."""

    ja = (
        "{path} に参加拠点の設定がありません。"
        "`rengo member join --token-file ファイル --data フォルダー` で参加するか、--home で指定してください。"
    )
    exit_code = 9


class MemberExists(RengoError):
    """There already is a member in {path}. Nothing was changed. Choose another --home, or leave first."""

    ja = (
        "{path} には既に参加拠点の設定があります。何も変更していません。"
        "別の --home を指定するか、先に脱退してください。"
    )
    exit_code = 2


class NothingApproved(RengoError):
    """This site has approved no {what} yet. See it with `rengo member review`, then `rengo member approve`."""

    ja = (
        "この拠点ではまだ{what_ja}を承認していません。"
        "`rengo member review` で確認し、`rengo member approve` で承認してください。"
    )
    exit_code = 9


class ApprovedFileChanged(RengoError):
    """{path} is not what this site approved: it was changed afterwards. Nothing was sent. Approve again what you mean
    to take part in: `rengo member review`, then `rengo member approve`."""

    ja = (
        "{path} はこの拠点が承認した内容と異なります（承認後に改変されています）。何も送信していません。"
        "`rengo member review` で確認し、`rengo member approve` で承認し直してください。"
    )
    exit_code = 10


@dataclass(frozen=True)
class Settings:
    """member.toml. `read_mb_per_s`: 0 for any; `read_hours`: as `training_hours` in policy.toml; `unmarked`: the mark
    that files without one count as bearing, "FOLDER = MARK". `device`, `dtype`, `threads`: what this machine trains and
    evaluates with, `tokens_per_round`: on how much at most, each the plan's where it is None. Files of before they were
    there do without."""

    id: str
    registry: str
    data: str | tuple[str, ...]
    model: str
    read_mb_per_s: Annotated[float, Range(0)] = 0
    read_hours: str = policy_file.ANY
    unmarked: Annotated[tuple[str, ...], Range(0)] = ()
    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    threads: Annotated[int | None, Range(1, 1024)] = None
    tokens_per_round: Annotated[int | None, Range(8)] = None

    def model_here(self, model: Model) -> Model:
        """The plan's base model as this machine computes with it."""
        device, dtype, threads = self.device or model.device, self.dtype or model.dtype, self.threads or model.threads
        return replace(model, device=device, dtype=dtype, threads=threads)

    def train_here(self, train: Train) -> Train:
        """The plan's training with this machine's budget of tokens: whole optimiser steps, one at least, and never more
        than the plan's."""
        if self.tokens_per_round is None:
            return train
        steps = max(min(self.tokens_per_round, train.tokens_per_round) // train.tokens_per_step, 1)
        return replace(train, tokens_per_round=steps * train.tokens_per_step)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where the documents are."""
        return tuple(map(Path, (self.data,) if isinstance(self.data, str) else self.data))

    @property
    def default_marks(self) -> dict[Path, str]:
        """`unmarked`, by folder."""
        return {Path(folder.strip()): mark.strip() for folder, _, mark in (e.rpartition("=") for e in self.unmarked)}


@dataclass(frozen=True)
class Approval:
    """A person decided: about which plan under which roster (hex digests), when, who applied and who approved."""

    utc: str
    answer: str
    plan: str
    roster: str
    applicant: str
    approver: str
    reason: str


@dataclass(frozen=True)
class Home:
    """Paths and what is read from them."""

    path: Path

    def file(self, name: str) -> Path:
        """One file of the folder."""
        return self.path / name

    def create(self, chosen: Settings, root: bytes, authority: str) -> None:
        """Write what joining has established; the keys are there already."""
        values = {name: json.dumps(value, ensure_ascii=False) for name, value in asdict(chosen).items()}
        write(self.file("root.pub"), root)
        write(self.file("ca.pem"), authority.encode())
        write(self.file("policy.toml"), policy_file.DEFAULT.encode())
        write(self.file("personal.toml"), personal_settings.DEFAULT.encode())
        # Last: with it, there is a member here.
        write(self.file("member.toml"), _TOML.format(**values).encode())

    def leave(self) -> None:
        """Remove keys and settings; the records (journal and approvals) stay, for this folder's owner alone."""
        # First: without it, there is no member here.
        self.file("member.toml").unlink()
        for name in ("keys", "flower", "extracted"):
            shutil.rmtree(self.file(name), ignore_errors=True)
        settings_of_site = ("policy.toml", "personal.toml", "root.pub", "ca.pem", "carrier", "roster", "plan.yaml")
        for name in (*settings_of_site, "status.json", "lock", "extracted.lock"):
            self.file(name).unlink(missing_ok=True)

    def settings(self) -> Settings:
        """What member.toml says. Raises NoMemberHere, SettingsFileInvalid or ConfigInvalid."""
        if not self.file("member.toml").exists():
            raise NoMemberHere(path=self.path)
        optional = {field.name: field.default for field in fields(Settings) if field.default is not MISSING}
        return settings.read(Settings, optional | _toml(self.file("member.toml")), _faults)

    def policy(self) -> SitePolicy:
        """What policy.toml says. Raises SettingsFileInvalid or PolicyInvalid."""
        return policy_file.read(self.file("policy.toml"))

    def personal(self) -> PersonalSettings:
        """What personal.toml says. Raises SettingsFileInvalid or PersonalSettingsInvalid."""
        return personal_settings.read(self.file("personal.toml"))

    def personal_with_digest(self) -> tuple[PersonalSettings, dict[str, str]]:
        """The same, and SHA-256 (hex) of the file by its path; nothing where there is no file. Raises as `personal`."""
        found, path = self.personal(), self.file("personal.toml")
        digest = {str(path): hashlib.sha256(path.read_bytes()).hexdigest()} if path.exists() else {}
        return found, digest

    def identity(self) -> Identity:
        """The member's signing key."""
        return load_or_create(self.file("keys/member.key"), self.settings().id)

    def root(self) -> bytes:
        """The consortium's root key, as the join token pinned it."""
        return self.file("root.pub").read_bytes()

    def keep_carrier(self, carrier: str) -> None:
        """Note where the node has to connect to (host:port). Raises Malformed: it ends on a command line."""
        if not is_address(carrier):
            raise Malformed(detail="the registry's carrier is not HOST:PORT")
        write(self.file("carrier"), carrier.encode("ascii"))

    def carrier(self) -> str:
        """Where the node connects to. Raises NothingApproved: nobody has asked the registry yet."""
        path = self.file("carrier")
        if not path.exists():
            raise NothingApproved(what="plan", what_ja="計画")
        return path.read_text(encoding="ascii")

    def approve(self, roster: SignedRoster, plan: Plan | None, approval: Approval) -> None:
        """Keep what a person approved, and who that was."""
        write(
            self.file("roster"),
            canonical_cbor({"roster": roster.roster.to_bytes(), "signature": roster.signature}),
        )
        if plan is not None:
            write(self.file("plan.yaml"), load_plan.to_yaml(plan).encode())
        self.note(approval)

    def note(self, approval: Approval) -> None:
        """Add one decision to approvals.json."""
        write(
            self.file("approvals.json"),
            json.dumps([asdict(a) for a in [*self.approvals(), approval]], ensure_ascii=False, indent=1).encode(),
        )

    def approvals(self) -> list[Approval]:
        """Every decision, oldest first."""
        path = self.file("approvals.json")
        return [Approval(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []

    def approved(self, plan: Plan) -> bool:
        """Whether a person's last word about this plan was yes."""
        answers = [a.answer for a in self.approvals() if a.plan == plan.digest().hex()]
        return bool(answers) and answers[-1] == APPROVED

    def roster(self) -> Roster:
        """The approved roster, verified again. Raises NothingApproved or ApprovedFileChanged."""
        path = self.file("roster")
        if not path.exists():
            raise NothingApproved(what="roster", what_ja="参加者名簿")
        try:
            raw = read_cbor(path.read_bytes())
            return SignedRoster(Roster.from_bytes(raw["roster"]), raw["signature"]).verify(self.root())
        except (Malformed, SignatureInvalid, KeyError, TypeError) as error:
            raise ApprovedFileChanged(path=path) from error

    def plan(self) -> Plan:
        """The approved plan. Raises NothingApproved, ApprovedFileChanged, or ConfigInvalid when another version of
        rengo wrote it."""
        path = self.file("plan.yaml")
        if not path.exists():
            raise NothingApproved(what="plan", what_ja="計画")
        try:
            return load_plan.from_yaml(path.read_text(encoding="utf-8"), Plan)
        except ConfigInvalid as error:
            if any(isinstance(fault, OtherSettings) for fault in error.faults):
                raise  # who opens the folder after an upgrade is not told of tampering
            raise ApprovedFileChanged(path=path) from error
        except UnicodeDecodeError as error:
            raise ApprovedFileChanged(path=path) from error


def write(path: Path, data: bytes) -> None:
    """A file with mode 0600, whole or as it was before, on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write it at once
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def now() -> str:
    """UTC, for a record."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _faults(values: Mapping[str, Any]) -> list[Fault]:
    faults = policy_file.hours_faults("read_hours", values.get("read_hours", policy_file.ANY))
    data = values.get("data", ())
    for line in values.get("unmarked", ()):
        folder, _, mark = (part.strip() for part in line.rpartition("="))
        if folder not in ((data,) if isinstance(data, str) else data) or mark not in MARKS:
            known = ", ".join(MARKS)
            en = f'{line!r} is not "FOLDER = MARK" with a folder of `data` and one of {known}'
            ja = f"{line!r} は「`data` のフォルダー = 表示」（表示は {known}）ではありません"
            faults.append(Inconsistent(where="unmarked", detail=en, detail_ja=ja))
    return faults


def _toml(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsFileInvalid(path=path, detail=error.strerror, detail_ja=error.strerror) from error
    return settings.parse_toml(path, data)
