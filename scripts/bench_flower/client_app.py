"""A member in Flower's simulation."""

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bench_flower import job

app = ClientApp()


def _factors(message: Message) -> dict[str, Any]:
    return {name: array.numpy() for name, array in message.content.array_records["arrays"].items()}


def record(factors: Any) -> ArrayRecord:
    """Factors as Flower carries them."""
    return ArrayRecord({name: Array(np.asarray(values)) for name, values in factors.items()})


@app.train()
def train(message: Message, context: Context) -> Message:
    """Measure, train, send the factors in clear."""
    member, config = int(context.node_config["partition-id"]), message.content.config_records["config"]
    factors, loss = job.train(member, int(str(config["server-round"])), _factors(message))
    metrics = MetricRecord({"num-examples": 1, "loss": loss})
    return Message(content=RecordDict({"arrays": record(factors), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The measurements at the end of the job."""
    part, base, final = job.measure(int(context.node_config["partition-id"]), _factors(message))
    metrics = MetricRecord({"num-examples": 1, "loss": part, "base_loss": base, "final_loss": final})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
