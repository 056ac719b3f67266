"""What the tests of the coordinator's store put into it."""

import numpy as np

from aggregator.store import Checkpoint
from federation.secagg.messages import Offer
from federation.secagg.server import Answers, Step
from federation.wire import Signed

PLAN = bytes(range(32))
MASKED_SUM = "masked-sum.safetensors"


def checkpoint(round: int) -> Checkpoint:
    draw = np.random.default_rng(round)
    adapter = {"層.lora_A": draw.normal(size=(2, 4)).astype(np.float32), "層.lora_B": np.zeros((5, 2), np.float32).T}
    total = draw.integers(0, 2**16, 25).astype("<u2")
    return Checkpoint(round, adapter, total, 21, ("0x1.0p-3", "0x1.8p-4"), ("held_out_loss",), bytes([round] * 32))


def step(round: int, step: Step, total: bool = False) -> Answers:
    offer = Offer("suite", "名古屋", "溶接", round, 3, bytes(32), bytes(32), PLAN, bytes(32))
    statements = tuple(Signed(f"{step.value} {n}".encode(), bytes([n] * 64)) for n in range(3))
    return Answers(offer, step, statements, np.arange(round, 25, dtype="<u4") if total else None)
