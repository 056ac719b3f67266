"""What a comparison says to people, on the screen and on its page."""

from aggregator.simulate.differences import Interval
from aggregator.simulate.rows import Row
from federation.errors import Language

WORDS: dict[str, dict[Language, str]] = {
    "heading": {"en": "Runs of rengo simulate, compared", "ja": "rengo simulate の実行結果の比較"},
    "run": {"en": "run", "ja": "実行"},
    "seeds": {"en": "seeds", "ja": "seed 数"},
    "seed": {"en": "seed", "ja": "seed"},
    "sent": {"en": "MB up a member", "ja": "1 拠点の送信 MB"},
    "trained": {"en": "training s", "ja": "学習秒数"},
    "tokens": {"en": "tokens trained", "ja": "学習トークン数"},
    "base": {"en": "base", "ja": "基盤"},
    "local": {"en": "local", "ja": "単独"},
    "federated": {"en": "federated", "ja": "連合"},
    "personalised": {"en": "personalised", "ja": "拠点適応"},
    "pooled": {"en": "pooled", "ja": "集約"},
    "plain": {"en": "plain", "ja": "秘匿なし"},
    "B_minus_F": {"en": "B - F", "ja": "B−F"},
    "L_minus_F": {"en": "L - F", "ja": "L−F"},
    "L_minus_Fplus": {"en": "L - F+", "ja": "L−F+"},
    "F_minus_Fplus": {"en": "F - F+", "ja": "F−F+"},
    "F_minus_P": {"en": "F - P", "ja": "F−P"},
    "L_minus_P": {"en": "L - P", "ja": "L−P"},
    "F_minus_plain": {"en": "F - plain", "ja": "F−秘匿なし"},
    "against": {"en": "F - F of the first row", "ja": "F−先頭行の F"},
    "closure": {"en": "closure", "ja": "回復率"},
    "not_estimable": {"en": "not estimable", "ja": "推定不能"},
    "harmed": {"en": "harmed / undecided", "ja": "悪化 / 判定不能"},
    "title": {
        "en": "Bits a character on test documents; differences with 95 % intervals over texts, and every seed's range",
        "ja": "テスト文書 1 文字あたりのビット数（差は文書についての 95 % 区間と seed ごとの範囲）",
    },
    "apart": {
        "en": "These runs are {parts} groups with other base models or other test texts: figures of two groups "
        "cannot be compared, and nothing is averaged or subtracted between them.",
        "ja": "基盤モデルまたはテスト文書が異なる {parts} 組があります。組をまたぐ数値は比較できず、"
        "平均も差も取りません。",
    },
    "unfinished": {
        "en": "Not finished, and not in here (go on with: rengo simulate resume=): {runs}",
        "ja": "未完了のため含まれません（続けるには rengo simulate resume=）: {runs}",
    },
    "machines": {
        "en": "Made on different machines or with different versions: seconds cannot be compared, last digits may "
        "differ.",
        "ja": "実行したマシンまたは版が異なります。秒数は比較できず、末尾の桁は一致しません。",
    },
    "where": {"en": "Written: {path}", "ja": "保存先: {path}"},
    "part": {
        "en": "Base model {model}, characters of test text {text}",
        "ja": "基盤モデル {model}、テスト文字数 {text}",
    },
    "arms": {"en": "Bits a character on test documents", "ja": "テスト文書 1 文字あたりのビット数"},
    "arms_note": {
        "en": "Mean over members and seeds, less is better. Tokens and seconds are those of federated training, of all "
        "members together; seconds are of this machine and of what else ran on it.",
        "ja": "拠点と seed の平均（小さいほど良い）。トークン数と秒数は連合学習の全拠点合計で、秒数はマシンと"
        "同時に動いていた処理に依存します。",
    },
    "differences": {"en": "Differences", "ja": "差"},
    "differences_note": {
        "en": "B base, L local (each member alone), F federated, F+ personalised, P pooled (on one pile). Bits a "
        "character, mean over members, with the 95 % interval that other test texts of the same members would give; "
        "below it, the range of single seeds, and the mean by size, in which members weigh as the characters of their "
        "test texts. L - F above 0: joining is better than training alone. "
        "F - F of the first row below 0: better than the first row, over the seeds that both have. Harmed: worse off "
        "than alone by more than 0.01; undecided: this cannot be excluded. Of many intervals, some miss by chance.",
        "ja": "B 基盤、L 単独、F 連合、F+ 拠点適応、P 集約（全文書をまとめて学習）。1 文字あたりのビット数、拠点平均。"
        "95 % 区間は同じ拠点の別のテスト文書についてのもので、その下は "
        "seed ごとの範囲と、テスト文書の文字数で加重した平均です。"
        "L−F が正なら参加が単独学習より良い。F−先頭行の F が負なら先頭行より良い（共通の seed）。"
        "悪化: 単独より 0.01 を超えて悪い拠点。判定不能: それを否定できない拠点。行が多いと偶然外れる区間もあります。",
    },
    "by_size": {"en": "by size", "ja": "文字数で加重"},
    "plot": {
        "en": "Validation loss by rounds, bytes, tokens and seconds",
        "ja": "学習回・送信量・トークン数・秒数ごとの検証損失",
    },
    "leaving": {"en": "Without one domain", "ja": "一つの分野を除いた場合"},
    "leaving_note": {
        "en": "The differences over the members of all other domains. A result that changes sign hangs on one domain. "
        "Of more than six domains, those with the smallest and the largest difference.",
        "ja": "その分野以外の拠点についての差。符号が変わる結果は一つの分野に依存しています。"
        "分野が 6 を超える場合は差が最小と最大のものを示します。",
    },
    "without": {"en": "without", "ja": "除いた分野"},
    "probes": {"en": "Questions and general text", "ja": "質問と一般文"},
    "probes_note": {
        "en": "Means over seeds, of the arms that were asked; less is better for bits a character. Where the hashes "
        "differ, other questions were asked, and figures cannot be compared. Intervals stand in each run's "
        "summary.json: differences of a few questions are chance.",
        "ja": "質問した条件ごとの seed 平均です。1 文字あたりのビット数は小さいほど良い値です。ハッシュが異なる行は質問"
        "が異なり、比較できません。区間は各実行の summary.json にあります。数問の差は偶然です。",
    },
    "arm": {"en": "arm", "ja": "条件"},
    "asked": {"en": "asked, SHA-256", "ja": "質問の SHA-256"},
    "probe_choice": {"en": "chosen right", "ja": "選択正解率"},
    "probe_exact": {"en": "exact", "ja": "完全一致"},
    "probe_character_f1": {"en": "character F1", "ja": "文字 F1"},
    "probe_number": {"en": "number", "ja": "数値"},
    "probe_part": {"en": "part number", "ja": "品番"},
    "probe_solution": {"en": "solution", "ja": "解答の数値"},
    "probe_bits_per_character": {"en": "bits a character, right answer", "ja": "正解 1 文字のビット数"},
    "probe_general": {"en": "bits a character, general text", "ja": "一般文 1 文字のビット数"},
    "settings": {"en": "Settings in which runs differ", "ja": "実行によって異なる設定"},
    "same": {"en": "Settings that are the same", "ja": "共通の設定"},
    "setting": {"en": "setting", "ja": "設定"},
    "value": {"en": "value", "ja": "値"},
    "runs": {"en": "Runs", "ja": "実行一覧"},
    "folder": {"en": "folder", "ja": "フォルダー"},
    "kept": {"en": "kept round", "ja": "採用した学習回"},
    "total": {"en": "s in all", "ja": "全体の秒数"},
    "adapter": {"en": "adapter, SHA-256", "ja": "追加学習差分の SHA-256"},
    "machine": {"en": "machine", "ja": "マシン"},
    "versions": {"en": "versions", "ja": "版"},
    "members": {"en": "members", "ja": "拠点"},
    "who": {"en": "Harmed and undecided members", "ja": "悪化・判定不能の拠点"},
    "harmed_members": {"en": "harmed", "ja": "悪化"},
    "undecided_members": {"en": "undecided", "ja": "判定不能"},
}


def shown_interval(found: Interval) -> str:
    """A mean, and its interval where there is one."""
    if found.low is None or found.high is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} ({found.low:+.3f} … {found.high:+.3f})"


def shown_difference(row: Row, name: str) -> str:
    """A difference with its interval, and the range of single seeds where there are several; nothing if it is not
    there."""
    found = row.verdict.differences.get(name)
    if found is None:
        return ""
    each = row.by_seed(name)
    return shown_interval(found) + (f"\n{min(each):+.3f} … {max(each):+.3f}" if len(each) > 1 else "")
