"""The coordinator's log in Japanese, by the English message as it stands in the code. A test finds those that are
missing."""

JAPANESE = {
    "%s: no answer (%r)": "%s: 応答なし（%r）",
    "registry: %s: %s": "参加受付: %s: %s",
    "carrier: %s: %s": "通信路: %s: %s",
    "the SuperLink or its relay ended; both are started again": "SuperLink または中継が終了しました。再起動します",
    "%s Tried again in %g s": "%s %g 秒後に再試行します",
}
