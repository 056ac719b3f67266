"""`rengo coordinator start`: the registry, and jobs. With a plan, until its job is done; without one it serves members
until somebody stops it, and runs the plans that later `start PLAN` commands hand over to it."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from aggregator import rounds
from aggregator.carriers import Carrier
from aggregator.carriers.flower import Flower, Servers
from aggregator.export import write_peft
from aggregator.home import Home, write_whole
from aggregator.planning import layers, read_plan, shapes_from_json
from aggregator.registry import Registry
from aggregator.registry_server import RegistryServer, require_free_port
from aggregator.status import CONNECTING, DONE, Watch, note_serving
from aggregator.store import Store, StoreOfAnotherPlan
from federation import load_plan
from federation.commands import Printer, Words
from federation.errors import JobStopped, RengoError
from federation.identity import Roster
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED
from federation.schemes import State

_POLL = 2.0
_HANDED = "handed-plan.yaml"
_PAUSES = (15.0, 60.0)
"""Seconds between attempts, see `rounds.run`: a member that takes up the plan, or whose node was started again, is back
in them. Flower refuses a node for up to a minute."""
_WORDS: dict[str, Words] = {
    "listening": {
        "en": "registry at {url}; members can join. Ctrl-C stops it",
        "ja": "参加受付 {url} を開始しました。Ctrl-C で停止します",
    },
    "consents": {
        "en": "plan {plan}: {approved} of {members} members approved, {needed} needed; missing: {missing}",
        "ja": "計画 {plan}: {members} 拠点中 {approved} 拠点が承認（必要数 {needed}）。未承認: {missing}",
    },
    "online": {
        "en": "{online} of {approved} approving members are connected, {needed} needed; missing: {missing}",
        "ja": "承認済み {approved} 拠点中 {online} 拠点が接続（必要数 {needed}）。未接続: {missing}",
    },
    "stopped": {"en": "job {job} stopped: {reason} [{code}]", "ja": "ジョブ {job} は停止しました: {reason} [{code}]"},
    "unmeasured": {
        "en": "every round is trained, but the final adapter could not be measured: adapter {sha256} in {path}",
        "ja": "学習はすべて完了しましたが、最終評価はできませんでした。追加学習差分 {sha256} を {path} に保存しました",
    },
    "ended": {
        "en": "job {job}: this program ends, and the registry with it; to serve members on: rengo coordinator start",
        "ja": "ジョブ {job}: このプログラムと参加受付を終了します。受付を続けるには: rengo coordinator start",
    },
    "done": {"en": "adapter {sha256} in {path}", "ja": "追加学習差分 {sha256} を {path} に保存しました"},
}


class CoordinatorRunning(RengoError):
    """A coordinator already runs on {path}. `rengo coordinator status` shows it."""

    ja = "{path} では既に事務局が動作中です。`rengo coordinator status` で確認できます。"
    exit_code = 2


class PlanOutOfDate(RengoError):
    """The plan is for other members than roster {version} has: {detail}. Make it anew: `rengo coordinator plan`."""

    ja = (
        "計画の参加拠点が参加者名簿（版 {version}）と異なります: {detail}。"
        "`rengo coordinator plan` で作り直してください。"
    )
    exit_code = 3


class RosterChanged(RengoError):
    """Roster {version} was published; the job stopped after a whole round. Start it again with the same plan: it goes
    on when enough members have approved the new roster."""

    ja = (
        "参加者名簿 版 {version} が公開されたため、学習回の区切りで停止しました。"
        "同じ計画で開始し直してください。必要数の拠点が新しい名簿を承認すると続きから再開します。"
    )
    exit_code = 9


class JobNameTaken(RengoError):
    """Another plan ({stored}) has been run as job {job}. Nothing was started. Give this one a name of its own:
    `rengo coordinator plan job=NAME ...`."""

    ja = (
        "ジョブ名 {job} は別の計画（{stored}）で使用済みです。何も開始していません。"
        "別の名前を指定してください: `rengo coordinator plan job=名前 …`"
    )
    exit_code = 3


class ModelUnknown(RengoError):
    """The base model {sha256} of the plan is not known here. Run `rengo coordinator plan model=PATH ...` on this
    machine."""

    ja = "計画の基盤モデル {sha256} が未登録です。この機械で `rengo coordinator plan model=パス …` を実行してください。"
    exit_code = 3


def open_registry(home: Home) -> Registry:
    """The registry of this home, on a connection of its own."""
    authority = home.key("authority.pem").read_text(encoding="ascii")
    root = home.key("root.pub").read_bytes()
    return Registry(home.registry, home.identity(), root, authority, home.settings().carrier, version("rengo"))


def serve(home: Home, plan: Plan | None, printer: Printer) -> None:
    """Serve members until `plan`'s job is done; without a plan, until interrupted. Raises JobStopped and others."""
    settings, registry = home.settings(), open_registry(home)
    signal.signal(signal.SIGTERM, _interrupt)
    with _alone(home):
        server = RegistryServer(
            open_registry(home), settings.listen, settings.registry_port, home.key("server.pem"), home.key("tls.key")
        )
        try:
            note_serving(home.path / "status.json")
            printer.line("listening", _WORDS["listening"], url=settings.url)
            if plan is not None:
                run_job(home, registry, plan, printer)
            while plan is None:
                if handed := _take_handed(home):
                    _run_handed(home, registry, handed, printer)
                time.sleep(_POLL)
        finally:
            server.stop()
            if plan is not None:
                printer.line("ended", _WORDS["ended"], job=plan.job)


