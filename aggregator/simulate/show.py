"""The table and the sentences that a person reads at the end of a run."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from federation.errors import Language
from federation.words import gains_text

_WORDS: dict[str, dict[Language, str]] = {
    "member": {"en": "member", "ja": "参加拠点"},
    "base": {"en": "base", "ja": "基盤モデル"},
    "federated": {"en": "federated", "ja": "連合学習"},
    "local": {"en": "local", "ja": "単独学習"},
    "pooled": {"en": "pooled", "ja": "集約学習"},
    "personalised": {"en": "personal", "ja": "拠点適応"},
    "plain": {"en": "plain", "ja": "秘匿なし"},
    "change": {"en": "F - B", "ja": "F−B"},
    "title": {
        "en": "Bits a character on each member's test documents",
        "ja": "各拠点のテスト文書における 1 文字あたりのビット数",
    },
    "mean": {"en": "mean", "ja": "平均"},
    "secagg": {
        "en": "Secure sums: {rounds} rounds and a final measurement, quorum {quorum} of {members}; "
        "lost on the way, by step: {dropped}.",
        "ja": "秘匿集計: 学習 {rounds} 回と最終評価、必要拠点数 {members} 拠点中 {quorum}。"
        "途中の不参加（段階別）: {dropped}。",
    },
    "neighbourhoods": {
        "en": "Weaker than usual (semi_malicious): {degree} neighbours a member, {threshold} of a neighbourhood open a "
        "secret, {corrupt} may collude, {lost} be lost a round. Probability that a set-up is not private "
        "{not_private:.1e}, that a round fails for want of neighbours {not_complete:.1e}.",
        "ja": "通常より弱い保護（semi_malicious）: 隣接 {degree} 拠点、隣接集合のしきい値 {threshold}、結託 {corrupt} "
        "拠点・脱落 {lost} 拠点まで。秘匿が破れる確率: {not_private:.1e}、隣接不足で失敗する確率: {not_complete:.1e}。",
    },
    "keys": {"en": "keys", "ja": "鍵"},
    "shares": {"en": "shares", "ja": "シェア配付"},
    "masked": {"en": "masked", "ja": "秘匿送信"},
    "agreed": {"en": "agreed", "ja": "合意"},
    "revealed": {"en": "revealed", "ja": "開示"},
    "against_plain": {
        "en": "Against a plain mean of the same updates: relative difference {l2:.1e}, at most {steps:.2f} steps of "
        "the {bits}-bit quantiser. Upload: {up:.2f} MB a member and round.",
        "ja": "同じ更新の単純平均との差: 相対 {l2:.1e}、{bits} ビット量子化で最大 {steps:.2f} 段。"
        "送信量: 1 拠点 1 回あたり {up:.2f} MB。",
    },
    "cost": {
        "en": "{total:.0f} s in all: training {train:.0f}, validation {eval:.0f}, secure aggregation {secagg:.0f}, "
        "comparing arms {arms:.0f}, questions and general text {probes:.0f}. Peak memory {rss} MB.",
        "ja": "全体 {total:.0f} 秒（学習 {train:.0f}、検証 {eval:.0f}、秘匿集計 {secagg:.0f}、比較 {arms:.0f}、"
        "質問と一般の文章 {probes:.0f}）。"
        "最大メモリー {rss} MB。",
    },
    "kept": {
        "en": "Kept: the adapter after round {chosen} of {rounds}, by validation loss.",
        "ja": "採用: 検証損失が最小だった学習回 {chosen}（全 {rounds} 回）の追加学習差分。",
    },
    "L_minus_F": {
        "en": "Joining against training alone (L - F): {mean:+.3f} bits a character",
        "ja": "参加と単独学習の差（L−F）: 1 文字あたり {mean:+.3f} ビット",
    },
    "L_minus_Fplus": {
        "en": "Joining, and training on at the site, against training alone (L - F+): {mean:+.3f} bits a character",
        "ja": "参加して拠点で追加学習した場合と単独学習の差（L−F+）: 1 文字あたり {mean:+.3f} ビット",
    },
    "F_minus_P": {
        "en": "Keeping documents apart against pooling them (F - P): {mean:+.3f} bits a character",
        "ja": "文書を集約した場合との差（F−P）: 1 文字あたり {mean:+.3f} ビット",
    },
    "kept_base": {
        "en": "Note: {arm} kept the base model at {count} of {members} members: no round was better. It may need a "
        "learning rate of its own (arms.{arm}_learning_rate).",
        "ja": "注意: {arm} は {members} 拠点中 {count} 拠点で基盤モデルのままです（改善した回なし）。"
        "専用の学習率（arms.{arm}_learning_rate）をご検討ください。",
    },
    "between": {"en": ", 95 % interval {low:+.3f} to {high:+.3f}.", "ja": "、95 % 区間 {low:+.3f} 〜 {high:+.3f}。"},
    "alone": {
        "en": "; no interval, because {members} has only one test text.",
        "ja": "（{members} のテスト文書が 1 件のため区間なし）。",
    },
    "seen": {
        "en": "Of the test text, {share:.1%} stands in somebody's training text (passages of 50 characters).",
        "ja": "テスト文書の {share:.1%} が、いずれかの拠点の学習文書にも含まれます（50 文字単位）。",
    },
    "gains": {
        "en": "By the last secure sum, on validation text, against the base model: {text}.",
        "ja": "最後の秘匿集計による、評価用文書での基盤モデルとの比較: {text}。",
    },
    "questions": {"en": "{items} questions: share that is right", "ja": "質問 {items} 問の正答率"},
    "arm": {"en": "arm", "ja": "学習方法"},
    "choice": {"en": "chosen", "ja": "選択"},
    "chance": {"en": "by chance", "ja": "偶然"},
    "exact": {"en": "written", "ja": "完全一致"},
    "number": {"en": "numbers", "ja": "数値"},
    "part": {"en": "part numbers", "ja": "品番"},
    "solution": {"en": "solutions", "ja": "解答"},
    "right_answer": {
        "en": "Right answer, likelier where below 0 (F - B): {mean:+.3f} bits a character",
        "ja": "正答の差（F−B、0 より小さければ出やすい）: 1 文字あたり {mean:+.3f} ビット",
    },
    "general": {
        "en": "General text, forgotten where above 0 ({pair}): {mean:+.3f} bits a character",
        "ja": "一般の文章の差（{pair}、0 より大きければ忘却）: 1 文字あたり {mean:+.3f} ビット",
    },
    "harm": {
        "en": "Worse off than alone (more than 0.01): {harmed} members; cannot be said: {undecided} of {members}.",
        "ja": "単独学習より悪化（0.01 超）: {harmed} 拠点。判定できない: {members} 拠点中 {undecided}。",
    },
    "harm_personalised": {
        "en": "Worse off than alone when each goes on by itself: {harmed} members; cannot be said: {undecided}.",
        "ja": "各拠点で追加学習しても単独学習より悪化: {harmed} 拠点。判定できない: {undecided} 拠点。",
    },
    "claim": {
        "en": "One seed, a small budget, and learning rates that nobody tuned for each arm, unless you did: this "
        "checks machinery and claims nothing.",
        "ja": "乱数 1 通り、小規模な学習量、（調整していなければ）条件ごとに最適でない学習率での動作確認です。"
        "効果を示すものではありません。",
    },
    "where": {
        "en": "Results: {path} (summary.json, metrics.jsonl, probes.json, plan.yaml, curves.png, members.png, "
        "probes.png; adapter/ loads in stock PEFT)",
        "ja": "結果: {path}（summary.json、metrics.jsonl、probes.json、plan.yaml、curves.png、members.png、probes.png、"
        "PEFT でそのまま読める adapter/）",
    },
}


_PAIRS = {"F_minus_B": "F - B", "F_minus_L": "F - L", "Fplus_minus_L": "F+ - L", "F_minus_P": "F - P"}


def show(console: Console, summary: dict[str, Any], output: Path, language: Language) -> None:
    """Everything of `summary` that is worth a look."""
    words = {key: texts[language] for key, texts in _WORDS.items()}
    console.print(_grid(summary, words))
    if "questions" in summary["probes"]:
        console.print(_questions(summary["probes"]["questions"], words))
    for line in [
        *_learning(summary, words),
        *_gains(summary, words, language),
        *_probes(summary["probes"], words),
        *_job(summary, words),
        words["where"].format(path=output),
    ]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _grid(summary: dict[str, Any], words: dict[str, str]) -> Grid:
    """Arms by member, in bits a character."""
    bits = summary["arms_bits_per_character"]
    grid = Grid(title=words["title"])
    grid.add_column(words["member"], overflow="fold")
    for arm in bits:
        grid.add_column(words[arm], justify="right")
    grid.add_column(words["change"], justify="right")
    rows = {member: [bits[arm][i] for arm in bits] for i, member in enumerate(summary["member_ids"])}
    means = {words["mean"]: [sum(bits[arm]) / len(rows) for arm in bits]}
    names = list(bits)
    for part in (rows, means):
        for name, values in part.items():
            change = values[names.index("federated")] - values[names.index("base")]
            grid.add_row(name, *(f"{value:.3f}" for value in values), f"{change:+.3f}")
        grid.add_section()
    return grid


def _questions(found: dict[str, Any], words: dict[str, str]) -> Grid:
    """Shares of right answers by arm; of members' own adapters the mean."""
    figures = [each for each in ("choice", "exact", "number", "part", "solution") if found["base"][each] is not None]
    grid = Grid(title=words["questions"].format(items=found["items"]))
    grid.add_column(words["arm"])
    for figure in figures:
        grid.add_column(words[figure], justify="right")
    for arm in [name for name in ("base", "federated", "local", "personalised", "pooled") if name in found]:
        grid.add_row(words[arm], *(f"{found[arm][figure]['mean']:.0%}" for figure in figures))
    if found["chance"] is not None:
        grid.add_section()
        grid.add_row(words["chance"], *(f"{found['chance']:.0%}" if each == "choice" else "" for each in figures))
    return grid


