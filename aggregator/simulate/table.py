"""Thirty members and a coordinator at one table: the wiring of a whole consortium, and one run of its job.

Everything is what a deployment uses: real keys and signatures, real journals and store, bytes in between. Shared by all
is only the learner, because members differ by their adapter's tensors alone, so thirty of them cost one base model.
"""

import hashlib
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aggregator.carriers.in_process import InProcess
from aggregator.rounds import Job
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.controls import controlled
from aggregator.simulate.domains import domains_of
from aggregator.simulate.dropouts import Dropping, schedule
from aggregator.simulate.overlap import seen_share
from aggregator.simulate.recording import Recorded, Recording
from aggregator.store import Store
from aggregator.workers import Workers
from clients.contribution import Contribution
from clients.dataset import Blocks, Corpus, Source, corpus_of, read_parts
from clients.ingest import Documents
from clients.ingest.parser import Parser
from clients.journal import Journal
from clients.keys import load_or_create
from clients.member import Member
from clients.policy import Policy
from clients.process import forbid_core_dumps
from clients.trainer import Trainer
from federation import base_model, load_plan, step
from federation.errors import DataFolderInvalid
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.output import write_text_whole
from federation.plan import Plan

_DEMO = Path(__file__).parent / "demo"
DEMO_BASE = _DEMO / "base"
DEMO_MEMBERS = _DEMO / "members"
SEATED = ("keys", "members", "coordinator")
"""The folders that `set_table` makes in a run's."""


@dataclass(frozen=True)
class Table:
    """A consortium that is ready to run, and what a simulation may look at from outside: each member's domain, the
    share of the members' test text that somebody trains on (`overlap`), and how long seating took."""

    plan: Plan
    job: Job
    carrier: Dropping
    store: Store
    learner: Trainer
    corpora: dict[str, Corpus]
    domains: dict[str, str]
    recording: Recording
    workers: Workers
    overlap: float
    seconds: float

    @cached_property
    def documents_digest(self) -> str:
        """SHA-256 over every member's token blocks: what a run learns from and is measured on."""
        corpora = self.corpora.items()
        return _digest((member, each) for member, c in corpora for each in (c.train, c.validation, c.test))

    @cached_property
    def test_digest(self) -> str:
        """The same over test text alone."""
        return _digest((member, corpus.test) for member, corpus in self.corpora.items())


def _digest(blocks: Iterable[tuple[str, Blocks]]) -> str:
    whole = hashlib.sha256()
    for member, each in blocks:
        whole.update(f"{member} {each.ids.shape}\n".encode() + each.ids.tobytes() + each.labels.tobytes())
    return whole.hexdigest()


def set_table(config: SimulateConfig, output: Path) -> Table:
    """Everyone seated. Model, data and plan are checked here, before any training; nothing is written before that."""
    started = time.perf_counter()
    forbid_core_dumps()
    model_folder = Path(config.model.path) if config.model.path else DEMO_BASE
    folders = member_folders(Path(config.data.path) if config.data.path else DEMO_MEMBERS)
    demo_domains = _DEMO / "domains.json" if config.data.path is None else None
    domains = domains_of(list(folders), Path(config.data.domains) if config.data.domains else demo_domains)
    plan = config.plan(tuple(folders), base_model.digest(model_folder))
    learner = Trainer(model_folder, plan.model, plan.lora)
    learner.check_length(plan.train.sequence_length)
    step.first_state(plan, learner.shapes)  # the scheme's own conditions
    corpora, overlap = _read(folders, plan, learner)
    corpora = controlled(corpora, config.data.control, learner.tokenizer)

    # Before everything else in the folder: from here on `resume=` goes on with the run, whenever it is killed.
    write_text_whole(output / "config.yaml", load_plan.to_yaml(config))
    identities = _identities(plan.members, output / "keys")
    root, coordinator = identities["root"], identities[COORDINATOR]
    entries = tuple(RosterEntry(name, name, identities[name].public_key) for name in plan.members)
    unsigned = Roster(plan.consortium, 1, coordinator.public_key, entries)
    roster = SignedRoster.sign(unsigned, root).verify(root.public_key)

    workers = Workers(min(config.worker_count, len(plan.members)), learner.stop)
    recording = Recording(workers.count)
    members = {}
    for name in plan.members:
        contribution = Contribution(plan, name, Recorded(learner, name, recording), corpora[name])
        journal = Journal(output / "members" / name / "journal.sqlite")
        policy = _permitting(plan, roster)
        members[name] = Member(identities[name], roster, plan, policy, contribution, journal, "in-process")

    carrier = InProcess({name: member.handle for name, member in members.items()}, workers.in_order)
    each_round = config.dropouts.count(plan)
    lost = schedule(plan.members, plan.rounds, each_round, plan.seed)
    store = Store(output / "coordinator", plan.digest())
    job = Job(plan, roster, coordinator, learner.shapes)
    seconds = time.perf_counter() - started
    return Table(
        plan, job, Dropping(carrier, lost), store, learner, corpora, domains, recording, workers, overlap, seconds
    )


def _read(folders: dict[str, Path], plan: Plan, learner: Trainer) -> tuple[dict[str, Corpus], float]:
    """Every member's text as blocks, and `Table.overlap`."""
    with Parser() as parser:
        parts = {name: read_parts(folder, plan.evaluation, parser) for name, folder in folders.items()}
    length = plan.train.sequence_length
    corpora = {
        name: corpus_of(Source(name, folder), parts[name], learner.tokenizer, length, plan.evaluation)
        for name, folder in folders.items()
    }
    overlap = seen_share(_texts(part.test for part in parts.values()), _texts(part.train for part in parts.values()))
    return corpora, overlap


def _identities(members: Iterable[str], folder: Path) -> dict[str, Identity]:
    """Kept with the run: when it is resumed, the roster and what was signed under it still stand."""
    names = {"root": "root", COORDINATOR: COORDINATOR} | {name: f"member-{name}" for name in members}
    return {name: load_or_create(folder / f"{file}.key", name) for name, file in names.items()}


def member_folders(data: Path) -> dict[str, Path]:
    """Member id -> folder, sorted by id: the subfolders of `data` by their names in NFC. Raises DataFolderInvalid."""
    if not data.is_dir():
        raise DataFolderInvalid(path=data, detail="there is no such folder", detail_ja="フォルダーがありません")
    found = [entry for entry in data.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    folders = {unicodedata.normalize("NFC", entry.name): entry for entry in found}
    if len(folders) < 3 or len(folders) < len(found) or COORDINATOR in folders:
        raise DataFolderInvalid(
            path=data,
            detail=f"it has to hold one folder a member, three or more, each with another name and none called "
            f"{COORDINATOR!r}; there are {len(folders)}",
            detail_ja=f"参加拠点ごとに 1 つ、3 つ以上のフォルダーが必要です（名前は重複不可、{COORDINATOR!r} 以外）。"
            f"現在 {len(folders)}",
        )
    return {name: folders[name] for name in sorted(folders)}


def _texts(parts: Iterable[Documents]) -> list[str]:
    return [document.text for part in parts for document in part]


def _permitting(plan: Plan, roster: Roster) -> Policy:
    """The policy of a site that has approved this plan and roster, and this many sums over its data."""
    base = bytes.fromhex(plan.model.sha256)
    contributions = (plan.rounds + 1) * plan.secagg.attempts
    return Policy(
        plan.digest(), roster.digest(), base, plan.quorum, contributions, None, plan.secagg.threat == "semi_malicious"
    )
