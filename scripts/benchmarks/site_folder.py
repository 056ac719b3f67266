"""A made folder of a plant, of any size: manuals, half of them with a name and a number to mask, and a log a day of
some machines. Nobody's documents: they have the size and the repetitions of real ones, not their words."""

import random
from datetime import datetime, timedelta
from pathlib import Path

_DAYS_IN_LOG, _TAGS = 1, 10
_NOTICE = "本装置の据付、運転、保守および点検は、必ず取扱説明書とその他の付属書類をすべて熟読してから行ってください。"


def write(folder: Path, files: int, megabytes: float, logs: float = 0.0) -> float:
    """About `megabytes` in `files` files, of which the share `logs` of the bytes and as many of the files are CSV; what
    they are together, in MB. Manuals of which none repeats another but for one notice, half of them CP932; of 200 files
    one is a revision of the one before."""
    draw = random.Random(1)  # noqa: S311
    words = _words(draw)
    of_logs = round(files * logs)
    size = 0
    for number in range(files - of_logs):
        mean = megabytes * (1 - logs) * 1e6 / (files - of_logs)
        size += _manual(folder, number, mean * draw.uniform(0.5, 1.5), words, draw)
    for number in range(of_logs):
        size += _log(folder, number, megabytes * logs * 1e6 / of_logs, draw)
    return size / 1e6


def _words(draw: random.Random) -> list[str]:
    letters = [chr(code) for code in range(0x3042, 0x3093)]
    return ["".join(draw.choices(letters, k=draw.randrange(2, 7))) for _ in range(5000)]


def _manual(folder: Path, number: int, size: float, words: list[str], draw: random.Random) -> int:
    path = folder / f"{number % 40:02}" / (f"{number}.html" if number % 4 == 3 else f"{number}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding, width = ("cp932", 2) if number % 2 else ("utf-8", 3)
    before = folder / f"{(number - 1) % 40:02}" / f"{number - 1}.txt"
    if number % 200 == 199 and before.exists():  # a revision
        text = before.read_text(encoding="utf-8" if number % 2 else "cp932") + f"改訂 {number}\n"
    else:
        text, paragraphs = f"担当: 山田 太郎 内線 {number % 10_000:04}\n" if number % 2 else "", list[str]()
        wanted = int(size / width) - len(text)
        while wanted > 0:
            paragraphs.append("".join(draw.choices(words, k=min(200, 1 + wanted // 4))) + "。")
            wanted -= len(paragraphs[-1]) + 1
        text += "\n".join([*paragraphs, _NOTICE, ""])
    if path.suffix == ".html":
        text = "<html><body><p>" + text.replace("\n", "</p>\n<p>") + "</p></body></html>"
    return path.write_bytes(text.encode(encoding))


def _log(folder: Path, number: int, size: float, draw: random.Random) -> int:
    """A day of one of twenty machines, with readings as often as `size` asks for."""
    machine, day = number % 20, number // 20
    path = folder / f"MC-{machine:02}" / f"{day:05}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = max(30, round(size / 85))
    began, step = datetime(2024, 1, 1) + timedelta(days=day), timedelta(days=1) / rows  # the wall's clock
    lines = ["日時," + ",".join(f"MC-{machine:02} 温度{tag}[℃]" for tag in range(_TAGS))]
    levels = [draw.uniform(20, 300) for _ in range(_TAGS)]
    for row in range(rows):
        levels = [level + draw.uniform(-0.5, 0.5) for level in levels]
        lines.append(f"{began + row * step:%Y/%m/%d %H:%M:%S}," + ",".join(f"{level:.2f}" for level in levels))
    return path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp932" if number % 2 else "utf-8"))
