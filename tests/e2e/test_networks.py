"""A member in a factory's network: nothing leads out of it but a proxy with a password, over a link that is slow, loses
packets and is cut without a word.

Real programs and real packets; what the machine has to permit for it, network.py says.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.carriers.flower import Flower, Servers
from clients.node_process import NodeProcess
from tests.e2e.network import OFFICE, Link, linked, why_not
from tests.e2e.sites import Consortium, Done, free_ports, rengo, server_files, wait_until
from tests.e2e.test_relay import Site, make_site
from tests.unit.proxies import BAD_GATEWAY, Proxy

WHY_NOT = why_not()
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(WHY_NOT), reason=f"no networks of our own: {WHY_NOT}")]
SECRET = "s3cret-Passw0rd"  # noqa: S105  # it is to be found nowhere
MEGABYTES = 24  # of the largest answer
USER = f"factory:{SECRET}"


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    """The way out: one port, that of the proxy."""
    with linked() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(link: Link) -> Iterator[Proxy]:
    """The factory's proxy, at the far end of its link."""
    proxy = Proxy(host=OFFICE, user=USER)
    link.port = proxy.port
    with contextlib.ExitStack() as listening:
        link.office.inside(lambda: listening.enter_context(proxy.listening()))
        yield proxy


def through(proxy: Proxy, user: str = USER) -> dict[str, str]:
    """What a site sets to use the proxy."""
    return {"HTTPS_PROXY": f"http://{user}@{proxy.host}:{proxy.port}", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


class OfOffice(Consortium):
    """A coordinator that is reached at the office's address."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.url = f"https://{OFFICE}:{self.registry_port}"


@pytest.mark.scenario(5)
def test_a_site_joins_and_is_checked_through_a_proxy_with_a_password(link: Link, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "data/toyo").mkdir(parents=True)
    (tmp_path / "data/toyo/manual.txt").write_text("Line 3: torque 12 Nm.\n" * 50)
    office = OfOffice(tmp_path, ["toyo"], tmp_path / "data")
    office.create(OFFICE)
    link.office.inside(office.serve)
    token, home = office.token("toyo"), tmp_path / "toyo"

    def at_site(*words: object, **environment: str) -> Done:
        return link.site.inside(lambda: rengo(*words, **environment))

    try:
        with pytest.raises(TimeoutError):  # direct egress is dropped without a word
            link.site.inside(lambda: socket.create_connection((OFFICE, office.registry_port), timeout=2))
        join = ("member", "join", "--token-file", token, "--home", home, "--data", tmp_path / "data/toyo")
        wrong = at_site(*join, **through(proxy, "factory:wr0ng-Passw0rd"))
        assert (wrong.code, wrong.facts["error"]) == (5, "proxy-refused")
        assert "407" in wrong.err
        assert "wr0ng" not in wrong.out + wrong.err
        joined = at_site(*join, **through(proxy))
        assert joined.code == 0, joined.err
        doctor = at_site("member", "doctor", "--home", home, "--quick", **through(proxy))
        checks = {check["check"]: check for check in json.loads(doctor.out)["checks"]}
        for name in ("proxy", "TLS", "clock"):
            assert checks[name]["exit_code"] == 0, checks[name]
        proxy.answer = BAD_GATEWAY
        away = at_site("member", "doctor", "--home", home, "--quick", **through(proxy))
        assert away.code == 5
        assert "502" in away.out
        written = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
        for said in (joined.out, joined.err, doctor.out, doctor.err, away.out, away.err):
            assert SECRET not in said
        assert SECRET.encode() not in written
    finally:
        proxy.answer = b""
        office.stop()
    assert proxy.places <= {f"{OFFICE}:{office.registry_port}", f"{OFFICE}:{office.carrier_port}"}


@dataclass
class Connected:
    """A carrier, with a node beside it and one behind the proxy."""

    carrier: Flower
    near: Site
    far: Site

    def ask(self, number: int) -> dict[str, float]:
        """Who answers, and after how many seconds."""
        began = time.monotonic()
        requests = dict.fromkeys(["near", "far"], bytes(100_000))
        exchange = self.carrier.exchange(Exchange(number, "keys", 30), requests)
        return {member: round(time.monotonic() - began, 1) for member, _ in exchange}


@pytest.fixture
def connected(link: Link, proxy: Proxy, tmp_path: Path) -> Iterator[Connected]:
    files = server_files(tmp_path, OFFICE, "127.0.0.1")
    port = free_ports(1)[0]
    near, far = make_site(tmp_path / "near"), make_site(tmp_path / "far")
    nodes = {"near": near.public_key, "far": far.public_key}
    carrier = Flower(Servers(OFFICE, port, *files), nodes, tmp_path / "coordinator", MEGABYTES << 20)
    started: list[NodeProcess] = []
    try:
        link.office.inside(carrier.online)
        superlink = f"{OFFICE}:{port}"
        started += [link.office.inside(lambda: NodeProcess(near.node(superlink, files[2])))]
        wait_until(lambda: carrier.online() == {"near"}, "the node beside it is connected", 90)
        with pytest.MonkeyPatch.context() as site:
            for name, value in through(proxy).items():
                site.setenv(name, value)
            started += [link.site.inside(lambda: NodeProcess(far.node(superlink, files[2])))]
            wait_until(lambda: carrier.online() == {"near", "far"}, "both nodes are connected", 90)
            yield Connected(carrier, near, far)
    finally:
        for node in started:
            node.stop()
        carrier.close()


def test_a_member_behind_a_slow_lossy_and_cut_link_answers_again_by_itself(
    connected: Connected, link: Link, proxy: Proxy
) -> None:
    link.delay, link.rate, link.loss = 0.15, 125_000, 0.05
    slow = connected.ask(1)
    assert slow.keys() == {"near", "far"}

    cutting = threading.Timer(1.0, setattr, (link, "cut", True))
    cutting.start()
    cut = connected.ask(2)
    assert cut.keys() == {"near"}
    time.sleep(20)  # with the exchange, the link is down for some 50 s
    link.cut, mended = False, time.monotonic()
    wait_until(lambda: connected.ask(3).keys() == {"near", "far"}, "it answers again", 120)
    print(f"slow and lossy {slow}, cut {cut}, answered again {time.monotonic() - mended:.0f} s after the link was back")


def test_a_vector_of_megabytes_goes_up_a_slow_line(connected: Connected, link: Link, proxy: Proxy) -> None:
    link.delay, link.rate, link.loss = 0.05, 250_000, 0.0
    began = time.monotonic()
    connected.far.answer = bytes(range(256)) * (MEGABYTES << 12)
    requests = dict.fromkeys(["near", "far"], bytes(1_000))
    exchange = connected.carrier.exchange(Exchange(1, "vector", 240), requests)
    answers = {member: (answer, time.monotonic() - began) for member, answer in exchange}
    assert answers["near"][0] == b"answer"
    assert answers["far"][0] == connected.far.answer
    slow, fast = answers["far"][1], answers["near"][1]
    assert slow > MEGABYTES * 2**20 / link.rate > fast  # it did go by the line, and held nobody up
    print(f"{MEGABYTES} MiB at 2 Mbit/s: {slow:.0f} s; beside it {fast:.1f} s")


def test_a_member_returns_when_the_proxy_does(connected: Connected, link: Link, proxy: Proxy) -> None:
    link.delay, link.rate, link.loss = 0.0, 1e9, 0.0
    proxy.answer = BAD_GATEWAY
    proxy.hang_up()
    without = connected.ask(1)
    assert without.keys() == {"near"}
    proxy.answer, mended = b"", time.monotonic()
    wait_until(lambda: connected.ask(2).keys() == {"near", "far"}, "it answers again", 150)
    print(f"answered again {time.monotonic() - mended:.0f} s after the proxy was back")
    assert SECRET not in connected.far.log
