"""start, stop, pause, resume, quarantine, status, watch: the coordinator's process and its job."""

import argparse
import contextlib
import json
import logging
import os
import signal
import time
from pathlib import Path

from aggregator import serving, status_text
from aggregator import status as job_status
from aggregator.home import HOME, Home, write_whole
from aggregator.log_words import JAPANESE
from aggregator.planning import read_plan
from federation import log
from federation.commands import Printer, Result, Verb, Words, option
from federation.errors import RengoError
from federation.output import disk_errors
from federation.process_lock import running

_PATIENCE = 60
"""Seconds for a coordinator to end: it takes Flower's server down first."""


class NoJob(RengoError):
    """No job runs here, and none has stopped before its end: there is nothing to pause."""

    ja = "実行中または途中で停止したジョブはありません。一時停止するものがありません。"
    exit_code = 9


class NotPaused(RengoError):
    """Job {job} is not paused."""

    ja = "ジョブ {job} は一時停止していません。"
    exit_code = 9


def start(options: argparse.Namespace, printer: Printer) -> Result | None:
    """Serve, or run a plan's job: here, or in the coordinator that is serving already."""
    home = Home(options.home)
    home.settings()
    plan = read_plan(options.plan) if options.plan else None
    if plan is not None and serving.hand_over(home, plan):
        words = {"en": "handed to the running coordinator; see: rengo coordinator watch"}
        words["ja"] = "動作中の事務局に渡しました。状況: rengo coordinator watch"
        return Result({"handed": True, "plan": plan.digest().hex()}, words[printer.language])
    log.begin(printer.language, JAPANESE, "%(asctime)s %(levelname)s %(message)s", logging.WARNING)
    with disk_errors(home.path):
        serving.serve(home, plan, printer)
    return None


def stop(options: argparse.Namespace, printer: Printer) -> Result:
    """Ask the running coordinator to end, and wait until it has. Exit code 9 when none runs, or it goes on."""
    home = Home(options.home)
    home.settings()
    pid = running(home.path)
    if pid is None:
        words = {"en": f"no coordinator runs on {home.path}", "ja": f"{home.path} で動作中の事務局はありません"}
        return Result({"stopped": False, "running": False}, words[printer.language], 9)
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE
    while (rests := running(home.path)) and time.monotonic() < until:
        time.sleep(0.2)
    done = rests is None
    words = {"en": "stopped" if done else "it is still running", "ja": "停止" if done else "まだ動作中です"}
    return Result({"stopped": done, "running": not done}, words[printer.language], 0 if done else 9)


def pause(options: argparse.Namespace, printer: Printer) -> Result:
    """The job ends its round and waits, also after a restart. Raises NoJob."""
    home = Home(options.home)
    now = _unfinished(home)
    write_whole(home.pause_mark(now.job), b"")
    in_round = now.running and now.phase == job_status.ROUND
    words: Words = {
        "en": f"{now.job} ends its round and then waits. To go on: rengo coordinator resume"
        if in_round
        else f"{now.job} waits, also when the coordinator is started anew. To go on: rengo coordinator resume",
        "ja": f"{now.job} は進行中の学習回の終了後に一時停止します。再開するには: rengo coordinator resume"
        if in_round
        else f"{now.job} を一時停止しました（事務局を再起動しても続きます）。再開するには: rengo coordinator resume",
    }
    return Result({"job": now.job, "paused": True}, words[printer.language])


def resume(options: argparse.Namespace, printer: Printer) -> Result:
    """End the job's pause. Raises NoJob or NotPaused."""
    home = Home(options.home)
    now = _unfinished(home)
    try:
        home.pause_mark(now.job).unlink()
    except FileNotFoundError as error:
        raise NotPaused(job=now.job) from error
    words: Words = {
        "en": f"{now.job} goes on" + ("" if now.running else " when it is started: rengo coordinator start PLAN"),
        "ja": f"{now.job} を再開します" + ("" if now.running else "（開始するには: rengo coordinator start 計画）"),
    }
    return Result({"job": now.job, "paused": False}, words[printer.language])


def quarantine(options: argparse.Namespace, printer: Printer) -> Result:
    """Leave a member out of rounds from the next attempt on, or no longer. Raises UnknownToRegistry, NotQuarantined."""
    home = Home(options.home)
    registry = serving.open_registry(home)
    with contextlib.closing(registry):
        (registry.lift if options.lift else registry.quarantine)(options.id)
        left_out = registry.quarantined()
    facts = {"id": options.id, "quarantined": not options.lift}
    if options.lift:
        words: Words = {
            "en": f"{options.id} is asked again from the next set-up on.",
            "ja": f"{options.id} の隔離を解除しました。次の準備から再び参加します。",
        }
        return Result(facts, words[printer.language])
    words = {
        "en": f"{options.id} is left out of what begins from now on; the roster stays. To end it: "
        f"rengo coordinator quarantine {options.id} --lift",
        "ja": f"{options.id} を隔離しました。以後に始まる試行・学習回では除外します（参加者名簿は変わりません）。解除: "
        f"rengo coordinator quarantine {options.id} --lift",
    }
    return Result(facts, words[printer.language] + _too_few(home, left_out)[printer.language])


