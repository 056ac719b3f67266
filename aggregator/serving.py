"""`rengo coordinator start`: the registry, and jobs. With a plan, until its job is done; without one it serves members
until somebody stops it, and runs the plans that later `start PLAN` commands hand over to it."""

import contextlib
import signal
import time
from collections.abc import Iterator
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
from aggregator.status import DONE, Watch, note_serving
from aggregator.store import Store, StoreOfAnotherPlan
from aggregator.waiting import Waiting
from federation import load_plan
from federation.commands import Printer, Words
from federation.errors import JobStopped, RengoError
from federation.identity import Roster
from federation.plan import Plan
from federation.process_lock import locked, running
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
    carrier = home.settings().carrier  # first: it says where there is no coordinator
    authority = home.key("authority.pem").read_text(encoding="ascii")
    root = home.key("root.pub").read_bytes()
    return Registry(home.registry, home.identity(), root, authority, carrier, version("rengo"))


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
    if running(home.path) is None:
        return False
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
    _require_name_free(home, plan)
    require_free_port(settings.listen, settings.carrier_port)
    folder = home.job(plan.job)
    job = rounds.Job(plan, roster, home.identity(), layers(plan, shapes))
    with contextlib.closing(_store(folder, plan)) as store:
        store.remove_leftovers()
        if state := rounds.finished(job, store):  # damage is told before anyone is asked
            registry.finish_plan(plan.digest())
            _export(folder / "adapter", plan, state, "done", printer)
            return
        (folder / "plan.yaml").write_text(load_plan.to_yaml(plan), encoding="utf-8")
        registry.propose_plan(load_plan.to_yaml(plan).encode(), plan.digest())
        watch = Watch(home.path / "status.json", plan, printer)
        waiting = Waiting(home, registry, plan, roster, watch, printer)
        waiting.for_consents()
        _train(waiting, job, store)


def _train(waiting: Waiting, job: rounds.Job, store: Store) -> None:
    """The rounds of a plan that enough members approved, over Flower, as soon as they are connected."""
    home, registry, plan, watch = waiting.home, waiting.registry, waiting.plan, waiting.watch
    settings = home.settings()
    nodes = {m.id: m.node_key for m in registry.members() if m.id in plan.members and m.revoked is None}
    servers = Servers(
        settings.listen, settings.carrier_port, home.key("server.pem"), home.key("tls.key"), home.key("authority.pem")
    )
    carrier = Flower(servers, nodes, home.path / "flower", rounds.largest_answer(job))
    try:
        waiting.for_resume(carrier.online)
        waiting.for_members(carrier.online)
        control = rounds.Control(lambda: waiting.for_turn(carrier.online), _PAUSES, registry.quarantined)
        run_rounds(job, carrier, store, home.job(plan.job) / "adapter", watch.observe, waiting.printer, control)
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
    control: rounds.Control,
) -> None:
    """Run the job's rounds and write its adapter to `target`, also when all that fails is its measurement. What it
    raises: see `rounds.run`."""
    try:
        state = rounds.run(job, carrier, store, observe, control)
    except JobStopped:
        unmeasured = rounds.unmeasured(job, store)
        if unmeasured is not None:
            _export(target, job.plan, unmeasured, "unmeasured", printer)
        raise
    _export(target, job.plan, state, "done", printer)


def _export(target: Path, plan: Plan, state: State, said: str, printer: Printer) -> None:
    printer.line(said, _WORDS[said], sha256=write_peft(target, plan, state), path=str(target))


def _require_current(plan: Plan, roster: Roster) -> None:
    """The roster's members and consortium are the plan's, or PlanOutOfDate."""
    unknown = sorted(set(plan.members) - set(roster.keys))
    if unknown or plan.consortium != roster.consortium:
        raise PlanOutOfDate(version=roster.version, detail=", ".join(unknown) or plan.consortium)


def _shapes(registry: Registry, plan: Plan) -> dict[str, tuple[int, int]]:
    text = registry.model(plan.model.sha256)
    if text is None:
        raise ModelUnknown(sha256=plan.model.sha256[:16])
    return shapes_from_json(text)


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One coordinator a home. Raises CoordinatorRunning."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(home.path))
        except BlockingIOError as error:
            raise CoordinatorRunning(path=home.path) from error
        yield
