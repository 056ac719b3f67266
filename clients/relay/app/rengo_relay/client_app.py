"""At a site: one message's bytes to the member's service, its answer's bytes back. Nothing here reads either."""

from multiprocessing.connection import Client
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def relay(message: Message, context: Context) -> Message:
    """The service's answer to one frame. A service that is not there is an error, which Flower reports."""
    key = Path(str(context.node_config["key-file"])).read_bytes()
    with Client(str(context.node_config["socket"]), family="AF_UNIX", authkey=key) as service:
        service.send_bytes(bytes(message.content["request"]["frame"]))  # type: ignore[arg-type]  # the server side put bytes
        answer = service.recv_bytes()
    return Message(RecordDict({"answer": ConfigRecord({"frame": answer})}), reply_to=message)