def _too_few(home: Home, left_out: frozenset[str]) -> Words:
    """Said when the job that runs cannot go on without those in quarantine."""
    now = job_status.read(home.path / "status.json")
    left = len(set(now.members) - left_out) if now and now.running else 0
    if now is None or not now.running or left >= now.needed:
        return {"en": "", "ja": ""}
    return {
        "en": f"\nToo few are left for a round of {now.job} ({left}, {now.needed} needed): it waits.",
        "ja": f"\n{now.job} の学習回に必要な数に足りません（{left} 拠点、必要数 {now.needed}）。ジョブは待機します。",
    }


def _unfinished(home: Home) -> job_status.Status:
    """The status of the job that runs, or that stopped before its end. Raises NoJob."""
    home.settings()
    now = job_status.read(home.path / "status.json")
    if now is None or not now.job or now.phase == job_status.DONE:
        raise NoJob
    return now


def status(options: argparse.Namespace, printer: Printer) -> Result:
    """What the running coordinator wrote last. Exit code 9 when none runs."""
    home = Home(options.home)
    home.settings()
    written = job_status.read(home.path / "status.json")
    if written is None:
        alive = running(home.path) is not None
        words = {
            "en": "A coordinator runs; what it does is not written down yet." if alive else "No coordinator runs here.",
            "ja": "事務局は動作中です（状況はまだ記録されていません）。" if alive else "動作中の事務局はありません。",
        }
        return Result({"running": alive}, words[printer.language], 0 if alive else 9)
    standing = written.running or written.phase == job_status.DONE
    to_pause = bool(written.job) and home.pause_mark(written.job).exists()
    facts = written.facts() | {"pause_asked": to_pause}
    return Result(facts, status_text.text(written, printer.language, to_pause), 0 if standing else 9)


def watch(options: argparse.Namespace, printer: Printer) -> Result:
    """Print the status whenever it changes, until the job is done or the coordinator is gone."""
    path, shown = Home(options.home).path / "status.json", [""]
    while True:
        result, written = status(options, printer), job_status.read(path)
        if written is None or printer.as_json:
            lines = [json.dumps(dict(result.facts), ensure_ascii=False) if printer.as_json else result.text]
        else:
            lines = status_text.news(written, printer.language, bool(result.facts["pause_asked"]))
        for line in lines:
            if line not in shown:
                print(line, flush=True)
        shown = lines
        if written is None or written.phase in (job_status.DONE, job_status.STOPPED):
            return Result({}, "", result.exit_code)
        if not written.running:
            words = {"en": "The coordinator does not run.", "ja": "事務局は動作していません。"}
            return Result({}, words[printer.language], result.exit_code)
        time.sleep(1)


VERBS = (
    Verb(
        "start",
        start,
        {"en": "serve members; with a plan, run its job", "ja": "参加受付を開始（計画を指定するとジョブを実行）"},
        "rengo coordinator start plan.yaml",
        (HOME, option("plan", nargs="?", type=Path, en="a plan to run", ja="実行する計画")),
    ),
    Verb("stop", stop, {"en": "stop it", "ja": "停止"}, "rengo coordinator stop", (HOME,)),
    Verb(
        "pause",
        pause,
        {"en": "the job ends its round and waits", "ja": "進行中の学習回の終了後にジョブを一時停止"},
        "rengo coordinator pause",
        (HOME,),
    ),
    Verb(
        "resume",
        resume,
        {"en": "the paused job goes on", "ja": "一時停止したジョブを再開"},
        "rengo coordinator resume",
        (HOME,),
    ),
    Verb(
        "quarantine",
        quarantine,
        {"en": "leave a member out of rounds, or let it in again", "ja": "参加拠点を学習回から除外・解除"},
        "rengo coordinator quarantine toyo-kikai",
        (
            HOME,
            option("id", en="the member's id", ja="参加拠点の ID"),
            option("--lift", action="store_true", en="end its quarantine", ja="隔離を解除"),
        ),
    ),
    Verb(
        "status",
        status,
        {"en": "round, step, deadline, who is in", "ja": "学習回・段階・期限・参加状況"},
        "rengo coordinator status --json",
        (HOME,),
    ),
    Verb(
        "watch",
        watch,
        {"en": "the status whenever it changes", "ja": "状況の変化を表示し続ける"},
        "rengo coordinator watch",
        (HOME,),
    ),
)
