"""The node's process is started, started again, and stopped with everything that it started."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from types import SimpleNamespace

import pytest

from clients import node_process
from clients.node_process import QUIET, Node, NodeProcess


@dataclass(frozen=True)
class Program(Node):
    """A node that runs `source` in Flower's place."""

    source: str = ""

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.source]


def program(folder: Path, source: str) -> Program:
    nothing = Path("/nonexistent")
    return Program("localhost:1", nothing, nothing, nothing, nothing, folder / "flower", 1, source=source)


def wait_for(happened: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_node_that_ends_is_started_again_later_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_process, "_FIRST_PAUSE", 0.01)
    starts = tmp_path / "starts"
    node = NodeProcess(program(tmp_path, f"import time; open({str(starts)!r}, 'a').write(f'{{time.time()}}\\n')"))
    wait_for(lambda: starts.exists() and len(starts.read_text().splitlines()) >= 4)
    node.stop()
    assert node.restarts >= 3
    assert not node.running


def test_a_node_that_ran_for_long_is_started_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_process, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(node_process, "_LONGEST_PAUSE", 0.5)
    # By this clock it lives shorter than the longest pause four times, then longer: a busy machine is no difference.
    clock = chain([0.0, 0.4] * 4, cycle([0.0, 0.6]))
    monkeypatch.setattr(node_process, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    pauses = list[float]()
    node = NodeProcess(program(tmp_path, ""), lambda code, pause: pauses.append(pause))
    wait_for(lambda: len(pauses) >= 6)
    node.stop()
    assert pauses[:6] == [0.02, 0.04, 0.08, 0.16, 0.02, 0.02]


def test_stop_ends_the_node_and_what_it_started(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    source = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(ids)!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(ids)!r} + '.part', {str(ids)!r})\n"
        "time.sleep(600)"
    )
    node = NodeProcess(program(tmp_path, source))
    wait_for(ids.exists)
    assert node.running
    node.stop()
    parent, child = map(int, ids.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(parent, 0)
    wait_for(lambda: _ended(child))


def test_stop_right_after_the_start_leaves_no_process(tmp_path: Path) -> None:
    node = NodeProcess(program(tmp_path, "import time; time.sleep(600)"))
    node.stop()
    assert not node.running
    assert not node._thread.is_alive()


def test_it_calls_nobody_else_and_its_local_calls_take_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intra.example")
    seen = tmp_path / "seen"
    source = f"import json, os, time; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ))); time.sleep(600)"
    node = NodeProcess(program(tmp_path, source))
    wait_for(lambda: seen.exists() and seen.read_text().endswith("}"))
    node.stop()
    environment = json.loads(seen.read_text())
    assert {name: environment[name] for name in QUIET} == QUIET
    assert environment["NO_PROXY"] == "intra.example,127.0.0.1,localhost"
    assert environment["FLWR_HOME"] == str(tmp_path / "flower")


def test_the_keys_are_named_by_file_and_never_on_the_command_line(tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    key.write_text("secret words")
    node = Node("host:1", Path("ca.pem"), key, Path("s"), Path("service.key"), tmp_path, 1)
    assert str(key) in node.command()
    assert "secret words" not in " ".join(node.command())


def _ended(pid: int) -> bool:
    """Gone, or a zombie that its new parent has not yet noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
