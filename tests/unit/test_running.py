"""`rengo member start`: what it says of the way to the carrier, and what it looks at before it loads anything."""

import contextlib
import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clients.home import Home, Settings
from clients.process import alone
from clients.running import _nobody_listens, _tell_of_proxy
from federation.commands import Printer
from tests.unit.proxies import PROXIES, Proxy
from tests.unit.site import Site, consortium, free_port, three_sites


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

    def test_a_registry_or_proxy_that_is_away_and_an_approved_file_that_was_changed_are_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            made.propose()
            site.run("approve", "--yes")
        assert started(site) == ("registry-unreachable", False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
        assert started(site) == ("proxy-unreachable", False)
        plan = site.home.file("plan.yaml")
        plan.write_text(plan.read_text(encoding="utf-8").replace("rounds: 2", "rounds: 20"), encoding="utf-8")
        assert started(site) == ("approved-file-changed", False)

    def test_where_policy_approves_the_registry_is_asked_first(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            site.set_policy(automatic_approval="true")
            assert started(site) == ("nothing-approved", False)
            made.propose()
            assert started(site) == ("nothing-approved", False)  # the roster is for people