def _learning(summary: dict[str, Any], words: dict[str, str]) -> list[str]:
    lines = [words["kept"].format(chosen=summary["chosen_round"], rounds=summary["rounds"])]
    for name in ("L_minus_F", "L_minus_Fplus", "F_minus_P"):
        if name in summary["differences"]:
            found = summary["differences"][name]
            lines.append(words[name].format(mean=found["mean"]) + _between(summary, found, words))
    if "local" in summary["arms"]:
        counts = {key: len(summary[key]) for key in ("harmed", "undecided")}
        lines.append(words["harm"].format(**counts, members=summary["members"]))
    if {"local", "personalised"} <= summary["arms"].keys():
        counts = {key: len(summary[f"{key}_personalised"]) for key in ("harmed", "undecided")}
        lines.append(words["harm_personalised"].format(**counts))
    for arm in ("local", "pooled"):
        count = summary["arms_chosen_round"].get(arm, []).count(0)
        if count:
            lines.append(words["kept_base"].format(arm=arm, count=count, members=summary["members"]))
    if summary["test"]["seen_in_training"]:
        lines.append(words["seen"].format(share=summary["test"]["seen_in_training"]))
    return [*lines, words["claim"]]


def _gains(summary: dict[str, Any], words: dict[str, str], language: Language) -> list[str]:
    counts = summary.get("members_by_gain")
    return [words["gains"].format(text=gains_text(counts, language))] if counts else []


