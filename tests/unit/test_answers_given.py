"""Which answers the relay is given of Flower's own state, and what is left in that of the others."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import NOOP_FLWR_AID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager

from aggregator.carriers import answers
from aggregator.carriers.answers import Answers
from aggregator.carriers.bodies import Taken

SIZE = 100_000


@dataclass
class Answer:
    """An answer as its node makes it, and as much of it as is sent."""

    message: Message
    tree: ObjectTree
    objects: dict[str, bytes]

    @property
    def id(self) -> str:
        return self.message.metadata.message_id


@dataclass
class Link:
    """Flower's state with one run and two nodes that were each asked something."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = InMemoryObjectStore()
        self.state = InMemoryLinkState(NoOpFederationManager(), self.store)
        self.answers = Answers(self.state, [], lambda *complaint: self.told.append(complaint))
        self.run = self.state.create_run(
            "a", "1", "h", {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
        )
        task = self.state.run_ids[self.run].run.primary_task_id
        assert task is not None
        self.state.claim_task(task)
        self.state.activate_task(task)
        self.asked = [self.ask(self.node(key)) for key in (b"one", b"two")]
        self.before = set(self.store.store)

    def node(self, key: bytes) -> int:
        node = self.state.create_node(NOOP_FLWR_AID, "x", key, 30)
        self.state.activate_node(node, 1800)
        return node

    def ask(self, node: int) -> Message:
        metadata = Metadata(self.run, "", 1, node, "", "", time.time(), 3600.0, "query")
        message = make_message(metadata=metadata, content=RecordDict({"request": ConfigRecord({"frame": b"asked"})}))
        message.metadata.__dict__["_message_id"] = message.object_id
        self.announce(Answer(message, get_object_tree(message), {}))
        return message

    def announce(self, sent: Answer) -> str:
        session = self.state.start_session(self.run)
        stored, _ = self.state.store_message_and_object_tree(sent.message, sent.tree, session)
        assert stored
        return session

    def push(self, sent: Answer, session: str, leave_out: int = 0) -> None:
        for id in list(sent.objects)[: len(sent.objects) - leave_out]:
            assert self.state.store_object(self.run, session, id, sent.objects[id])

    def look(self) -> set[str]:
        """The answers that the relay is given when it asks for all."""
        ids = {asked.metadata.message_id for asked in self.asked}
        return {message.metadata.message_id for message in self.state.get_message_res(ids, self.run)}

    def over(self, number: int, sent: Answer) -> None:
        """The node took its next message."""
        announced = PushMessagesRequest(
            messages_list=[message_to_proto(sent.message)], message_object_trees=[sent.tree]
        )
        metadata = message_to_proto(self.asked[number]).metadata
        self.answers.over("toyo", Taken(metadata, frozenset(), announced))

    @property
    def left(self) -> set[str]:
        """Objects of answers that are in memory."""
        return set(self.store.store) - self.before


def answering(asked: Message, **values: Any) -> Answer:
    message = Message(RecordDict({"answer": ConfigRecord(values or {"frame": os.urandom(SIZE)})}), reply_to=asked)
    message.metadata.__dict__["_message_id"] = message.object_id
    objects = {id: each.deflate() for id, each in get_all_nested_objects(message).items()}
    return Answer(message, get_object_tree(message), objects)


def test_an_answer_is_given_once_all_of_it_is_there() -> None:
    link = Link()
    sent = answering(link.asked[0])
    session = link.announce(sent)
    assert link.look() == set()
    link.push(sent, session)
    assert link.look() == {sent.id}
    assert link.look() == set()
    assert link.told == []


def test_an_answer_announced_between_the_two_looks_is_not_given_before_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = Link()
    whole, late = answering(link.asked[0]), answering(link.asked[1])
    link.push(whole, link.announce(whole))
    looked, sessions, looks = link.answers._deliverable, list[str](), list[str]()

    def announced_after_the_first_look(asked: str) -> bool:
        found = looked(asked)
        looks.append(asked)
        if len(looks) == len(link.asked):
            sessions.append(link.announce(late))
        return found

    monkeypatch.setattr(link.answers, "_deliverable", announced_after_the_first_look)
    assert link.look() == {whole.id}
    link.push(late, sessions[0])
    assert link.look() == {late.id}


def test_a_large_answer_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    link, looks = Link(), list[str]()
    sent = answering(link.asked[0])
    link.push(sent, link.announce(sent))
    looked = answers.is_answer
    monkeypatch.setattr(answers, "is_answer", lambda id, *rest: looks.append(id) or looked(id, *rest))
    for _ in range(3):
        link.look()
    assert looks == [sent.id]


def test_half_an_answer_is_forgotten_and_named_when_its_node_takes_the_next_message() -> None:
    link = Link()
    sent = answering(link.asked[0])
    session = link.announce(sent)
    link.push(sent, session, leave_out=1)
    link.over(0, sent)
    assert link.left == set()
    assert session not in link.state._object_push_sessions
    assert link.state.num_message_res() == 0
    assert link.told == [("toyo", "unfinished")]


def test_an_answer_that_came_too_late_is_forgotten_and_nobody_named() -> None:
    link = Link()
    sent = answering(link.asked[0])
    link.push(sent, link.announce(sent))
    link.over(0, sent)
    assert link.left == set()
    assert link.told == []


def test_an_answer_announced_again_when_all_of_it_was_there_is_not_called_half() -> None:
    link = Link()
    sent = answering(link.asked[0])
    link.push(sent, link.announce(sent))
    link.announce(sent)
    link.over(0, sent)
    assert link.told == []


def test_what_is_none_in_form_is_forgotten_at_once() -> None:
    link = Link()
    sent = answering(link.asked[0], frame=[1] * SIZE)
    link.push(sent, link.announce(sent))
    assert link.look() == set()
    assert link.left == set()
    assert [code for _, code in link.told] == ["answer"]


def test_an_object_below_one_that_was_there_already_is_forgotten_too() -> None:
    """Flower does not count it as part of anything."""
    link = Link()
    sent = answering(link.asked[0])
    request = get_object_tree(link.asked[1]).children[0].object_id
    content = os.urandom(SIZE)
    content = b"ConfigRecord  %d\0" % len(content) + content
    below = hashlib.sha256(content).hexdigest()
    sent.tree = ObjectTree(
        object_id=sent.id, children=[ObjectTree(object_id=request, children=[ObjectTree(object_id=below)])]
    )
    assert link.state.store_object(link.run, link.announce(sent), below, content)
    link.over(0, sent)
    assert link.left == set()
    assert set(link.store.store) == link.before  # and what others have of it is there


def test_the_answers_of_others_stay() -> None:
    link = Link()
    honest, half = answering(link.asked[0]), answering(link.asked[1])
    link.push(honest, link.announce(honest))
    link.push(half, link.announce(half), leave_out=2)
    link.over(1, half)
    assert link.look() == {honest.id}
    assert link.left == set(honest.objects)
