"""Bytes that are no message: refused before any cryptography, in bounded time, and nothing changes."""

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from clients import member
from federation import identity
from federation.identity import COORDINATOR
from federation.secagg import client
from federation.wire import Signed, read_frame, write_frame
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.liars import altered
from tests.protocol.play import LIMITS, STEPS, Play, ask, make_offer, refusal

VICTIM = "m00"


def frame(*headers: bytes, blob: bytes = b"") -> bytes:
    return write_frame([Signed(header, bytes(64), blob) for header in headers])


def header(**changes: object) -> dict[str, object]:
    fields = {
        "v": 1,
        "kind": "cohort",
        "digest": bytes(32),
        "from": COORDINATOR,
        "to": VICTIM,
        "body": {},
        "blob": None,
    }
    return fields | changes


def canonical(**changes: object) -> bytes:
    return cbor2.dumps(header(**changes), canonical=True)


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def with_blob_size(good: bytes, size: int) -> bytes:
    """The frame with another size stated for its first message's blob."""
    at = 10 + int.from_bytes(good[6:10], "little") + 64
    return good[:at] + size.to_bytes(8, "little") + good[at + 8 :]


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "another magic": lambda good: b"XNGO" + good[4:],
    "another version": lambda good: good[:4] + b"\x02" + good[5:],
    "five messages": lambda good: good[:5] + b"\x05" + good[6:],
    "one byte short": lambda good: good[:-1],
    "one byte too many": lambda good: good + b"\0",
    "the same frame twice": lambda good: good + good,
    "a header of four gigabytes": lambda good: good[:6] + b"\xff\xff\xff\xff" + good[10:],
    "a blob of sixteen exabytes": lambda good: with_blob_size(good, 2**64 - 1),
    "a header above the limit": lambda _: frame(canonical(body={"x": bytes(2**20)})),
    "a blob above the limit": lambda _: frame(canonical(blob=[2**22, bytes(32)]), blob=bytes(2**22)),
    "a blob that the header does not announce": lambda _: frame(canonical(), blob=b"x"),
    "nested deeper than allowed": lambda _: frame(canonical(body={"x": nested(50)})),
    "nested ten thousand deep": lambda _: frame(b"\x81" * 10_000 + b"\0"),
    "an array that says it is endless": lambda _: frame(b"\x9b" + b"\xff" * 8),
    "text that says it is endless": lambda _: frame(b"\x7b" + b"\xff" * 8),
    "of indefinite length": lambda _: frame(b"\xbf\xff"),
    "a number in more bytes than it needs": lambda _: frame(canonical().replace(b"\x61v\x01", b"\x61v\x18\x01")),
    "a key twice": lambda _: frame(b"\xa2\x61v\x01\x61v\x01"),
    "keys in another order": lambda _: frame(cbor2.dumps(dict(reversed(header().items())))),
    "a float": lambda _: frame(canonical(body={"x": 1.5})),
    "a tag": lambda _: frame(canonical(body={"x": cbor2.CBORTag(0, "2024-01-01T00:00:00Z")})),
    "a regular expression": lambda _: frame(canonical(body={"x": cbor2.CBORTag(35, "(a+)+$")})),
    "a shared reference": lambda _: frame(canonical(body={"x": cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)])})),
    "a number beyond 64 bits": lambda _: frame(canonical(body={"x": 2**70})),
    "undefined": lambda _: frame(canonical(body={"x": cbor2.undefined})),
    "text that is no UTF-8": lambda _: frame(b"\xa1\x61\xff\x01"),
    "no map": lambda _: frame(cbor2.dumps([1, 2, 3])),
    "a field too many": lambda _: frame(canonical(extra=1)),
    "true for a version": lambda _: frame(canonical(v=True)),
    "a short digest": lambda _: frame(canonical(digest=bytes(31))),
    "no recipient": lambda _: frame(canonical(to="")),
    "a very long kind": lambda _: frame(canonical(kind="k" * 5000)),
}