def hand_over(home: Home, plan: Plan) -> bool:
    """Give the plan to a coordinator that is serving already; False when none is. It begins when no job is running.
    Raises JobNameTaken."""
    try:
        with _alone(home):
            return False
    except CoordinatorRunning:
        _require_name_free(home, plan)
        write_whole(home.path / _HANDED, load_plan.to_yaml(plan).encode())
        return True


def _require_name_free(home: Home, plan: Plan) -> None:
    """No other plan has had rounds under this job's name, or JobNameTaken."""
    if (home.job(plan.job) / "coordinator.sqlite").exists():
        _store(home.job(plan.job), plan).close()


def _store(folder: Path, plan: Plan) -> Store:
    try:
        return Store(folder, plan.digest())
    except StoreOfAnotherPlan as error:
        raise JobNameTaken(job=plan.job, stored=error.facts["stored"]) from error


def _take_handed(home: Home) -> Plan | None:
    path = home.path / _HANDED
    if not path.exists():
        return None
    plan = read_plan(path)
    path.unlink()
    return plan


def _run_handed(home: Home, registry: Registry, plan: Plan, printer: Printer) -> None:
    """A job that stops does not stop the service: members can still join, and the next plan can come."""
    try:
        run_job(home, registry, plan, printer)
    except RengoError as error:
        printer.line("stopped", _WORDS["stopped"], job=plan.job, reason=error.text(printer.language), code=error.code)


def _interrupt(*_: object) -> None:
    """A service manager's stop is like Ctrl-C: what was started is stopped, and the next start goes on."""
    raise KeyboardInterrupt


def run_job(home: Home, registry: Registry, plan: Plan, printer: Printer) -> None:
    """Propose the plan, wait until enough members approved and are connected, and run its rounds to the end."""
    settings, roster = home.settings(), registry.roster().roster
    shapes = _shapes(registry, plan)
    _require_current(plan, roster)
    require_free_port(settings.listen, settings.carrier_port)
    folder = home.job(plan.job)
    job = rounds.Job(plan, roster, home.identity(), layers(plan, shapes))
    with contextlib.closing(_store(folder, plan)) as store:
        if state := rounds.finished(job, store):  # damage is told before anyone is asked
            registry.finish_plan(plan.digest())
            _export(folder / "adapter", plan, state, "done", printer)
            return
        (folder / "plan.yaml").write_text(load_plan.to_yaml(plan), encoding="utf-8")
        registry.propose_plan(load_plan.to_yaml(plan).encode(), plan.digest())
        watch = Watch(home.path / "status.json", plan, settings.deadline, printer)
        _await_consents(registry, plan, roster, printer, watch)
        _train(home, registry, job, store, printer, watch)


def _train(home: Home, registry: Registry, job: rounds.Job, store: Store, printer: Printer, watch: Watch) -> None:
    """The rounds of a plan that enough members approved, over Flower, as soon as they are connected."""
    settings, plan, roster = home.settings(), job.plan, job.roster
    nodes = {m.id: m.node_key for m in registry.members() if m.id in plan.members and m.revoked is None}
    servers = Servers(
        settings.listen, settings.carrier_port, home.key("server.pem"), home.key("tls.key"), home.key("authority.pem")
    )
    carrier = Flower(servers, nodes, settings.deadline, home.path / "flower")
    try:
        watch.phase(CONNECTING)
        _await_members(carrier, registry, plan, roster, settings.wait, printer, watch)

        def observe(event: rounds.Event) -> None:
            watch.observe(event)
            if isinstance(event, rounds.RoundDone):
                _require_same(registry, roster)

        run_rounds(job, carrier, store, home.job(plan.job) / "adapter", observe, printer, _PAUSES)
        registry.finish_plan(plan.digest())
    except RengoError as error:
        watch.stopped(error)
        raise
    finally:
        carrier.close()
    watch.phase(DONE)


