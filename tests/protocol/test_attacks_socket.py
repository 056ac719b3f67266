"""Members behind their real services: a coordinator that lies, and a relay that misbehaves, over the local socket."""

import logging
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

from clients.home import Home
from clients.service import Service
from federation.identity import Identity, SignedRoster
from federation.secagg.messages import Refused, Survivors, Unmask
from federation.wire import Signed, read_body, write_frame
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.liars import altered
from tests.protocol.play import Play, ask, make_offer

VICTIM = "m00"
LARGEST = 1 << 20


class Behind:
    """A member that is reached as the relay reaches it: through its service's socket."""

    def __init__(self, handle: Callable[[bytes], bytes], home: Home) -> None:
        self.service = Service(home, handle, LARGEST, "walk")

    def connect(self, key: bytes | None = None) -> Any:
        """A connection that is authenticated on both sides."""
        key = self.service.key_file.read_bytes() if key is None else key
        return Client(str(self.service.address), family="AF_UNIX", authkey=key)

    def handle(self, request: bytes) -> bytes:
        with self.connect() as service:
            service.send_bytes(request)
            return service.recv_bytes()


@pytest.fixture
def consortium(folder: Path) -> Iterator[Consortium]:
    """Seven members (t = 5), each behind a service."""
    made = make_consortium(folder, 7)
    for name in made.names:
        made.members[name] = Behind(made.members[name].handle, Home(folder / "homes" / name))  # type: ignore[assignment]
    yield made
    for name in made.names:
        behind(made, name).service.close()


def behind(consortium: Consortium, name: str = VICTIM) -> Behind:
    member = consortium.members[name]
    assert isinstance(member, Behind)
    return member


def refusal(answers: tuple[Signed, ...]) -> Refused:
    """What a member says when it refuses; nothing else was said."""
    assert [answer.header.kind for answer in answers] == [Refused.kind]
    return read_body(Refused, answers[0].header.body)


def headers(play: Play, kind: str) -> tuple[Signed, ...]:
    return tuple(play.answers[kind][name].without_blob() for name in sorted(play.answers[kind]))


def test_an_honest_round_goes_through_the_sockets(consortium: Consortium) -> None:
    play = Play(consortium).through("revealed")
    assert play.refused == {}
    play.result()


@pytest.mark.scenario(15)
class TestACoordinatorThatLies:
    def test_about_who_survived_opens_no_sum(self, consortium: Consortium) -> None:
        """All seven to one half, all but m06 to the other."""
        play = Play(consortium).through("masked")
        everyone, votes = headers(play, "masked"), {}
        for name in consortium.names:
            gone = () if name in ("m00", "m01", "m02", "m06") else ("m06",)
            told = play.say(Survivors(gone, everyone[: 7 - len(gone)]), play.aggregation.ctx, name)
            [votes[name]] = ask(consortium, name, told)
        unmask = play.aggregation.ctx, VICTIM
        mixed = refusal(ask(consortium, VICTIM, play.say(Unmask(tuple(votes.values())), *unmask)))
        assert mixed.code == "survivors-inconsistent"
        half = tuple(votes[name] for name in ("m00", "m01", "m02", "m06"))
        few = refusal(ask(consortium, VICTIM, play.say(Unmask(half), *unmask)))
        assert few.code == "too-few-signatures"
        assert mixed.reason
        assert few.reason
        assert "revealed" not in consortium.left(VICTIM)

    def test_about_the_roster_is_told_that_it_was_not_approved(self, consortium: Consortium) -> None:
        newer = replace(consortium.roster, version=2)
        newer = SignedRoster.sign(newer, consortium.root).verify(consortium.root.public_key)
        offer = make_offer(consortium, roster=newer.digest())
        play = Play(consortium, offer)
        refused = refusal(ask(consortium, VICTIM, *play.requests("keys")[VICTIM]))
        assert refused.code == "roster-not-approved"
        assert newer.digest().hex()[:16] in refused.reason
        assert consortium.left(VICTIM) == ["refused"]

    def test_about_another_members_key_is_told_whose_signature_is_wrong(self, consortium: Consortium) -> None:
        play = Play(consortium).do("keys")
        [cohort] = play.prepare("shares")[VICTIM]
        mine, other, *rest = headers(play, "keys")
        swapped = altered(Identity.create("m01"), other, mask_key=bytes([9, *[0] * 31]))
        lie = altered(consortium.coordinator, cohort, keys=(mine, swapped, *rest))
        refused = refusal(ask(consortium, VICTIM, lie))
        assert refused.code == "signature-invalid"
        assert "m01" in refused.reason
        assert "shares" not in consortium.left(VICTIM)

    def test_with_an_old_message_is_told_that_it_is_closed(self, consortium: Consortium) -> None:
        old = Play(consortium).through("agreed")
        old.prepare("revealed")
        new = Play(consortium, make_offer(consortium, attempt=2)).through("masked")
        for message in old.sent["revealed"][VICTIM]:
            refused = refusal(ask(consortium, VICTIM, message))
            assert refused.code in ("closed", "not-allowed-here")
            assert refused.reason
        assert "revealed" not in consortium.left(VICTIM)
        new.through("revealed").result()


