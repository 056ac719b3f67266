"""The member's service behind its local socket, for the relay alone; and what the node is told."""

import stat
import threading
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from clients.home import Home, NoMemberHere, NothingApproved
from clients.node_process import door
from clients.service import Service
from federation.main import main as rengo
from federation.wire import Malformed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def ask(folder: Path, request: bytes) -> bytes:
    socket, key = door(folder)
    with Client(str(socket), family="AF_UNIX", authkey=key.read_bytes()) as relay:
        relay.send_bytes(request)
        return relay.recv_bytes()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_shared_folders_group_may_use_socket_and_key_and_nobody_else(home: Home, tmp_path: Path) -> None:
    shared = tmp_path / "run"
    shared.mkdir()
    service = Service(home, bytes.upper, 1000, "job", shared)
    try:
        assert [mode(path) for path in door(shared)] == [0o660, 0o640]
        assert ask(shared, b"frame") == b"FRAME"
    finally:
        service.close()
    assert list(shared.iterdir()) == []


def test_without_a_shared_folder_both_are_for_this_user_alone(home: Home) -> None:
    service = Service(home, bytes.upper, 1000, "job")
    try:
        folder = service.address.parent
        assert mode(folder) == 0o700
        assert mode(service.key_file) == 0o600
        assert ask(folder, b"frame") == b"FRAME"
    finally:
        service.close()
    assert not folder.exists()


def test_a_socket_that_a_killed_service_left_behind_is_replaced(home: Home, tmp_path: Path) -> None:
    shared = tmp_path / "run"
    shared.mkdir()
    door(shared)[0].touch()
    service = Service(home, bytes.upper, 1000, "job", shared)
    try:
        assert ask(shared, b"frame") == b"FRAME"
    finally:
        service.close()


def test_who_does_not_have_the_key_gets_nothing_and_stops_nobody(home: Home, tmp_path: Path) -> None:
    shared = tmp_path / "run"
    shared.mkdir()
    heard = threading.Event()
    service = Service(home, lambda frame: heard.set() or frame, 1000, "job", shared)
    try:
        with pytest.raises(Exception, match="digest"):
            Client(str(door(shared)[0]), family="AF_UNIX", authkey=b"another")
        assert not heard.is_set()
        assert ask(shared, b"frame") == b"frame"
    finally:
        service.close()


@pytest.mark.parametrize("address", ["rengo.example.jp:9443", "192.0.2.7:443", "[2001:db8::1]:443"])
def test_the_carriers_address_is_kept_for_the_node(home: Home, address: str) -> None:
    home.keep_carrier(address)
    assert home.carrier() == address


@pytest.mark.parametrize("address", ["--insecure", "host", "host:port", "a b:1", "host:1\nb", ""])
def test_an_address_that_is_none_is_refused_and_not_kept(home: Home, address: str) -> None:
    with pytest.raises(Malformed):
        home.keep_carrier(address)
    with pytest.raises(NothingApproved):
        home.carrier()


def test_a_node_without_its_files_says_where_they_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["member", "node", "--files", str(tmp_path), "--run-folder", str(tmp_path), "--state", str(tmp_path)]
    assert rengo([*command, "--lang", "en"]) == NoMemberHere.exit_code
    assert str(tmp_path / "carrier") in capsys.readouterr().err