def run_rounds(
    job: rounds.Job,
    carrier: Carrier,
    store: Store,
    target: Path,
    observe: rounds.Observe,
    printer: Printer,
    pauses: Sequence[float] = (0.0,),
) -> None:
    """Run the job's rounds and write its adapter to `target`, also when all that fails is its measurement. `pauses` and
    what it raises: see `rounds.run`."""
    try:
        state = rounds.run(job, carrier, store, observe, pauses)
    except JobStopped:
        unmeasured = rounds.unmeasured(job, store)
        if unmeasured is not None:
            _export(target, job.plan, unmeasured, "unmeasured", printer)
        raise
    _export(target, job.plan, state, "done", printer)


def _export(target: Path, plan: Plan, state: State, said: str, printer: Printer) -> None:
    printer.line(said, _WORDS[said], sha256=write_peft(target, plan, state), path=str(target))


def _await_consents(registry: Registry, plan: Plan, roster: Roster, printer: Printer, watch: Watch) -> None:
    said = -1
    while True:
        approved, refused = _decisions(registry, plan, roster, watch)
        if len(approved) != said:
            missing = ", ".join(sorted(set(plan.members) - approved - refused)) or "-"
            facts = {"plan": plan.digest().hex()[:16], "approved": len(approved), "members": len(plan.members)}
            printer.line("consents", _WORDS["consents"], **facts, needed=plan.quorum, missing=missing)
            said = len(approved)
        if len(approved) >= plan.quorum:
            return
        time.sleep(_POLL)


def _decisions(registry: Registry, plan: Plan, roster: Roster, watch: Watch) -> tuple[set[str], set[str]]:
    """Who of the plan's members has approved it, and who refused it, which is told with the reason."""
    consents = registry.consents(plan.digest(), roster.digest())
    approved = {member for member, (answer, _) in consents.items() if answer == APPROVED}
    watch.consents(consents)
    return approved & set(plan.members), {member for member, (answer, _) in consents.items() if answer == REFUSED}


def _await_members(
    carrier: Flower, registry: Registry, plan: Plan, roster: Roster, wait: float, printer: Printer, watch: Watch
) -> None:
    """Until everyone who approved is connected; once t are, no longer than `wait` seconds for the others."""
    began, said = time.monotonic(), None
    while True:
        approved, _ = _decisions(registry, plan, roster, watch)
        online = carrier.online() & set(plan.members)
        watch.phase(CONNECTING, online)
        if (len(online), len(approved)) != said:
            missing = ", ".join(sorted(approved - online)) or "-"
            facts = {"online": len(online), "approved": len(approved), "needed": plan.quorum, "missing": missing}
            printer.line("online", _WORDS["online"], **facts)
            said = (len(online), len(approved))
        if len(online) >= plan.quorum and (approved <= online or time.monotonic() - began > wait):
            return
        time.sleep(_POLL)


def _require_current(plan: Plan, roster: Roster) -> None:
    """The roster's members and consortium are the plan's, or PlanOutOfDate."""
    unknown = sorted(set(plan.members) - set(roster.keys))
    if unknown or plan.consortium != roster.consortium:
        raise PlanOutOfDate(version=roster.version, detail=", ".join(unknown) or plan.consortium)


def _require_same(registry: Registry, roster: Roster) -> None:
    """The roster still stands, or RosterChanged: nobody is in a round under a roster that the root has replaced."""
    newest = registry.roster().roster
    if newest.digest() != roster.digest():
        raise RosterChanged(version=newest.version)


def _shapes(registry: Registry, plan: Plan) -> dict[str, tuple[int, int]]:
    text = registry.model(plan.model.sha256)
    if text is None:
        raise ModelUnknown(sha256=plan.model.sha256[:16])
    return shapes_from_json(text)


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One coordinator a home. Raises CoordinatorRunning."""
    handle = os.open(home.path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CoordinatorRunning(path=home.path) from error
    try:
        yield
    finally:
        os.close(handle)
