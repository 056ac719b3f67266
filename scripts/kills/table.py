"""The results as tables, one a process, between the markers of docs/kills.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kills.cells import AT_A_SITE, PROCESSES, STEPS, Cell, all_cells, cell_of

START, END = "<!-- generated: kills -->", "<!-- end -->"
_HEAD = """| step | moment | goes on | next event, s | round, s (undisturbed) | more attempts | adapter |
|---|---|---|---|---|---|---|"""
_AT_A_SITE_HEAD = """| step | moment | goes on | its next answer, s | round, s (undisturbed) | member lost | adapter |
|---|---|---|---|---|---|---|"""


def renewed(text: str, results: Path) -> str:
    """The document with the tables that the results give."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return f"{before}{START}\n{_tables(lines)}\n{END}{after}"


def _tables(lines: Sequence[Mapping[str, Any]]) -> str:
    parts = [_machine(lines)]
    for process in PROCESSES:
        of_it = [line for line in lines if line["process"] == process]
        rows = sorted(of_it, key=lambda line: (STEPS.index(line["step"]), line["when"] != "before"))
        head = _AT_A_SITE_HEAD if process in AT_A_SITE else _HEAD
        parts.append("\n".join([f"### {process}", head, *map(_row, rows)]) if rows else f"### {process}\nNot run.")
    missing = [cell for cell in all_cells() if cell not in set(map(cell_of, lines))]
    parts.append("\n".join([f"### Not run: {len(missing)} cells", *_by_step(missing)]))
    return "\n\n".join(parts)


def _by_step(cells: Sequence[Cell]) -> Iterator[str]:
    for step in STEPS:
        if named := [f"{cell.process} {cell.when}" for cell in cells if cell.step == step]:
            yield f"- {step}: {', '.join(named)}"


def _machine(lines: Sequence[Mapping[str, Any]]) -> str:
    machine, loads = lines[0]["machine"], [line["machine"]["load"] for line in lines]
    load = f"load {min(loads)} to {max(loads)} from other work and this"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{machine['cpu']}, {machine['cores']} cores, {load}"
    return f"{len(lines)} cells. {where}; Python {machine['python']}, {versions}."


def _row(line: Mapping[str, Any]) -> str:
    moment = [line["step"], line["when"]]
    if "stuck" in line:
        return "| " + " | ".join([*moment, f"**no**: {line['stuck']}", "", "", "", ""]) + " |"
    round = f"{line['seconds_to_round']:.0f} ({line['seconds_undisturbed']:.0f})"
    if line["process"] in AT_A_SITE:
        back = line["seconds_to_members_answer"]
        seconds, cost = "not in the job" if back is None else f"{back:.0f}", _lost(line)
    else:
        seconds, cost = f"{line['seconds_to_next_event']:.0f}", str(line["further_attempts"])
    return "| " + " | ".join([*moment, _went_on(line), seconds, round, cost, _adapter(line)]) + " |"


def _went_on(line: Mapping[str, Any]) -> str:
    commands = line["commands"]
    again = f", {len(commands)} times" if len(commands) > 1 else ""
    return f"after `{commands[0]}`{again}" if commands else "by itself"


def _lost(line: Mapping[str, Any]) -> str:
    if line["lost"] and line["lost"] != [line["killed_member"]]:
        return "**another one**"
    attempts = f", {line['further_attempts']} more attempts" if line["further_attempts"] else ""
    return ("for the round" if line["lost"] else "no") + attempts


def _adapter(line: Mapping[str, Any]) -> str:
    if line["lost"]:
        return "another, without it" if line["killed_member"] else "another: one killed by an earlier cell was not back"
    return "same" if line["same_sum"] and line["same_final_adapter"] in (True, None) else "**differs**"