CRYPTOGRAPHY = (
    (identity, "verify_bytes"),
    (member, "verify_bytes"),
    (client, "agree"),
    (client, "derive"),
    (client, "unseal"),
)


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_message_is_refused_in_little_memory_and_changes_nothing(folder: Path, what: str) -> None:
    consortium = make_consortium(folder, 4)
    play = Play(consortium).through("shares")
    good = write_frame(play.prepare("masked")[VICTIM])
    bad = HOSTILE[what](good)
    tracemalloc.start()
    answers = read_frame(consortium.members[VICTIM].handle(bad), LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert refusal(answers) == "malformed"
    assert consortium.learners[VICTIM].calls == 0
    assert [answer.header.kind for answer in read_frame(consortium.members[VICTIM].handle(good), LIMITS)] == ["masked"]


def test_what_is_no_message_is_refused_before_any_cryptography(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature is verified, no key agreed on, nothing decrypted or derived."""
    consortium = make_consortium(folder, 4)
    good = write_frame(Play(consortium).through("shares").prepare("masked")[VICTIM])
    used: list[str] = []
    for module, name in CRYPTOGRAPHY:
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: used.append(name))
    answers = [read_frame(consortium.members[VICTIM].handle(hostile(good)), LIMITS) for hostile in HOSTILE.values()]
    assert {refusal(answer) for answer in answers} == {"malformed"}
    assert used == []
    with pytest.raises(TypeError):  # the control: an honest request needs what was taken away
        consortium.members[VICTIM].handle(good)
    assert used


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_message_costs_its_sender_the_step_and_the_coordinator_nothing(folder: Path, what: str) -> None:
    consortium = make_consortium(folder, 4)
    honest = consortium.members[VICTIM]

    class Hostile:
        def handle(self, request: bytes) -> bytes:
            return HOSTILE[what](honest.handle(request))

    consortium.members[VICTIM] = Hostile()  # type: ignore[assignment]  # answers as a Member does
    consortium.run()
    assert all(VICTIM not in done.aggregation.u3 for done in consortium.rounds)
    consortium.check_sums()


@pytest.mark.parametrize(
    "body",
    [{}, {"keys": []}, {"keys": 1}, {"keys": [[b"", b""]]}, {"keys": [[b"", bytes(64)]]}, {"keys": [], 1: 2}, {1: 1}],
)
def test_a_signed_message_with_a_wrong_body_is_refused(folder: Path, body: dict[object, object]) -> None:
    consortium = make_consortium(folder, 4)
    play = Play(consortium).do("keys")
    play.aggregation.cohorts()
    header_bytes = canonical(digest=play.aggregation.setup_ctx, body=body)
    unsigned = Signed(header_bytes, b"")
    signed = Signed(header_bytes, consortium.coordinator.sign_bytes(unsigned.to_sign()))
    code = refusal(read_frame(consortium.members[VICTIM].handle(write_frame([signed])), LIMITS))
    assert code in ("malformed", "cohort-too-small")
    assert consortium.left(VICTIM) == ["keys", "refused"]


def test_a_last_sum_that_a_carrier_changed_is_refused_by_one_that_could_not_tell(folder: Path) -> None:
    """A member that was not in the last round has nothing but the signature to know its sum by."""
    consortium = make_consortium(folder)
    opening = Play(consortium).through("revealed").result()
    consortium.start_member(VICTIM)
    second = Play(consortium, make_offer(consortium, 2, 2), opening).do("keys").do("shares")

    def touch(name: str, messages: list[Signed]) -> list[Signed]:
        if name != VICTIM:
            return messages
        blob = bytearray(messages[1].blob)
        blob[-1] ^= 1
        return [messages[0], Signed(messages[1].header_bytes, messages[1].signature, bytes(blob))]

    second.do("masked", tamper=touch)
    assert second.refused == {VICTIM: "malformed"}


def test_a_blob_that_is_not_the_signed_one_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder, 4)
    play = Play(consortium).through("shares")
    inbox, broadcast = play.prepare("masked")[VICTIM]
    other = Signed(broadcast.header_bytes, broadcast.signature, bytes(len(broadcast.blob)))
    answers = read_frame(consortium.members[VICTIM].handle(write_frame([inbox, other])), LIMITS)
    assert refusal(answers) == "malformed"
    assert consortium.learners[VICTIM].calls == 0


@pytest.mark.parametrize("step", STEPS)
def test_data_on_a_message_that_has_none_is_refused_and_not_kept(folder: Path, step: str) -> None:
    """Really signed. An Offer's data stayed in memory with its session, as large as a round's adapter."""
    consortium = make_consortium(folder, 4)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    honest = play.prepare(step)[VICTIM]
    dragging = altered(consortium.coordinator, honest[0], blob=b"data")
    assert refusal(ask(consortium, VICTIM, dragging)) == "malformed"
    assert [answer.header.kind for answer in ask(consortium, VICTIM, *honest)] == [step]


def standing_at(consortium: Consortium, step: str) -> bytearray:
    """The honest request for a step; the steps before it are done."""
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    return bytearray(write_frame(play.prepare(step)[VICTIM]))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_honest_request_with_any_bytes_changed_never_makes_a_member_raise_or_speak(
    folder: Path, data: st.DataObject
) -> None:
    consortium = make_consortium(Path(tempfile.mkdtemp(dir=folder)), 4)
    step = data.draw(st.sampled_from(STEPS))
    request = standing_at(consortium, step)
    before = consortium.left(VICTIM)
    for at in data.draw(st.sets(st.integers(0, len(request) - 1), min_size=1, max_size=4)):
        request[at] ^= data.draw(st.integers(1, 255))
    answers = read_frame(consortium.members[VICTIM].handle(bytes(request)), LIMITS)
    event(f"{step}: {' '.join(str(answer.header.body.get('code')) for answer in answers)}")
    assert set(consortium.left(VICTIM)[len(before) :]) <= {"refused"}
