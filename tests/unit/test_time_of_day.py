"""Clocks jump: what looks at the time of day is listed here, and no deadline, pause or limit is among it."""

import ast
from pathlib import Path

import aggregator
import clients
import federation

LOOKS = {
    "aggregator/backup.py": "when a backup was made",
    "aggregator/cli.py": "when an invitation expires",
    "aggregator/registry.py": "what happened when, whether an invitation has expired, members' clocks",
    "aggregator/status.py": "for people",
    "aggregator/tls.py": "from when and until when certificates are valid",
    "clients/clock.py": "how far this clock is off",
    "clients/home.py": "when something was approved",
    "clients/ingest/store.py": "whether a file was written to just before it was read",
    "clients/journal.py": "when something left",
    "clients/policy.py": "the hours in which training may begin",
    "clients/registry_client.py": "tells the coordinator, which compares it",
    "clients/relay/node.py": "the signature that Flower wants of the app",
    "clients/service.py": "for people",
}


def looks_at_the_time_of_day(file: Path) -> bool:
    calls = [node.func for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    return bool(
        names & {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.now", "datetime.datetime.utcnow"}
    )


def test_nothing_else_looks_at_the_time_of_day() -> None:
    found = set()
    for package in (aggregator, clients, federation):
        folder = Path(package.__path__[0])
        files = [file for file in folder.rglob("*.py") if "simulate" not in file.parts]
        found |= {str(file.relative_to(folder.parent)) for file in files if looks_at_the_time_of_day(file)}
    assert found == set(LOOKS)
