"""Flower's side: FedAvg over all members with the Ray backend, then one evaluation.

Started by bench_simulate as a process of its own. `run_simulation` is what `flwr run` ends up calling, without the
SuperLink and the app's packaging before it: Flower at its fastest. It is deprecated for users, not for this.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from bench_flower import client_app, job

app = ServerApp()


class EvaluatedAtTheEnd(FedAvg):
    """FedAvg that asks for evaluation after the last round only: the others measure before they train, as rengo."""

    def __init__(self, rounds: int, members: int) -> None:
        super().__init__(min_train_nodes=members, min_evaluate_nodes=members, min_available_nodes=members)
        self._rounds = rounds

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nobody, until the last round."""
        return super().configure_evaluate(server_round, arrays, config, grid) if server_round == self._rounds else []


@app.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds; the losses are written where bench_simulate reads them."""
    plan = job.job().plan
    strategy = EvaluatedAtTheEnd(plan.rounds, len(plan.members))
    result = strategy.start(grid, client_app.record(job.first_factors()), num_rounds=plan.rounds)
    by_round = {str(r): metrics["loss"] for r, metrics in result.train_metrics_clientapp.items()}
    last = dict(result.evaluate_metrics_clientapp[plan.rounds])
    Path(job.job().output).write_text(json.dumps({"loss_before_round": by_round, **last}), encoding="utf-8")


def simulate(ray_folder: str) -> None:
    """Two cores for `actors` processes."""
    plan, actors = job.job().plan, job.job().actors
    backend = {
        "client_resources": {"num_cpus": plan.model.threads, "num_gpus": 0.0},
        "init_args": {"num_cpus": plan.model.threads * actors, "_temp_dir": ray_folder, "log_to_driver": False},
    }
    run_simulation(app, client_app.app, len(plan.members), backend_config=backend)  # type: ignore[arg-type]  # dict is invariant


if __name__ == "__main__":
    simulate(sys.argv[1])
