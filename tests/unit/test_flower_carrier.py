"""The carrier over Flower, with the real relay and its real socket; only Flower's own programs are stand-ins."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from aggregator import carriers
from aggregator.carriers import Exchange, flower
from aggregator.carriers.flower import Flower, FlowerFailed, Servers
from tests.unit import standin_flower

DEADLINE = 3.0
MASKED = Exchange(1, "masked", DEADLINE)


@dataclass
class Office:
    carrier: Flower
    folder: Path

    def behave(self, **nodes: str) -> None:
        """How nodes behave that connect from now on."""
        (self.folder / "nodes.json").write_text(json.dumps(nodes))

    def last(self, program: str) -> int:
        """The process id of the newest SuperLink or relay."""
        return int((self.folder / program).read_text().split()[-1])

    def count(self, program: str) -> int:
        return len((self.folder / program).read_text().split())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A carrier over the nodes `quick`, `slow`, `broken`, `odd` and `gone`, with a relay that runs already."""
    folder, programs = tmp_path_factory.mktemp("flower"), tmp_path_factory.mktemp("programs")
    standin_flower.write_programs(programs)
    files = [programs / name for name in ("server.pem", "tls.key", "authority.pem")]
    servers = Servers("127.0.0.1", free_port(), *files)
    nodes = {name: name for name in ("quick", "slow", "broken", "odd", "gone")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flower, "_program", lambda name: str(programs / name))
        patch.setattr(flower, "_SUPERLINK", standin_flower.SUPERLINK)
        patch.setattr(flower, "_REGISTER", standin_flower.REGISTER)
        office = Office(Flower(servers, nodes, folder), folder)
        office.behave(quick="echo", slow="hang", broken="fail", odd="other", gone="away")
        assert office.carrier.online() == {"quick", "slow", "broken", "odd"}
        yield office
        office.carrier.close()


def exchanged(office: Office, *members: str) -> tuple[dict[str, bytes], float]:
    """What members answered, and after how many seconds all was over."""
    began = time.monotonic()
    answers = dict(office.carrier.exchange(MASKED, {m: f"to {m}".encode() for m in members}))
    return answers, time.monotonic() - began


def test_all_nodes_are_registered_by_one_process(office: Office) -> None:
    assert office.count("registrations") == office.count("superlinks")


def test_an_exchange_ends_when_all_have_answered(office: Office) -> None:
    answers, seconds = exchanged(office, "quick")
    assert answers == {"quick": b"answer to to quick"}
    assert seconds < DEADLINE


def test_a_node_that_hangs_costs_no_more_than_the_deadline(office: Office) -> None:
    answers, seconds = exchanged(office, "quick", "slow")
    assert answers == {"quick": b"answer to to quick"}
    assert DEADLINE <= seconds < DEADLINE + 3


def test_a_node_that_was_silent_is_waited_for_more_shortly_and_never_beyond_the_deadline(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"quick": b"1", "slow": b"2"}
    for shortly in (1.0, 100.0):
        monkeypatch.setattr(carriers, "SILENT_SECONDS", shortly)
        began = time.monotonic()
        answers = dict(office.carrier.exchange(replace(MASKED, silent=frozenset({"slow"})), both))
        seconds = time.monotonic() - began
        assert set(answers) == {"quick"}
        assert min(shortly, DEADLINE) <= seconds < min(shortly, DEADLINE) + 1.5


def test_who_was_silent_is_heard_for_as_long_as_anybody_is_waited_for(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriers, "SILENT_SECONDS", 0.0)
    exchange = replace(MASKED, silent=frozenset({"quick"}))
    assert set(dict(office.carrier.exchange(exchange, {"quick": b"1", "slow": b"2"}))) == {"quick"}


def test_errors_and_answers_of_another_form_are_no_answers_and_are_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    answers, seconds = exchanged(office, "quick", "broken", "odd")
    assert sorted(caplog.messages) == ["broken: no answer ('8 the app is refused')", "odd: no answer ('no frame')"]
    assert set(answers) == {"quick"}
    assert seconds < DEADLINE  # an error is heard, and not waited for


def test_who_is_away_or_unknown_is_left_out(office: Office) -> None:
    assert exchanged(office, "gone", "nobody")[0] == {}
    assert exchanged(office)[0] == {}


def test_an_answer_is_there_before_the_last_one_is(office: Office) -> None:
    exchange = office.carrier.exchange(MASKED, {"quick": b"1", "slow": b"2"})
    began = time.monotonic()
    assert next(exchange) == ("quick", b"answer to 1")
    assert time.monotonic() - began < DEADLINE
    assert list(exchange) == []


def test_a_relay_that_is_killed_within_an_exchange_leaves_drop_outs_and_is_started_anew(office: Office) -> None:
    exchange = office.carrier.exchange(MASKED, {"quick": b"1", "slow": b"2"})
    assert next(exchange) == ("quick", b"answer to 1")
    os.kill(office.last("relays"), signal.SIGKILL)
    began = time.monotonic()
    assert list(exchange) == []
    assert time.monotonic() - began < DEADLINE
    relays, superlinks = office.count("relays"), office.count("superlinks")
    assert exchanged(office, "quick")[0] == {"quick": b"answer to to quick"}
    assert (office.count("relays"), office.count("superlinks")) == (relays + 1, superlinks + 1)


