"""start, status, stop, doctor: the member's processes."""

import argparse
import datetime
import json
import os
import signal
import time
from dataclasses import asdict
from typing import Any

from clients import held_out, status_text
from clients.commands.site import HOME, opened_journal
from clients.home import Home
from clients.journal import Journal
from clients.log_words import JAPANESE
from clients.running import run
from federation import log
from federation.commands import Printer, Result, Verb, Words, option
from federation.plan import Plan
from federation.process_lock import running


def start(options: argparse.Namespace, printer: Printer) -> None:
    """Load model and data, listen, connect outward, until told to stop."""
    log.begin(printer.language, JAPANESE, "%(asctime)s %(levelname)s %(message)s")
    run(Home(options.home.absolute()), printer)


def status(options: argparse.Namespace, printer: Printer) -> Result:
    """What the service wrote last. Exit code 9 when it does not run."""
    home = Home(options.home)
    facts = _status(home)
    return Result(facts, status_text.text(facts, printer.language), 0 if facts["running"] else 9)


def stop(options: argparse.Namespace, printer: Printer) -> Result:
    """Ask the running member to end, and wait until it has. Exit code 9 when none runs, or it goes on."""
    home = Home(options.home)
    home.settings()
    if running(home.path) is None:
        words = {"en": f"no member runs on {home.path}", "ja": f"{home.path} で動作中の参加拠点はありません"}
        return Result({"stopped": False, "running": False}, words[printer.language], 9)
    done = stopped(home)
    words = {"en": "stopped" if done else "it is still running", "ja": "停止" if done else "まだ動作中です"}
    return Result({"stopped": done, "running": not done}, words[printer.language], 0 if done else 9)


def doctor(options: argparse.Namespace, printer: Printer) -> Result:
    """Everything that could keep this site from taking part, each with how to mend it."""
    from clients.doctor import report

    return report(Home(options.home.absolute()), printer.language, measure=not options.quick)


def stopped(home: Home) -> bool:
    """Whether no member runs here any more, after a running one was asked to end and given a minute."""
    if pid := running(home.path):
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 60
        while running(home.path) and time.monotonic() < until:
            time.sleep(0.2)
    return running(home.path) is None


def next_step(home: Home, journal: Journal, plan: Plan) -> Words:
    """How what was approved, the plan or a roster for it, comes into effect here. A member that runs takes up nothing
    by which an open round would be lost."""
    if running(home.path) is None:
        return {"en": "Next: rengo member start", "ja": "次: rengo member start"}
    open_jobs = journal.open_jobs()
    if not open_jobs or (plan.job in open_jobs and not journal.history(plan.job).round_open):
        return {
            "en": "The running member takes it up within seconds.",
            "ja": "動作中の参加拠点が数秒以内に自動で切り替えます。",
        }
    if plan.job in open_jobs:
        return {
            "en": f"The running member takes it up when the open round of job {plan.job} has ended here. If the job "
            "stopped in mid-round: rengo member stop; rengo member start",
            "ja": f"動作中の参加拠点は、ジョブ {plan.job} の進行中の学習回が終わりしだい自動で切り替えます。"
            "学習回の途中でジョブが停止した場合: rengo member stop; rengo member start",
        }
    return {
        "en": f"The running member takes it up when job {open_jobs[0]} has ended here. If that job stopped for good: "
        f"rengo member close {open_jobs[0]}",
        "ja": f"動作中の参加拠点は、ジョブ {open_jobs[0]} の終了後に自動で切り替えます。"
        f"そのジョブが再開されない場合: rengo member close {open_jobs[0]}",
    }


def _status(home: Home) -> dict[str, Any]:
    home.settings()
    path, pid = home.file("status.json"), running(home.path)
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"pid": 0}
    if pid and (facts["pid"] != pid or facts["phase"] == "stopped"):  # of the one before, or of the plan before
        facts = {"pid": pid, "phase": "loading"}
    facts |= {"id": home.settings().id, "running": pid is not None}
    if "since" in facts:
        facts["since_utc"] = datetime.datetime.fromtimestamp(facts["since"], datetime.UTC).isoformat(timespec="seconds")
    if facts.get("rounds"):
        with opened_journal(home) as journal:
            facts["round"], facts["step"] = status_text.part(journal, facts["job"])
    if measured := held_out.last(home.file(held_out.NAME), facts.get("job", "")):
        facts["held_out"] = asdict(measured) | {"gain": measured.gain}
    return facts


VERBS = {
    "doctor": Verb(
        "doctor",
        doctor,
        {"en": "check this machine, its network, model and data", "ja": "この機械・通信・モデル・データの点検"},
        "rengo member doctor --lang ja",
        (
            HOME,
            option("--quick", action="store_true", en="do not load the model", ja="モデルを読み込まない"),
        ),
    ),
    "start": Verb(
        "start",
        start,
        {"en": "load model and data, connect outward, take part", "ja": "モデルとデータを読み込み、参加を開始"},
        "rengo member start",
        (HOME,),
    ),
    "status": Verb(
        "status", status, {"en": "what it is doing", "ja": "動作状況"}, "rengo member status --json", (HOME,)
    ),
    "stop": Verb("stop", stop, {"en": "stop it", "ja": "停止"}, "rengo member stop", (HOME,)),
}
