"""At the coordinator: requests of the round loop out to nodes, each answer back as it arrives, none of them read.

The round loop sends b"nodes" and hears who is connected; or the seconds for which nodes may answer, and (node id,
seconds that this one is waited for, frame), one a message, ended by an empty one. It hears (node id, 1, frame) or (node
id, 0, why there is none) until nobody is waited for any more, ended by an empty one.
"""

import struct
import time
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()
POLL = 0.5  # seconds between looks for answers
HEAD = struct.Struct(">Qd")


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Serve the round loop until it hangs up."""
    config = context.run_config
    key = Path(str(config["key-file"])).read_bytes()
    with Client(str(config["socket"]), family="AF_UNIX", authkey=key) as loop:
        try:
            while True:
                serve(grid, loop, loop.recv_bytes())
        except EOFError:
            return


def serve(grid: Grid, loop: Connection, asked: bytes) -> None:
    """One exchange, or the list of connected nodes."""
    if asked == b"nodes":
        for node in grid.get_node_ids():
            loop.send_bytes(node.to_bytes(8))
        loop.send_bytes(b"")
        return
    began, asked_of = time.monotonic(), {}
    while request := loop.recv_bytes():
        (node, patience), frame = HEAD.unpack(request[: HEAD.size]), request[HEAD.size :]
        message = Message(RecordDict({"request": ConfigRecord({"frame": frame})}), node, "query", ttl=float(asked))
        for id in grid.push_messages([message]):
            asked_of[id] = node, began + patience
    for node, answer in answers(grid, asked_of):
        loop.send_bytes(node.to_bytes(8) + answer)
    loop.send_bytes(b"")


def answers(grid: Grid, asked_of: dict[str, tuple[int, float]]) -> Iterator[tuple[int, bytes]]:
    """(node id, what its message says) as they arrive, until the last of `asked_of` (node id, until when it is waited
    for) has answered or is waited for no more."""
    while any(time.monotonic() < until for _, until in asked_of.values()):
        for message in grid.pull_messages(list(asked_of)):
            node, _ = asked_of.pop(message.metadata.reply_to_message_id, (None, 0.0))
            if node is not None:
                yield node, said(message)
        time.sleep(POLL)


def said(message: Message) -> bytes:
    """1 and what the member answered; 0 and why not, when the app or the service failed or the site refused to run
    this app."""
    if message.has_error():
        return b"\0" + f"{message.error.code} {message.error.reason}".encode()[:300]
    frame = message.content["answer"]["frame"] if "answer" in message.content else b""
    return b"\1" + frame if isinstance(frame, bytes) else b"\0" + b"no frame"