def test_a_superlink_that_is_killed_within_an_exchange_ends_it_and_nodes_are_waited_for(office: Office) -> None:
    """The relay lives on and would wait for the whole deadline; nodes need a while to come back."""
    exchange = office.carrier.exchange(MASKED, {"quick": b"1", "slow": b"2"})
    assert next(exchange) == ("quick", b"answer to 1")
    office.behave(quick="late", slow="hang", broken="fail", odd="other", gone="away")
    began = time.monotonic()
    os.kill(office.last("superlinks"), signal.SIGKILL)
    assert list(exchange) == []
    assert time.monotonic() - began < DEADLINE
    superlinks = office.count("superlinks")
    assert exchanged(office, "quick")[0] == {"quick": b"answer to to quick"}
    assert office.count("superlinks") == superlinks + 1
    # Who was not there before is not waited for, and nobody is beyond the deadline.
    office.behave(quick="away", slow="hang", broken="fail", odd="other", gone="late")
    os.kill(office.last("superlinks"), signal.SIGKILL)
    wait_for_end(office)
    answers, seconds = exchanged(office, "quick", "gone")
    assert set(answers) <= {"gone"}
    assert seconds > DEADLINE
    office.behave(quick="echo", slow="hang", broken="fail", odd="other", gone="away")  # from the next start on


def test_a_superlink_that_is_killed_is_started_anew(office: Office) -> None:
    superlinks = office.count("superlinks")
    os.kill(office.last("superlinks"), signal.SIGKILL)
    wait_for_end(office)
    assert office.carrier.online() == {"quick", "slow", "broken", "odd"}
    assert office.count("superlinks") == superlinks + 1
    assert exchanged(office, "quick")[0] == {"quick": b"answer to to quick"}


@pytest.mark.parametrize("program", ["relays", "superlinks"])
def test_what_ended_between_two_exchanges_costs_no_answer(
    office: Office, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the SuperLink's end is seen only once its relay has been asked something."""
    before = office.count("relays"), office.count("superlinks")
    connected = office.carrier._connected

    def killed_then() -> Connection:
        relay = connected()
        monkeypatch.undo()
        os.kill(office.last(program), signal.SIGKILL)
        if program == "superlinks":
            wait_for_end(office)
        return relay

    monkeypatch.setattr(office.carrier, "_connected", killed_then)
    assert exchanged(office, "quick")[0] == {"quick": b"answer to to quick"}
    assert (office.count("relays"), office.count("superlinks")) == (before[0] + 1, before[1] + 1)


def test_who_was_connected_before_the_first_exchange_is_waited_for_too(office: Office) -> None:
    others = {"quick": "echo", "slow": "hang", "broken": "fail", "odd": "other"}
    for behaviour, connected in (("echo", {*others, "gone"}), ("late", set(others))):
        office.behave(**others, gone=behaviour)
        os.kill(office.last("superlinks"), signal.SIGKILL)
        wait_for_end(office)
        assert office.carrier.online() == connected
    assert exchanged(office, "gone")[0] == {"gone": b"answer to to gone"}
    office.behave(**others, gone="away")  # from the next start on


def test_what_does_not_start_again_at_once_is_tried_later(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "_PAUSES", (0.1, 0.2))
    (office.folder / "no-registration").write_text("2")
    registrations = office.count("registrations")
    os.kill(office.last("superlinks"), signal.SIGKILL)
    wait_for_end(office)
    assert office.carrier.online() == {"quick", "slow", "broken", "odd"}
    assert office.count("registrations") == registrations + 3
    (office.folder / "no-registration").write_text("3")
    os.kill(office.last("superlinks"), signal.SIGKILL)
    wait_for_end(office)
    with pytest.raises(FlowerFailed, match="registration of nodes"):
        office.carrier.online()
    assert office.carrier.online() == {"quick", "slow", "broken", "odd"}


def test_the_relays_socket_and_key_are_for_this_user_alone(office: Office) -> None:
    folder = office.carrier._sockets
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "relay.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ("no-relay", "the app does not build"),
        ("no-registration", "registration of nodes did not do what it should: Pub"),
    ],
)
def test_what_flower_says_when_it_fails_is_told(
    failing: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    standin_flower.write_programs(programs)
    monkeypatch.setattr(flower, "_program", lambda name: str(programs / name))
    monkeypatch.setattr(flower, "_REGISTER", standin_flower.REGISTER)
    files = [programs / name for name in ("server.pem", "tls.key", "authority.pem")]
    home = tmp_path / "home"
    home.mkdir()
    (home / failing).write_text("1")
    carrier = Flower(Servers("127.0.0.1", free_port(), *files), {}, home)
    with pytest.raises(FlowerFailed) as caught:
        carrier.online()
    carrier.close()
    assert words in str(caught.value)
    assert str(home / "superlink.log") in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_superlink_that_ends_at_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "_SUPERLINK", ("/bin/false",))
    files = [tmp_path / name for name in ("server.pem", "tls.key", "authority.pem")]
    nodes = {f"member-{number}": "key" * 1000 for number in range(100)}  # more than a pipe holds: it breaks for certain
    carrier = Flower(Servers("127.0.0.1", free_port(), *files), nodes, tmp_path / "home")
    with pytest.raises(FlowerFailed, match="does not listen"):
        carrier.online()
    carrier.close()


def test_close_leaves_nothing_behind(office: Office) -> None:
    (office.folder / "relay-lingers").touch()
    office.carrier.close()
    for program in ("superlinks", "relays"):
        until = time.monotonic() + 10
        while alive(office.last(program)):
            assert time.monotonic() < until, program
            time.sleep(0.05)
    assert not office.carrier._sockets.exists()


def wait_for_end(office: Office) -> None:
    """Until the newest SuperLink, which was killed, is dead."""
    until = time.monotonic() + 10
    while alive(office.last("superlinks")):
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