class TestARelayThatMisbehaves:
    """The service says nothing, and answers the next request as if nothing had been."""

    @pytest.fixture
    def request_frame(self, consortium: Consortium) -> bytes:
        return write_frame(Play(consortium).requests("keys")[VICTIM])

    def answers(self, consortium: Consortium, frame: bytes) -> bool:
        return b"keys" in behind(consortium).handle(frame)

    def test_without_the_key_is_heard_by_nobody(self, consortium: Consortium, request_frame: bytes) -> None:
        with pytest.raises((AuthenticationError, EOFError, ConnectionError)):
            behind(consortium).connect(bytes(32))
        assert consortium.left(VICTIM) == []
        assert self.answers(consortium, request_frame)

    def test_with_a_frame_that_is_too_large_is_hung_up_on(self, consortium: Consortium, request_frame: bytes) -> None:
        with pytest.raises((EOFError, ConnectionError)):
            behind(consortium).handle(bytes(LARGEST + 1))
        assert self.answers(consortium, request_frame)

    def test_that_hangs_up_without_a_word_keeps_nobody_waiting(
        self, consortium: Consortium, request_frame: bytes
    ) -> None:
        behind(consortium).connect().close()
        assert self.answers(consortium, request_frame)

    def test_that_does_not_wait_for_its_answer_keeps_nobody_waiting(
        self, consortium: Consortium, request_frame: bytes
    ) -> None:
        with behind(consortium).connect() as relay:
            relay.send_bytes(request_frame)
        assert self.answers(consortium, request_frame)

    def test_with_bytes_that_are_no_frame_gets_a_signed_refusal(self, consortium: Consortium) -> None:
        assert b"malformed" in behind(consortium).handle(b"not a frame")

    def test_that_sends_a_pickle_has_nothing_run(self, consortium: Consortium, folder: Path) -> None:
        """`Connection.send` pickles; the service never unpickles."""
        mark = folder / "mark"
        with behind(consortium).connect() as relay:
            relay.send(Touch(mark))
            assert b"malformed" in relay.recv_bytes()
        assert not mark.exists()

    def test_never_sees_what_failed_inside(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        def fails(_: bytes) -> bytes:
            raise RuntimeError("/srv/manuals/secret.txt")

        site = Behind(fails, Home(folder / "site"))
        with caplog.at_level(logging.ERROR), pytest.raises((EOFError, ConnectionError)):
            site.handle(b"x")
        site.service.close()
        assert "/srv/manuals/secret.txt" in caplog.text  # at the site, for its own people

    def test_of_another_user_cannot_reach_the_socket(self, consortium: Consortium) -> None:
        service = behind(consortium).service
        assert stat.S_IMODE(service.address.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(service.key_file.stat().st_mode) == 0o600


class Touch:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)