def _probes(found: dict[str, Any], words: dict[str, str]) -> list[str]:
    lines = []
    if "questions" in found:
        bits = found["questions"]["F_minus_B"]["bits_per_character"]
        lines.append(words["right_answer"].format(mean=bits["mean"]) + _interval(bits, words))
    if "general" in found:
        for pair, signs in _PAIRS.items():
            if change := found["general"].get(pair):
                lines.append(words["general"].format(pair=signs, mean=change["mean"]) + _interval(change, words))
    return lines


def _interval(found: dict[str, Any], words: dict[str, str]) -> str:
    return "." if found["low"] is None else words["between"].format(low=found["low"], high=found["high"])


def _between(summary: dict[str, Any], found: dict[str, Any], words: dict[str, str]) -> str:
    if found["low"] is not None:
        return _interval(found, words)
    few = [member for member, texts in zip(summary["member_ids"], summary["test"]["texts"], strict=True) if texts < 2]
    return words["alone"].format(members=", ".join(few))


def _job(summary: dict[str, Any], words: dict[str, str]) -> list[str]:
    secagg, seconds, plain = summary["secagg"], summary["seconds"], summary["secure_vs_plain"]
    dropped = ", ".join(f"{words[step]} {count}" for step, count in secagg["dropped_by_step"].items())
    counts = {"rounds": summary["rounds"], "quorum": secagg["quorum"], "members": summary["members"]}
    near = secagg["neighbourhoods"]
    return [
        words["secagg"].format(**counts, dropped=dropped),
        *([words["neighbourhoods"].format(**near)] if near else []),
        words["against_plain"].format(
            l2=plain["relative_l2"],
            steps=plain["max_quantisation_steps"],
            bits=secagg["ring_bits"],
            up=summary["bytes_up_per_member_round"] / 1e6,
        ),
        words["cost"].format(rss=summary["peak_rss_mb"], **seconds),
    ]
