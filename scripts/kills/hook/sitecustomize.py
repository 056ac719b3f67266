"""Loaded by every Python process of a consortium that is disturbed: notes what happens, and stops at a moment.

A process that comes to the moment in `armed` writes `reached-N` and waits: to be killed, or for `go-N` when another
one is killed. Nothing of the product knows of this: functions are wrapped by name as their modules load.
"""

import hashlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["RENGO_KILLS"])
MEMBER = os.environ.get("RENGO_KILLS_MEMBER", "")
superlink: list[int] = []
"""The process that the coordinator has started last."""


def note(event: str, **facts: Any) -> None:
    """One line for all processes."""
    line = json.dumps({"event": event, "at": time.time(), **facts}, ensure_ascii=False) + "\n"
    handle = os.open(FOLDER / "events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, line.encode())
    os.close(handle)


def whole(name: str, content: Any) -> None:
    part = FOLDER / f"{name}.{os.getpid()}"
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(FOLDER / name)


def read(name: str) -> Any:
    try:
        return json.loads((FOLDER / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def reach(place: str, when: str) -> None:
    """Stop here if this is the moment, once."""
    armed = read("armed")
    if armed is None or [place, when] != armed["place"] or read("now") != [armed["round"], armed["step"]]:
        return
    if MEMBER and armed["member"] != MEMBER:
        return
    number = armed["number"]
    try:
        os.close(os.open(FOLDER / f"claimed-{number}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    whole(f"reached-{number}", {"pid": os.getpid(), "superlink": superlink})
    while not (FOLDER / f"go-{number}").exists():
        time.sleep(0.02)


def coordinator_carrier(module: Any) -> None:
    exchange = module.Flower.exchange

    def noted(self: Any, which: Any, requests: Any) -> Iterator[tuple[str, bytes]]:
        whole("now", [which.round, which.step])
        note("asked", round=which.round, step=which.step, members=sorted(requests))
        superlink[:] = [self._superlink.pid]
        reach("loop", "before")
        for member, answer in exchange(self, which, requests):
            note("answered", round=which.round, step=which.step, member=member)
            superlink[:] = [self._superlink.pid]
            reach("loop", "within")
            yield member, answer
        note("over", round=which.round, step=which.step)

    module.Flower.exchange = noted


def coordinator_store(module: Any) -> None:
    keep, commit = module.Store.keep, module.Store.commit

    def kept(self: Any, steps: Any) -> None:
        reach("loop", "after")
        keep(self, steps)
        for answers in steps:
            senders = [statement.header.sender for statement in answers.statements]
            note("kept", round=answers.offer.round, attempt=answers.offer.attempt, step=answers.step.value, of=senders)

    def committed(self: Any, checkpoint: Any, *, carried: bool = False) -> None:
        whole("now", [checkpoint.round, "commit"])
        reach("loop", "before")
        commit(self, checkpoint, carried=carried)
        note("committed", round=checkpoint.round, count=checkpoint.count)
        reach("loop", "after")

    module.Store.keep, module.Store.commit = kept, committed


def member(module: Any) -> None:
    handle = module.Member.handle

    def noted(self: Any, request: bytes) -> bytes:
        from federation.wire import Limits, read_frame

        reach("service", "before")
        answer: bytes = handle(self, request)
        for statement in read_frame(answer, Limits(header=1 << 26, blob=1 << 26)):
            said = hashlib.sha256(statement.header_bytes + statement.signature).hexdigest()
            round, step = read("now")
            facts = {"kind": statement.header.kind, "context": statement.header.digest.hex(), "sha256": said}
            note("left", member=MEMBER, round=round, step=step, **facts)
        reach("service", "after")
        return answer

    module.Member.handle = noted


class Door:
    """The relay app's connection to the member's service."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> "Door":
        self._connection.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.__exit__(*error)

    def send_bytes(self, request: bytes) -> None:
        reach("app", "before")
        self._connection.send_bytes(request)

    def recv_bytes(self) -> bytes:
        answer: bytes = self._connection.recv_bytes()
        reach("app", "after")
        return answer


def relay_app(module: Any) -> None:
    client = module.Client
    module.Client = lambda *address, **options: Door(client(*address, **options))


WRAPPED: dict[str, Callable[[Any], None]] = {
    "aggregator.carriers.flower": coordinator_carrier,
    "aggregator.store": coordinator_store,
    "clients.member": member,
    "rengo_relay.client_app": relay_app,
}


class Wrapping(importlib.abc.MetaPathFinder):
    """Finds these modules as Python does, and wraps what is in them once they have been loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in WRAPPED or (spec := importlib.machinery.PathFinder.find_spec(name, path, target)) is None:
            return None
        loader = spec.loader
        execute = loader.exec_module  # type: ignore[union-attr]  # a source file's

        def exec_module(module: Any) -> None:
            execute(module)
            WRAPPED[name](module)

        loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]  # as above, and on purpose
        return spec


sys.meta_path.insert(0, Wrapping())
