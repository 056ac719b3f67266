"""What a node may say: answers to the messages that it took, of one form; see `gating`."""

import math
from collections.abc import Callable, Iterator

import pytest
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    PushMessagesRequest,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
)
from flwr.proto.recorddict_pb2 import RecordDict

from aggregator.carriers import gate
from tests.unit.gating import (
    LARGEST,
    NODE,
    PULLED,
    SUPERLINK,
    TREE,
    Certificate,
    Gated,
    announce,
    answer_to,
    certificate_in,
    chain,
    doubling,
    listening_gate,
    object_id,
    part,
    pushing,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("gate"))


@pytest.fixture
def gated(certificate: Certificate) -> Iterator[Gated]:
    with listening_gate(certificate) as gated:
        yield gated


def test_an_answer_is_due_only_to_a_message_that_was_taken(gated: Gated) -> None:
    assert gated.call("push-object", part("record", 200)) == 413
    assert announce(gated) == 429
    gated.behind.answer = b""  # nothing for this node
    gated.call("pull-messages")
    assert announce(gated) == 429
    gated.behind.answer, gated.behind.status = PULLED, 415
    gated.call("pull-messages")
    assert announce(gated) == 429
    gated.behind.status = 200
    gated.call("pull-messages")
    assert [announce(gated) for _ in range(4)] == [200, 200, 200, 429]
    assert gated.call("push-object", part("its frame", LARGEST)) == 200
    assert {code for _, code in gated.told} == {"bytes", "unasked"}
    assert {who for who, _ in gated.told} == {"toyo"}


def test_an_answer_larger_than_the_largest_is_turned_away_unread(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.call("push-object", part("record", LARGEST + 1)) == 413
    assert ("push-object", LARGEST + 1) not in gated.behind.reached
    assert gated.told == [("toyo", "bytes")]


def test_many_large_answers_to_one_message_are_turned_away(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    large = part("its frame", LARGEST)
    assert [gated.call("push-object", large) for _ in range(4)] == [200, 200, 200, 413]


def test_an_error_is_an_answer_of_one_object_however_much_it_says(gated: Gated) -> None:
    gated.call("pull-messages")
    assert announce(gated, answer_to(tree=chain("an error"), error="because " * 1000)) == 200
    assert gated.told == []


WRONG: dict[str, Callable[[], PushMessagesRequest]] = {
    "in-the-superlinks-name": lambda: answer_to(src_node_id=SUPERLINK),
    "in-anothers-name": lambda: answer_to(src_node_id=NODE + 1),
    "to-another-node": lambda: answer_to(dst_node_id=NODE + 1),
    "to-another-message": lambda: answer_to("what nobody asked"),
    "of-another-run": lambda: answer_to(run_id=6),
    "for-ever": lambda: answer_to(ttl=math.inf),
    "until-nobody-knows-when": lambda: answer_to(created_at=math.nan),
    "another-identifier": lambda: answer_to(message_id=object_id("something else")),
    "long-identifiers": lambda: answer_to(group_id="A" * 129),
    "doubling-tree": lambda: answer_to(tree=doubling(20)),
    "no-record": lambda: answer_to(tree=chain("an answer")),
    "no-frame": lambda: answer_to(tree=chain("an answer", "record")),
    "too-deep": lambda: answer_to(tree=chain("an answer", "record", "its frame", "more")),
    "in-itself": lambda: answer_to(tree=chain("an answer", "record", "an answer")),
    "two-at-once": lambda: PushMessagesRequest(
        messages_list=[*answer_to().messages_list] * 2, message_object_trees=[TREE, TREE]
    ),
    "none": PushMessagesRequest,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_announcement_that_is_no_answer_to_the_message_taken_is_turned_away_and_named(
    wrong: str, gated: Gated
) -> None:
    gated.call("pull-messages")
    assert announce(gated, WRONG[wrong]()) == 400
    assert gated.told == [("toyo", "answer")]
    assert gated.behind.reached == [("pull-messages", 0)]
    assert announce(gated) == 200  # the true one may still come


def test_content_does_not_come_with_the_announcement(gated: Gated) -> None:
    gated.call("pull-messages")
    announcement, content = answer_to(), RecordDict()
    content.items.add(key="answer")
    announcement.messages_list[0].content.CopyFrom(content)
    assert announce(gated, announcement) == 400


def test_a_second_answer_to_the_same_message_is_turned_away(gated: Gated) -> None:
    gated.call("pull-messages")
    assert announce(gated) == 200
    assert announce(gated, answer_to(tree=chain("another", "record", "its frame"))) == 400
    assert gated.told == [("toyo", "answer")]


def test_only_the_message_that_was_taken_is_confirmed(gated: Gated) -> None:
    def confirm(name: str) -> int:
        body = ConfirmMessageReceivedRequest(message_object_id=object_id(name))
        return gated.call("confirm-message-received", body.SerializeToString())

    assert confirm("asked") == 400
    gated.call("pull-messages")
    announce(gated)
    assert [confirm(name) for name in ("asked", "an answer", "its frame", "request")] == [200, 400, 400, 400]
    assert set(gated.told) == {("toyo", "body")}


def test_only_objects_of_the_message_that_was_taken_are_pulled(gated: Gated) -> None:
    gated.call("pull-messages")
    pulled = [
        gated.call("pull-object", PullObjectRequest(object_id=object_id(name)).SerializeToString())
        for name in ("asked", "request", "frame", "of another")
    ]
    assert pulled == [200, 200, 200, 400]


def test_only_objects_of_the_announced_answer_are_pushed(gated: Gated) -> None:
    gated.call("pull-messages")
    assert gated.call("push-object", part("record", 200)) == 400  # not announced yet
    announce(gated)
    assert [gated.call("push-object", part(name, 200)) for name in ("record", "its frame", "frame")] == [200, 200, 400]


@pytest.mark.parametrize(
    "hash", ["A" * 129, "A" * 60_000, "x\nERROR : honest", "\x1b[2J", "\u202e", "\u3042"], ids=range(6)
)
def test_identifiers_that_are_long_or_not_plain_do_not_reach_flowers_log(hash: str, gated: Gated) -> None:
    assert gated.call("get-fab", GetFabRequest(hash_str="A" * 64).SerializeToString()) == 200
    assert gated.call("get-fab", GetFabRequest(hash_str=hash).SerializeToString()) == 400
    assert gated.told == [("toyo", "body")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"no head", b"Text  3\0abc", b"Message\nERROR  3\0abc", b"Message x 3\0abc", b"A" * 9000 + b"  3\0"],
    ids=range(7),
)
def test_an_object_that_begins_with_text_does_not_reach_flowers_log(content: bytes, gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.call("push-object", pushing("its frame", content)) == 400
    assert gated.told == [("toyo", "body")]


def test_only_the_frame_of_an_answer_is_large(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    large = b"Message  0\0" + bytes(gate.SMALL)
    pushed = [gated.call("push-object", pushing(name, large)) for name in ("an answer", "record", "its frame")]
    assert pushed == [400, 400, 200]
    gated.call("pull-messages")
    announce(gated, answer_to(tree=chain("an error"), error="why"))
    assert gated.call("push-object", pushing("an error", large)) == 400


def test_what_a_node_announced_is_over_when_it_takes_its_next_message(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.over == []
    gated.behind.answer = b""  # nothing for this node
    gated.call("pull-messages")
    assert gated.over == []
    gated.behind.answer = PULLED
    gated.call("pull-messages")
    assert gated.over == [("toyo", [object_id(name) for name in ("an answer", "record", "its frame")])]
