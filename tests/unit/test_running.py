"""`rengo member start`: what it says of the way to the carrier, and what it looks at before it loads anything."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clients import asking
from clients.approving import require_approved
from clients.asking import ask_until_answered
from clients.commands.site import opened_journal
from clients.home import Home, Settings
from clients.journal import Departure, Journal
from clients.loading import DEMO_BASE
from clients.process import alone
from clients.running import _nobody_listens, _Signals, _Stopped, _tell_of_clock, _tell_of_proxy
from federation.commands import Printer
from federation.secagg.history import History
from tests.unit.proxies import PROXIES, Proxy
from tests.unit.site import DOCUMENTS, Consortium, Site, consortium, free_port, three_sites


def said(home: Home, language: str = "en") -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        _tell_of_proxy(home, Printer(language, as_json=False))  # type: ignore[arg-type]
    return out.getvalue()


class TestTheWayToTheCarrier:
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        home = Home(tmp_path)
        home.create(Settings("toyo-kikai", "https://127.0.0.1:1", str(tmp_path), "demo"), bytes(32), "PEM")
        home.keep_carrier(f"127.0.0.1:{free_port()}")
        return home

    @pytest.mark.parametrize(
        ("answer", "words", "code"),
        [
            (b"", "does not answer: Connection refused", "proxy-unreachable"),
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "permit CONNECT", "proxy-refused"),
            (b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n", "NTLM only", "proxy-refused"),
        ],
    )
    def test_names_a_proxy_that_keeps_the_node_from_it(
        self, answer: bytes, words: str, code: str, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = Proxy(answer)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{proxy.port}")
        with proxy.listening() if answer else contextlib.nullcontext():
            english, japanese = said(home), said(home, "ja")
        assert english.startswith("toyo-kikai: the carrier is not reached; the node keeps trying. The proxy 127.0.0.1:")
        assert words in english
        assert japanese.startswith("toyo-kikai: 通信路に接続できません")
        assert f"[{code}]" in english
        assert f"[{code}]" in japanese
        assert "s3cret" not in english + japanese

    @pytest.mark.parametrize("by_proxy", [False, True])
    def test_says_nothing_of_a_carrier_that_is_not_there_yet(
        self, by_proxy: bool, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Proxy().listening() as proxy:
            if by_proxy:
                monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            assert said(home) == ""
            assert _nobody_listens(home)
        assert bool(proxy.asked) == by_proxy

    def test_takes_neither_a_proxys_fault_nor_a_carrier_that_is_there_for_that(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as carrier:
            carrier.bind(("127.0.0.1", 0))
            carrier.listen()
            home.keep_carrier(f"127.0.0.1:{carrier.getsockname()[1]}")
            assert not _nobody_listens(home)
        with Proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n").listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            assert not _nobody_listens(home)


@pytest.mark.scenario(4)
@pytest.mark.parametrize(
    ("jump", "words"),
    [(10, "ahead"), (3600, "ahead"), (-400, "behind"), (-3600, "behind"), (0, ""), (-200, "")],
)
def test_a_clock_that_jumps_while_the_member_runs_is_named_when_its_node_is_refused(
    jump: int, words: str, joined: tuple[Consortium, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, site = joined
    real = time.time
    with made.listening(), contextlib.redirect_stdout(io.StringIO()) as out:
        monkeypatch.setattr("clients.clock.time.time", lambda: real() + jump)
        _tell_of_clock(site.home, Printer("en", as_json=False))
    if words:
        refused = r": the coordinator refuses the node; it keeps trying. This machine's clock is (\d+) s (\w+)"
        told = re.search(refused, out.getvalue())
        assert told is not None
        assert told[2] == words
        assert abs(int(told[1]) - abs(jump)) <= 3  # asking takes its time on a busy machine
        assert "[clock-wrong]" in out.getvalue()
    else:
        assert out.getvalue() == ""


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Consortium, Site]:
    made = consortium(tmp_path_factory.mktemp("joined"))
    with made.listening():
        site = made.join(DOCUMENTS[0])
    return made, site


def started(site: Site) -> tuple[str, bool]:
    """`rengo member start` in a process of its own: the error that it ends with, and whether it loaded torch."""
    source = f"""
