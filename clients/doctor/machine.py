"""This machine and what is installed and stored on it: state folder, memory, terminal, versions, model, data, speed."""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from clients import data_report, extracted, policy_file, state_folder
from clients.dataset import Blocks, Corpus
from clients.doctor.check import Check, fine, warning
from clients.home import Home
from clients.ingest.parser import Parser
from clients.loading import load, model_folder, require_model
from clients.trainer import Trainer
from federation import base_model, step
from federation.errors import Language, RengoError
from federation.plan import Plan
from federation.registry import Standing
from federation.wire import VERSION

FLOWER = "1.41."
"""What pyproject.toml pins: clients/relay/node.py is written against its inside."""

_FEW_NAMES = 5


class FlowerDiffers(RengoError):
    """Flower {actual} is installed, rengo needs {expected}*. Install it: `pip install "flwr=={expected}*"`."""

    ja = 'Flower {actual} が入っています（必要: {expected}*）。`pip install "flwr=={expected}*"` で導入してください。'
    exit_code = 3


class MemoryTooSmall(RengoError):
    """{available} MiB of memory are available, loading and training this base model take about {needed} MiB. Close
    other programs, or take a machine with more."""

    ja = (
        "空きメモリーは {available} MiB です（このモデルの学習には約 {needed} MiB 必要）。"
        "他のプログラムを終了するか、別の機械を使ってください。"
    )
    exit_code = 3


def state(home: Home) -> Check:
    """On a local disk, writable, closed to others? Raises StateOnNetwork, NotWritable or OpenToOthers."""
    state_folder.require_local(home.path)
    state_folder.require_writable(home.path)
    state_folder.require_private(home.path)
    kind, _ = state_folder.file_system(home.path)
    if not home.path.exists():
        found = (
            f"{home.path} is not there; it can be made ({kind})",
            f"{home.path} はまだありません（{kind}、作成可）",
        )
        return warning("state folder", found, ("", ""))
    return fine("state folder", f"{home.path} ({kind}), for its owner alone", f"{home.path}（{kind}）、所有者のみ")


def disk(home: Home) -> Check:
    """Is there room? Raises DiskNearlyFull."""
    state_folder.require_room(home.path)
    free = state_folder.free_bytes(home.path) / 2**30
    return fine("disk", f"{free:.1f} GiB free", f"空き {free:.1f} GiB")


def memory(home: Home, meminfo: Path = Path("/proc/meminfo")) -> Check:
    """Enough for the base model? Raises MemoryTooSmall. `meminfo`: as Linux's, where there is one."""
    if not meminfo.exists():
        found = ("not known on this system", "この OS では確認できません")
        return warning("memory", found, ("", ""))
    rows = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    available = int(rows["MemAvailable"].split()[0]) >> 10
    weights = sum(file.stat().st_size for file in model_folder(home.settings()).glob("*.safetensors"))
    # Weights of half precision may be trained in full precision; activations, LoRA and torch itself come on top.
    needed = (2 * weights >> 20) + 1024
    if available < needed:
        raise MemoryTooSmall(available=available, needed=needed)
    en = f"{available} MiB available, about {needed} MiB needed"
    return fine("memory", en, f"空き {available} MiB、必要な目安 {needed} MiB")


def terminal() -> Check:
    """Can this terminal show Japanese?"""
    encoding = (sys.stdout.encoding or "ascii").lower()
    try:
        "参加拠点の照合値 ㈱髙①".encode(encoding)
    except UnicodeEncodeError:
        found = (f"{encoding} cannot show Japanese", f"{encoding} では日本語を表示できません")
        return warning("terminal", found, ("export LANG=ja_JP.UTF-8", "export LANG=ja_JP.UTF-8"))
    if encoding not in ("utf-8", "utf8"):
        found = (f"{encoding}: rare characters show as \\u....", f"{encoding}: 一部の文字は \\u.... になります")
        mend = ("Use a UTF-8 terminal: chcp 65001, or PYTHONUTF8=1", "UTF-8 の端末を使用: chcp 65001、PYTHONUTF8=1")
        return warning("terminal", found, mend)
    return fine("terminal", encoding, encoding)


def versions(standing: Standing | None) -> Check:
    """rengo, its protocol and Flower. Raises FlowerDiffers."""
    flower, rengo = version("flwr"), version("rengo")
    if not flower.startswith(FLOWER):
        raise FlowerDiffers(actual=flower, expected=FLOWER)
    words = f"rengo {rengo}, protocol {VERSION}, Flower {flower}"
    if standing is not None and standing.rengo != rengo:
        theirs = standing.rengo[:40]
        found = (f"{words}; the coordinator has rengo {theirs}", f"{words}（事務局は rengo {theirs}）")
        return warning("versions", found, ("Install the same when convenient", "同じ版の導入をお勧めします"))
    return fine("versions", words, words)


