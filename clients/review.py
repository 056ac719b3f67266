"""A plan in plain words, for the person who decides about it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from clients.home import Home
from clients.policy_file import Breach
from federation.errors import Language
from federation.identity import Roster
from federation.plan import Plan
from federation.token import fingerprint, spoken


def facts(plan: Plan, me: str, found: Sequence[Breach]) -> dict[str, Any]:
    """What a program wants to know of a plan. `found`: what in it goes beyond policy.toml."""
    return {
        "consortium": plan.consortium,
        "job": plan.job,
        "members": list(plan.members),
        "included": me in plan.members,
        "threshold": plan.threshold,
        "quorum": plan.quorum,
        "deadlines": asdict(plan.deadlines),
        "threat": plan.secagg.threat,
        "collude": plan.corruptible,
        "neighbourhoods": plan.neighbourhoods.facts if plan.neighbourhoods else None,
        "rounds": plan.rounds,
        "model": plan.model.name,
        "model_sha256": plan.model.sha256,
        "scheme": plan.scheme.name,
        "ring_bits": plan.secagg.ring_bits,
        "tokens_per_round": plan.train.tokens_per_round,
        "update_norm": plan.privacy.update_norm,
        "policy": [{"line": b.line, "key": b.key, "detail": b.en} for b in found],
    }


def text(plan: Plan, roster: Roster, home: Home, found: Sequence[Breach], language: Language) -> str:
    """The plan, what it makes leave this site, what policy.toml says to it, and the roster's changes since the last
    approval."""
    count, colluders, limits = len(plan.members), plan.corruptible, plan.deadlines
    honest = plan.quorum - colluders
    noise = {"en": "none is added", "ja": "加えません"}[language]
    lines: list[tuple[str, str]] = {
        "en": [
            ("Consortium", f"{plan.consortium} · job {plan.job}"),
            ("Members", f"{count}: {', '.join(plan.members)}"),
            ("Base model", f"{plan.model.name} (SHA-256 {plan.model.sha256[:16]}…)"),
            ("Training", f"{plan.rounds} rounds of {plan.train.tokens_per_round} tokens here, LoRA rank {plan.lora.r}"),
            (
                "Leaves this site",
                "keys, shares and votes of the protocol; one masked update a round. No text, no counts.",
            ),
            (
                "The coordinator",
                f"learns sums over at least {honest} honest members, if at most {colluders} collude",
            ),
            ("Every sum", f"of at least {plan.quorum} of the {count} members"),
            (
                "Deadlines",
                f"{limits.training} s to train and send the update, {limits.answer} s for every other answer; a round "
                "goes on without a site that is late",
            ),
            ("Noise (DP)", noise),
            ("Plan", spoken(plan.digest())),
            ("Roster", f"version {roster.version}: {spoken(roster.digest())}"),
        ],
        "ja": [
            ("コンソーシアム", f"{plan.consortium} · ジョブ {plan.job}"),
            ("参加拠点", f"{count}: {', '.join(plan.members)}"),
            ("基盤モデル", f"{plan.model.name}（SHA-256 {plan.model.sha256[:16]}…）"),
            ("学習", f"{plan.rounds} 回、各回 {plan.train.tokens_per_round} トークン、LoRA ランク {plan.lora.r}"),
            ("社外に出るもの", "プロトコルの鍵・シェア・署名と、各回 1 つの秘匿された更新。文書や件数は出ません。"),
            (
                "事務局",
                f"知り得るのは、正直な {honest} 拠点以上の合計だけです（結託が {colluders} 拠点以下の場合）",
            ),
            ("合計の拠点数", f"{count} 拠点中 {plan.quorum} 拠点以上"),
            (
                "制限時間",
                f"学習と更新の送信 {limits.training} 秒、その他の応答 各 {limits.answer} 秒"
                "（遅れた拠点を待たずに進みます）",
            ),
            ("ノイズ (DP)", noise),
            ("計画", spoken(plan.digest())),
            ("参加者名簿", f"版 {roster.version}: {spoken(roster.digest())}"),
        ],
    }[language]
    body = [f"{name}: {value}" for name, value in [*lines, *_weaker(plan, language)]]
    before = home.roster() if home.file("roster").exists() else None
    judged = _policy(home, found, language)
    if (me := home.settings().id) not in plan.members:
        absent = {
            "en": f"This site, {me}, is not in this plan: it cannot be approved here.",
            "ja": f"この拠点 {me} はこの計画に含まれていません（ここでは承認できません）。",
        }[language]
        body, judged = [absent, *body], []
    return "\n".join([*body, *judged, *_changes(before, roster, language)])


def _weaker(plan: Plan, language: Language) -> list[tuple[str, str]]:
    """What a plan with neighbourhoods promises less than one without."""
    found = plan.neighbourhoods
    if found is None:
        return []
    degree, t, corrupt, lost = found.degree, found.threshold, found.corrupt, found.lost
    return {
        "en": [
            (
                "WEAKER THAN USUAL",
                f"secagg.threat is semi_malicious. This site deals with {degree} neighbours only, and {t} of a "
                "neighbourhood open a secret. The promise above needs a coordinator and a carrier that are honest "
                f"while the keys of a round are collected, and at most {corrupt} colluding members, chosen before. "
                "Whoever chooses the neighbours may learn sums over fewer. The usual plan (malicious) needs no such "
                "trust.",
            ),
            ("Drop-outs", f"a round is reckoned for {lost} of {len(plan.members)}"),
        ],
        "ja": [
            (
                "通常より弱い保護",
                f"secagg.threat は semi_malicious です。この拠点がやり取りするのは隣接 {degree} 拠点だけで、"
                f"隣接集合の {t} 拠点で秘密が開きます。上の約束は、各回の鍵を集める間は事務局が正直で（通信を仲介する者"
                f"も同様）、結託する拠点がその前に決まっていて {corrupt} 以下の場合に限ります。"
                "隣接を選べる者は、より少ない拠点の合計を知り得ます。通常の計画（malicious）では、この信頼は不要です。",
            ),
            ("脱落", f"各回 {len(plan.members)} 拠点中 {lost} 拠点までを見込んでいます"),
        ],
    }[language]


def roster_text(roster: Roster, approved: Roster | None, language: Language) -> str:
    """A roster, and what changed since the approved one."""
    head = {
        "en": f"{roster.consortium}, roster {roster.version}: {len(roster.members)} members; "
        + (f"approved here: version {approved.version}" if approved else "none is approved here yet"),
        "ja": f"{roster.consortium} 参加者名簿 版 {roster.version}: {len(roster.members)} 拠点（この拠点の承認: "
        + (f"版 {approved.version}）" if approved else "なし）"),
    }[language]
    rows = [f"  {m.id:24} {m.name}\n      {spoken(fingerprint(m.public_key))}" for m in roster.members]
    return "\n".join([head, *rows, *_changes(approved, roster, language)])


def _policy(home: Home, found: Sequence[Breach], language: Language) -> list[str]:
    """What policy.toml says to a plan."""
    path = home.file("policy.toml")
    if not found:
        return [{"en": f"Policy: permitted by {path}", "ja": f"社内許可条件: {path} の範囲内です"}[language]]
    head = {"en": f"Policy: not permitted by {path}", "ja": f"社内許可条件: {path} の範囲外です"}[language]
    where = {"en": "line {0.line}, {0.key}: {0.en}", "ja": "{0.line} 行目 {0.key}: {0.ja}"}[language]
    return [head, *("  " + where.format(breach) for breach in found)]


def _changes(approved: Roster | None, roster: Roster, language: Language) -> list[str]:
    """Who came, who went and whose key is another since the roster that this site approved, with the fingerprints to
    compare."""
    before = approved.keys if approved else {}
    new, other_key, gone = {"en": ("new", "key changed", "gone"), "ja": ("追加", "鍵の変更", "削除")}[language]
    lines = []
    for member in roster.members:
        key, old = spoken(fingerprint(member.public_key)), before.get(member.id)
        if old is None:
            lines.append(f"  {new}: {member.id} ({member.name}) {key}")
        elif old != member.public_key:
            lines.append(f"  {other_key}: {member.id} ({member.name}) {spoken(fingerprint(old))} -> {key}")
    return lines + [f"  {gone}: {id}" for id in sorted(set(before) - set(roster.keys))]
