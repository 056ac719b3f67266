"""What the SuperLink takes for an answer, of objects as Flower makes them."""

import re
from typing import Any

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from aggregator.carriers import answers
from aggregator.carriers.answers import is_answer

ASKED = "ab" * 32


@pytest.fixture(autouse=True)
def as_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def objects(content: RecordDict | Error, asked: str = ASKED) -> tuple[str, dict[str, bytes]]:
    """The identifier of an answer and its objects."""
    request = Message(RecordDict(), 77, "query")
    request.metadata.__dict__["_message_id"] = asked
    message = Message(content, reply_to=request)
    return message.object_id, {id: each.deflate() for id, each in get_all_nested_objects(message).items()}


def framed(**values: Any) -> RecordDict:
    return RecordDict({"answer": ConfigRecord(values)})


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 2_000_000])
def test_a_frame_of_any_size_is_an_answer(size: int) -> None:
    assert is_answer(*objects(framed(frame=bytes(size))), ASKED)


def test_an_error_is_an_answer() -> None:
    assert is_answer(*objects(Error(1, "why")), ASKED)


def test_what_answers_another_message_is_none() -> None:
    assert not is_answer(*objects(framed(frame=b"x"), asked="cd" * 32), ASKED)


NONE = {
    "empty": RecordDict(),
    "a-number": framed(frame=1),
    "numbers": framed(frame=[1] * 100),
    "text": framed(frame="x"),
    "more-beside-it": framed(frame=b"x", more=b"y"),
    "another-name": framed(other=b"x"),
    "a-metric": RecordDict({"answer": MetricRecord({"frame": 1.0})}),
    "an-array-beside-it": RecordDict(
        {
            "answer": ConfigRecord({"frame": b"x"}),
            "more": ArrayRecord({"a": Array(dtype="uint8", shape=(3,), stype="numpy.ndarray", data=b"abc")}),
        }
    ),
}


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_frame_is_turned_away_before_it_is_inflated(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inflated: list[str] = []
    monkeypatch.setattr(answers, "inflate_object_from_contents", lambda id, _: inflated.append(id))
    assert not is_answer(*objects(NONE[what]), ASKED)
    assert inflated == []


def test_a_frame_that_is_shorter_than_it_says_is_turned_away() -> None:
    id, contents = objects(framed(frame=b"12345"))
    last = next(each for each, content in contents.items() if content.startswith(b"ConfigRecord"))
    contents[last] = re.sub(rb"2\x0512345$", b"2\x0412345", contents[last])
    assert not is_answer(id, contents, ASKED)