def policy(home: Home, plan: Plan | None, contributions: int) -> Check:
    """Is policy.toml whole, and does it permit the plan? Raises PolicyInvalid, SettingsFileInvalid, RefusedByPolicy."""
    path = home.file("policy.toml")
    policy_file.read(path)
    if plan is None:
        return fine("policy", str(path), str(path))
    policy_file.require_within(path, plan, contributions)
    return fine("policy", f"{path} permits the plan", f"{path} は計画を許可しています")


def model(home: Home, plan: Plan | None) -> Check:
    """Is the base model whole, and the plan's? Raises ModelFolderInvalid or ModelMismatch."""
    if plan is None:
        folder = model_folder(home.settings())
        digest = base_model.digest(folder)
        return fine("base model", f"{folder}, SHA-256 {digest}; no plan yet", f"{folder}、SHA-256 {digest}（計画なし）")
    require_model(home.settings(), plan)
    return fine("base model", f"{plan.model.name}, the plan's to the byte", f"{plan.model.name}（計画と一致）")


def parser() -> Check:
    """Does the process that reads documents start, and what does this kernel keep from it? Raises ParserNotStarted."""
    with Parser() as started:
        missing = ", ".join(started.missing_walls())
    if not missing:
        return fine("parser", "a process without files and sockets", "ファイルとソケットを使えない別プロセス")
    return warning(
        "parser",
        (f"limited in time and memory, but without {missing}", f"時間とメモリの制限のみ（{missing} なし）"),
        ("Linux 5.13 or later, on x86-64 or ARM64", "Linux 5.13 以降（x86-64、ARM64）で有効です"),
    )


def data(home: Home) -> Check:
    """Which documents are there, and what of the folder is not used? Raises DataFolderInvalid."""
    with extracted.opened(home) as texts:
        reading = extracted.read(home, texts).reading
    languages: tuple[Language, Language] = ("en", "ja")
    counts = (data_report.counts(reading, language) for language in languages)
    kinds = [", ".join(f"{how} {count}" for how, count in each.items()) for each in counts]
    en, ja = f"{len(reading.documents)} documents: {kinds[0]}", f"文書 {len(reading.documents)} 件: {kinds[1]}"
    aside = reading.set_aside
    if not aside:
        return fine("data", en, ja)
    more = f" (+{len(aside) - _FEW_NAMES})" if len(aside) > _FEW_NAMES else ""
    found = (
        f"{en}; {len(aside)} set aside: " + "; ".join(f"{s.name}: {s.reason}" for s in aside[:_FEW_NAMES]) + more,
        f"{ja}、除外 {len(aside)} 件: " + "、".join(f"{s.name}: {s.reason_ja}" for s in aside[:_FEW_NAMES]) + more,
    )
    return warning("data", found, ("All of them: rengo member data report", "一覧: rengo member data report"))


def training(home: Home, plan: Plan) -> Check:
    """How long will a round take here? One step is trained, times the plan's. Raises what model and data raise."""
    learner, corpus = load(home, plan)
    settings = home.settings()
    steps, device = settings.train_here(plan.train).steps, settings.model_here(plan.model).device
    seconds = steps * _seconds_a_step(learner, corpus, plan)
    en = f"a round takes about {_duration(seconds)} on {device} ({steps} steps, measured on one)"
    ja = f"1 学習回は {device} で約 {_duration(seconds)} です（{steps} ステップ、1 ステップを実測）"
    if device != "cpu":
        return fine("training", en, ja)
    return warning(
        "training",
        (f"no GPU is used: {en}", f"GPU は使いません。{ja}"),
        (
            "Fine for small models; `device` in member.toml says which is used",
            "小さいモデルなら問題ありません（member.toml の device で変更できます）",
        ),
    )


def _duration(seconds: float) -> str:
    """Two figures, in the unit that people would take."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _seconds_a_step(learner: Trainer, corpus: Corpus, plan: Plan) -> float:
    blocks = plan.train.tokens_per_step // plan.train.sequence_length
    state = step.first_state(plan, learner.shapes)
    scheme = step.scheme_of(plan)
    taken = _first(corpus.train, blocks)
    times = []
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        learner.train(state.factors, scheme.trainable(state), taken, plan.train, 0)
        times.append(time.perf_counter() - began)
    return min(times)


def _first(blocks: Blocks, count: int) -> Blocks:
    """`count` blocks, from the beginning again where there are fewer."""
    return blocks[np.arange(count, dtype=np.int64) % len(blocks)]