import sys
from federation.main import main
main(["member", "start", "--home", {str(site.path)!r}, "--json"])
sys.exit(40 + ("torch" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (40, 41), done.stderr
    return json.loads(done.stderr.splitlines()[-1])["error"], done.returncode == 41


class TestBeforeAnythingIsLoaded:
    @pytest.mark.parametrize(("how", "code"), [("finished", "job-finished"), ("closed", "job-closed")])
    def test_a_job_that_is_over_here_is_said_and_review_says_it(self, how: str, code: str, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            plan = made.propose()
            assert site.run("review")["here"] == "undecided"
            site.run("approve", "--yes")
            assert "この拠点: 承認済み" in site.said("review")
            with opened_journal(site.home) as journal:
                history = History((1, 3), (1, 3), plan.rounds + 1 if how == "finished" else 1)
                journal.commit(history, Departure(plan.job, ("revealed",), "", 1, bytes(32)), open=how == "closed")
            if how == "closed":
                site.run("close", plan.job, "--yes")
            else:
                assert "This site: finished" in site.said("review", language="en")
            assert started(site) == (code, False)

    def test_nothing_approved_is_said_without_a_call_of_the_registry(self, tmp_path: Path) -> None:
        made = consortium(tmp_path)
        with made.listening():
            site = made.join("akatombo-seiki")
        assert started(site) == ("nothing-approved", False)  # nobody listens any more

    def test_a_member_that_runs_already_is_said(self, tmp_path: Path) -> None:
        made = consortium(tmp_path)
        with made.listening():
            site = made.join("akatombo-seiki")
        with alone(site.path):
            assert started(site) == ("member-running", False)

    def test_an_approved_file_that_was_changed_is_said_and_a_way_out_that_nothing_begins_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            made.propose()
            site.run("approve", "--yes")
        carrier = site.home.file("carrier")
        carrier.rename(carrier.with_suffix(".away"))
        assert started(site) == ("registry-unreachable", False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
        assert started(site) == ("proxy-unreachable", False)
        carrier.with_suffix(".away").rename(carrier)
        plan = site.home.file("plan.yaml")
        plan.write_text(plan.read_text(encoding="utf-8").replace("rounds: 2", "rounds: 20"), encoding="utf-8")
        assert started(site) == ("approved-file-changed", False)

    def test_where_policy_approves_the_registry_is_asked_first(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            site.set_policy(automatic_approval="true")
            made.propose()
            assert started(site) == ("nothing-approved", False)  # the roster is for people


def open_job(site: Site, job: str) -> None:
    """As if this site had sent its first keys in `job`."""
    journal = Journal(site.home.file("journal.sqlite"))
    journal.commit(History((1, 1)), Departure(job, ("keys",), "host:1", 1, bytes(32)))
    journal.close()


@contextlib.contextmanager
def running(site: Site, *command: str) -> Iterator[Callable[[str], None]]:
    """`rengo member COMMAND` in a process of its own, ended by SIGTERM; what waits until it has said something."""
    log = site.path.with_suffix(".log")
    source = "import sys; from federation.main import main; sys.exit(main())"
    arguments = [sys.executable, "-c", source, "member", *command, "--home", str(site.path), "--lang", "en"]
    with log.open("wb") as file:
        process = subprocess.Popen(arguments, stdout=file, stderr=file)

    def says(words: str, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while words not in (text := log.read_text(encoding="utf-8")):
            assert process.poll() is None, text
            assert time.monotonic() < until, text
            time.sleep(0.1)

    try:
        yield says
    finally:
        if ": stopped" not in log.read_text(encoding="utf-8"):  # by then Python has given up its signals' handlers
            process.terminate()
        code = process.wait(30)
    assert (code, log.read_text(encoding="utf-8").splitlines()[-1]) == (0, f"{site.home.settings().id}: stopped")


def test_a_running_member_takes_up_another_plan_when_its_job_is_over_here_and_not_before(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, (site, *_)):
        made.propose("job=first")
        assert "Next: rengo member start" in site.said("approve", "--yes", language="en")
        open_job(site, "first")
        with running(site, "serve", "--run-folder", str(tmp_path)) as says:
            says("ready for job first")
            made.propose("job=second")
            assert "rengo member close first" in site.said("approve", "--yes", language="en")
            with pytest.raises(AssertionError):
                says("it is taken up", 5)
            site.run("close", "first", "--yes")
            says("ready for job second")
            assert site.run("status")["job"] == "second"
            made.propose("job=third")
            assert "takes it up within seconds" in site.said("approve", "--yes", language="en")
            says("approved than job second was loaded with")  # it never began


def test_a_running_member_goes_on_under_a_new_roster_once_no_round_is_open(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, (site, *_)):
        plan = made.propose()
        site.run("approve", "--yes")
        masked = History((1, 1), (1, 1))
        with opened_journal(site.home) as journal:
            journal.commit(masked, Departure(plan.job, ("masked",), "", 1, bytes(32)))
        with running(site, "serve", "--run-folder", str(tmp_path)) as says:
            says(f"ready for job {plan.job}")
            made.join("hotarubi-kogyo")
            made.publish_roster()
            assert "when the open round" in site.said("roster", "approve", "--yes", language="en")
            with pytest.raises(AssertionError):
                says("it is taken up", 5)
            with opened_journal(site.home) as journal:
                journal.commit(replace(masked, revealed_round=1), Departure(plan.job, ("revealed",), "", 1, bytes(32)))
            says("it is taken up")
            says(f"ready for job {plan.job}; the relay")


def test_where_policy_approves_a_member_without_a_plan_waits_for_one(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (_, (site, *_)):
        site.set_policy(automatic_approval="true")
        site.run("roster", "approve", "--yes")
        with running(site, "start") as says:
            says("no plan to take part in")
        # One that was approved before an upgrade is no plan of this version.
        site.home.file("plan.yaml").write_text("job: of-before\n")
        with running(site, "start") as says:
            says("no plan to take part in")


def test_where_policy_approves_the_next_plan_is_found_while_the_member_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_NEXT_PLAN", 0.1)
    stopping, printer = threading.Event(), Printer("en", as_json=False)
    with three_sites(tmp_path) as (made, (site, *_)):
        site.set_policy(automatic_approval="true")
        site.run("roster", "approve", "--yes")
        with opened_journal(site.home) as journal, contextlib.redirect_stdout(io.StringIO()) as out:
            ask_until_answered(site.home, journal, stopping, printer)
            open_job(site, "first")
            made.propose("job=second")
            try:
                with pytest.raises(AssertionError):
                    until(lambda: "approved without a person" in out.getvalue(), 1)  # the open job would be lost
                site.run("close", "first", "--yes")
                until(lambda: "approved without a person" in out.getvalue(), 30)
                assert site.home.plan().job == "second"
                made.propose("job=third", "rounds=201")
                until(lambda: "[refused-by-policy]" in out.getvalue(), 30)
                assert site.home.plan().job == "second"
            finally:
                stopping.set()


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_site_that_has_approved_starts_without_the_registry_and_asks_until_it_answers(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, (site, *_)):
        plan = made.propose()
        site.run("approve", "--yes")
    stopping, printer = threading.Event(), Printer("en", as_json=False)
    with opened_journal(site.home) as journal, contextlib.redirect_stdout(io.StringIO()) as out:
        ask_until_answered(site.home, journal, stopping, printer)  # does not raise
        assert "asked again in 5 s, and the member goes on with what is approved" in out.getvalue()
        assert "[registry-unreachable]" in out.getvalue()
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "registry"]
        with made.listening():
            thread.join(60)
        assert not thread.is_alive()
        assert out.getvalue().endswith("akatombo-seiki: the registry is reached\n")
        require_approved(site.home)
        assert site.home.plan() == plan


def test_asking_again_ends_with_the_member(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, (site, *_)):
        made.propose()
        site.run("approve", "--yes")
    stopping = threading.Event()
    with opened_journal(site.home) as journal:
        ask_until_answered(site.home, journal, stopping, Printer("en", as_json=True))
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "registry"]
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_what_a_library_raises_while_it_is_interrupted_is_no_error() -> None:
    """OmegaConf puts flags back in a `finally`, and fails at a configuration that is half made."""
    signals = _Signals(threading.Event())

    def interrupted() -> None:
        try:
            signals.hear()
        finally:
            raise ValueError("half made")

    with pytest.raises(_Stopped), signals.interrupting():
        interrupted()
    with pytest.raises(ValueError, match="wrong"), _Signals(threading.Event()).interrupting():
        raise ValueError("wrong")


def test_stop_reaches_a_member_that_is_still_loading_and_returns_when_it_is_gone(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, (site, *_)):
        made.propose()
        site.run("approve", "--yes")
    pipe = site.path.parent / "model"  # what a model that takes for ever to read is like
    shutil.copytree(DEMO_BASE, pipe)
    (pipe / "config.json").unlink()
    os.mkfifo(pipe / "config.json")
    toml = site.home.file("member.toml")
    toml.write_text(toml.read_text(encoding="utf-8").replace('"demo"', json.dumps(str(pipe))), encoding="utf-8")
    with running(site, "serve", "--run-folder", str(tmp_path)) as says:
        says("loading")
        assert site.run("status")["phase"] == "loading"
        assert site.run("stop") == {"stopped": True, "running": False}
        assert site.run("stop", exit_code=9)["running"] is False
