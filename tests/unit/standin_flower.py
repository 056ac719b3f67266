"""In place of Flower's programs, for tests of the carrier: the SuperLink listens, `flwr` starts the real server
side of the relay, whose nodes are here. How each behaves stands in $FLWR_HOME/nodes.json. Registering nodes is asked of
this file too, and fails as often as $FLWR_HOME/no-registration says.

    superlink HOST PORT LOCAL_PORT …
    register-nodes PORT AUTHORITY
    flwr run APP SUPERLINK --run-config CONFIG --format json
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LATE = 1.5
"""Seconds after a start of the relay when a node that behaves `late` is back."""
HOME = Path(os.environ.get("FLWR_HOME", "."))


def node_id(node_key: str) -> int:
    """A node's number, as the stand-in gives it."""
    return zlib.crc32(node_key.encode())


def superlink(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listening:
        (HOME / "superlinks").open("a").write(f"{os.getpid()}\n")
        while True:
            listening.accept()[0].close()


def run(app: str, config: str) -> None:
    command = [sys.executable, __file__, "relay", app, config]
    relay = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(HOME / "relay.log").open("a"))
    (HOME / "relays").open("a").write(f"{relay.pid}\n")


class Grid:
    """Flower's side of the relay: nodes that echo, hang, fail, or take a while to come back."""

    def __init__(self) -> None:
        self._sent: list[Any] = []
        self._began = time.monotonic()
        nodes = json.loads((HOME / "nodes.json").read_text())
        self._behaviour = {node_id(key): behaviour for key, behaviour in nodes.items()}

    def get_node_ids(self) -> Sequence[int]:
        here = {"away": False, "late": time.monotonic() - self._began > LATE}
        return [node for node, behaviour in self._behaviour.items() if here.get(behaviour, True)]

    def push_messages(self, messages: Sequence[Any]) -> list[str]:
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"{len(self._sent)}-{message.metadata.dst_node_id}"
            ids.append(message.metadata.message_id)
            self._sent.append(message)
        return ids

    def pull_messages(self, ids: Sequence[str]) -> list[Any]:
        answers = [self._answer(message) for message in self._sent if message.metadata.message_id in ids]
        return [answer for answer in answers if answer is not None]

    def _answer(self, message: Any) -> Any:
        from flwr.app import ConfigRecord, Error, Message, RecordDict

        match self._behaviour[message.metadata.dst_node_id]:
            case "echo" | "late":
                frame = b"answer to " + message.content["request"]["frame"]
                return Message(RecordDict({"answer": ConfigRecord({"frame": frame})}), reply_to=message)
            case "fail":
                return Message(Error(8, "the app is refused"), reply_to=message)
            case "other":
                return Message(RecordDict({"answer": ConfigRecord({"frame": "text"})}), reply_to=message)
        return None


def relay(app: str, config: str) -> None:
    sys.path.insert(0, app)
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # as flwr-serverapp does
    from rengo_relay import server_app  # type: ignore[import-not-found]

    settings = dict(re.findall(r'([\w-]+)="([^"]*)"', config))
    server_app.main(Grid(), SimpleNamespace(run_config=settings))
    if (HOME / "relay-lingers").exists():
        time.sleep(600)  # as Flower's own end does when it waits for a SuperLink that is gone


def main(arguments: list[str]) -> None:
    match arguments:
        case ["relay", app, config]:
            relay(app, config)
        case ["register-nodes", _, _]:
            (HOME / "registrations").open("a").write(f"{os.getpid()}\n")
            if (failing := HOME / "no-registration").exists():
                left = int(failing.read_text()) - 1
                failing.write_text(str(left)) if left else failing.unlink()
                sys.exit("Public key already in use")
            print(json.dumps({member: node_id(key) for member, key in json.load(sys.stdin).items()}))
        case ["run", app, _, "--run-config", config, *_]:
            if (HOME / "no-relay").exists():
                print(json.dumps({"success": False, "error-message": "the app does not build"}))
            else:
                run(app, config)
                print(json.dumps({"success": True, "run-id": "1"}))
        case ["superlink", _, _, local_port, *_]:
            superlink(int(local_port))


SUPERLINK = (sys.executable, __file__, "superlink")
REGISTER = (sys.executable, __file__, "register-nodes")


def write_programs(folder: Path) -> None:
    """A program under the name of Flower's that is this file."""
    script = folder / "flwr"
    script.write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n")
    script.chmod(0o700)


if __name__ == "__main__":
    main(sys.argv[1:])
