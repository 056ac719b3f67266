"""The member's log in Japanese, by the English message as it stands in the code. A test finds what is missing."""

JAPANESE = {
    "%s refused a %s: %s": "%s: 要求 %s を拒否しました: %s",
    "%s: round %d of %d: trained, the masked update leaves": "%s: 学習回 %d/%d: 学習が終わり、秘匿した更新を送信します",
    "%s: round %d of %d: done here, its shares leave to open the sum": (
        "%s: 学習回 %d/%d: この拠点では完了、合計を開示するシェアを送信します"
    ),
    "%s: final measurement: the masked losses leave": "%s: 最終評価: 秘匿した損失を送信します",
    "%s: final measurement done here; with it, job %s ends for this site": (
        "%s: 最終評価がこの拠点では完了し、ジョブ %s はこの拠点では終了です"
    ),
    "%s is not used: %s": "%s は使いません: %s",
    "job %s trains on %d of %d files; manifest %s": "ジョブ %s は %d/%d ファイルで学習します（学習データ台帳 %s）",
    "job %s goes on with the text that was frozen when it began: %s": (
        "ジョブ %s は開始時に固定したテキストで続行します: %s"
    ),
    "since job %s began here, %d file(s) changed, %d came and %d went: it goes on with the text of then": (
        "ジョブ %s の開始後に変更 %d 件、追加 %d 件、削除 %d 件がありました。開始時に固定したテキストで続行します"
    ),
    "%s cannot be written: %s": "%s に書き込めません: %s",
    "after %d rounds the adapter of job %s reads this site's held-out documents worse than the base model: "
    "%.3f against %.3f nats a token": (
        "学習回 %d の後、ジョブ %s の追加学習差分はこの拠点の評価用文書で基盤モデルより悪化しています"
        "（%.3f、基盤モデル %.3f nats/トークン）"
    ),
    "status.json cannot be written: %s": "status.json に書き込めません: %s",
    "a relay is hung up on: %d others are connected": "中継の接続を切りました（他に %d 件が接続中）",
    "the relay hung up": "中継が接続を切りました",
    "a request failed: %s": "要求の処理に失敗しました: %s",
    "a relay stalled for %g seconds": "中継が %g 秒間応答しません",
    "the node ended with %d; it is started again in %.0f s": "ノードが終了しました（%d）。%.0f 秒後に再起動します",
}
