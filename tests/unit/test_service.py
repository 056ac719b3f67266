"""The member's service over a real local socket: who may speak to it, and what it survives."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from aggregator.rounds import _offer
from clients.home import Home
from clients.process import MemberRunning, alone
from clients.service import Service
from federation.errors import RengoError
from federation.process_lock import running
from federation.secagg.contexts import setup_context
from federation.secagg.messages import Keys
from federation.wire import ZERO_DIGEST, Limits, read_frame, write_frame
from tests.protocol.consortium import make_consortium

LARGEST = 1000


def handle(request: bytes) -> bytes:
    """Answers, or breaks in the ways in which a member can break."""
    if request == b"full disk":
        raise OSError(28, "No space left on device")
    if request == b"refusal":
        raise RengoError(detail="broken")
    if request == b"hangs up":
        raise EOFError
    return b"answer to " + request


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(Home(tmp_path), handle, LARGEST, "溶接")
    yield made
    made.close()


def ask(service: Service, request: bytes, key: bytes | None = None) -> bytes:
    key = service.key_file.read_bytes() if key is None else key
    with Client(str(service.address), family="AF_UNIX", authkey=key) as relay:
        relay.send_bytes(request)
        return relay.recv_bytes()


def test_an_authenticated_relay_gets_its_answer(service: Service) -> None:
    assert ask(service, b"1") == b"answer to 1"
    assert ask(service, b"2") == b"answer to 2"


def test_another_key_gets_nothing_and_the_service_goes_on(service: Service) -> None:
    with pytest.raises(AuthenticationError):
        ask(service, b"1", key=b"k" * 32)
    assert ask(service, b"2") == b"answer to 2"


@pytest.mark.parametrize("request_", [b"x" * (LARGEST + 1), b"full disk", b"refusal", b"hangs up"], ids=str)
def test_a_request_that_fails_is_not_answered_and_the_service_goes_on(service: Service, request_: bytes) -> None:
    with pytest.raises((EOFError, ConnectionError)):
        ask(service, request_)
    assert ask(service, b"2") == b"answer to 2"


def test_a_relay_that_hangs_up_harms_nothing(service: Service) -> None:
    Client(str(service.address), family="AF_UNIX", authkey=service.key_file.read_bytes()).close()
    assert ask(service, b"2") == b"answer to 2"


def test_pickles_are_bytes_like_any_other(service: Service) -> None:
    """`Connection.send` pickles. The service must see bytes and not what they would make."""
    with Client(str(service.address), family="AF_UNIX", authkey=service.key_file.read_bytes()) as relay:
        relay.send(Path("/"))
        assert relay.recv_bytes().startswith(b"answer to \x80")


def test_key_and_socket_are_for_the_owner_alone(service: Service) -> None:
    assert service.key_file.stat().st_mode & 0o777 == 0o600
    assert service.address.parent.stat().st_mode & 0o777 == 0o700


def test_status_says_what_it_is_doing(service: Service, tmp_path: Path) -> None:
    assert ask(service, b"1")
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["phase"], status["job"], status["requests"]) == ("waiting", "溶接", 1)
    with pytest.raises(EOFError):
        ask(service, b"refusal")
    for _ in range(50):
        if "broken" in (tmp_path / "status.json").read_text():
            break
        time.sleep(0.02)
    assert "broken" in json.loads((tmp_path / "status.json").read_text())["detail"]
    service.close()
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "stopped"


def test_a_status_that_cannot_be_written_does_not_end_it(service: Service, tmp_path: Path) -> None:
    (tmp_path / "status.json.part").mkdir()
    assert ask(service, b"1") == b"answer to 1"
    assert ask(service, b"2") == b"answer to 2"


def test_after_close_nobody_listens_and_no_file_is_left(service: Service) -> None:
    service.close()
    assert not service.address.parent.exists()
    assert not service._thread.is_alive()


def test_a_real_member_answers_through_it(tmp_path: Path) -> None:
    consortium = make_consortium(tmp_path / "consortium", count=3)
    name = consortium.names[0]
    offer = _offer(consortium.job, 1, 1, ZERO_DIGEST)
    message = consortium.coordinator.sign(offer, setup_context(offer), name)
    service = Service(Home(tmp_path), consortium.members[name].handle, 1 << 20, consortium.plan.job)
    try:
        (answer,) = read_frame(ask(service, write_frame([message])), Limits(1 << 16, 0))
    finally:
        service.close()
    assert answer.header.kind == Keys.kind
    assert consortium.left(name) == ["keys"]


class TestAlone:
    def test_one_member_a_home(self, tmp_path: Path) -> None:
        assert running(tmp_path) is None
        with alone(tmp_path):
            assert running(tmp_path) == os.getpid()
            with pytest.raises(MemberRunning), alone(tmp_path):
                pass
        assert running(tmp_path) is None

    def test_a_process_id_without_the_lock_is_nobody(self, tmp_path: Path) -> None:
        """1 runs always; it must not be taken for a member, and stopped."""
        (tmp_path / "lock").write_text("1")
        assert running(tmp_path) is None


class TestARelayThatStalls:
    """Between accepting and answering, at each point where the other side has to do something."""

    def test_in_authentication_or_with_its_request_keeps_no_other_waiting(self, service: Service) -> None:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.connect(str(service.address))
            key = service.key_file.read_bytes()
            with Client(str(service.address), family="AF_UNIX", authkey=key):
                assert ask(service, b"1") == b"answer to 1"

    def test_is_hung_up_on(self, tmp_path: Path) -> None:
        service = Service(Home(tmp_path), handle, LARGEST, "溶接", patience=0.2)
        try:
            with socket.socket(socket.AF_UNIX) as mute:
                mute.settimeout(20)
                mute.connect(str(service.address))
                while mute.recv(100):  # its challenge, and then the end
                    pass
            with Client(str(service.address), family="AF_UNIX", authkey=service.key_file.read_bytes()) as idle:
                assert idle.poll(20)
                with pytest.raises((EOFError, ConnectionError)):
                    idle.recv_bytes()
            assert ask(service, b"2") == b"answer to 2"
        finally:
            service.close()

    def test_among_too_many_is_hung_up_on_and_leaves_room_later(self, service: Service) -> None:
        stalled = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        for each in stalled:
            each.connect(str(service.address))
            assert each.recv(1)  # it has a thread
        with pytest.raises((EOFError, ConnectionError)):
            ask(service, b"1")
        for each in stalled:
            each.close()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                assert ask(service, b"2") == b"answer to 2"
                return
            except (EOFError, ConnectionError):
                time.sleep(0.05)
        pytest.fail("no room was left")


def test_two_relays_at_once_are_answered_one_after_the_other(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def slow(request: bytes) -> bytes:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.1)
        inside[0] -= 1
        return request

    service = Service(Home(tmp_path), slow, LARGEST, "溶接")
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda n: ask(service, b"%d" % n), range(3)))
    service.close()
    assert answers == [b"0", b"1", b"2"]
    assert most == [1]


def test_it_retires_between_two_requests_and_answers_none_afterwards(tmp_path: Path) -> None:
    asked, going_on = threading.Event(), threading.Event()

    def waiting(request: bytes) -> bytes:
        asked.set()
        going_on.wait(10)
        return request

    service = Service(Home(tmp_path), waiting, LARGEST, "溶接")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, service, b"1")
        assert asked.wait(10)
        assert not service.retire(lambda: True)  # one is being answered
        going_on.set()
        assert answer.result(10) == b"1"
    assert not service.retire(lambda: False)
    assert ask(service, b"2") == b"2"
    assert service.retire(lambda: True)
    with pytest.raises((EOFError, ConnectionError)):
        ask(service, b"3")
    service.close()
