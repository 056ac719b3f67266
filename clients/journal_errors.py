"""What can be wrong with a journal, or with what is asked of it."""

from federation.errors import RengoError


class JournalDamaged(RengoError):
    """The journal {path} was changed after it was written: row {number} does not fit the rest. Nothing is sent. Keep
    it as evidence (`rengo member journal export --out FILE` writes its rows as they stand), have this member's keys
    revoked and join anew in another folder (--home). Never restore a journal from a backup."""

    ja = (
        "送信記録簿 {path} は書き込み後に改変されています（行 {number}）。何も送信しません。"
        "証拠として保存し（`rengo member journal export --out ファイル` で現状のまま書き出せます）、"
        "鍵を失効させて別のフォルダー（--home）で参加し直してください。バックアップからは絶対に復元しないでください。"
    )
    exit_code = 10


class JournalUnreadable(RengoError):
    """The journal {path} cannot be read ({detail}). Nothing is sent without it. Have this member's keys revoked and
    join anew. Never restore a journal from a backup: an older one allows what this member must not say again."""

    ja = (
        "送信記録簿 {path} を読めません（{detail}）。記録簿なしでは何も送信しません。"
        "鍵を失効させて参加し直してください。"
        "バックアップからは絶対に復元しないでください（過去の状態に戻ると、二度してはならない応答をしてしまいます）。"
    )
    exit_code = 7


class JournalMissing(RengoError):
    """The journal {path} is gone, and with it what this member must not say again. Nothing is sent without it. Have
    this member's keys revoked and join anew in another folder (--home). Never restore a journal from a backup."""

    ja = (
        "送信記録簿 {path} がありません。二度してはならない応答の記録が失われたため、何も送信しません。"
        "鍵を失効させて別のフォルダー（--home）で参加し直してください。バックアップからは絶対に復元しないでください。"
    )
    exit_code = 10


class JournalInUse(RengoError):
    """Another process wrote to the journal {path} while this one had it open. Nothing was sent. Run one member process
    per data set and start this one again."""

    ja = (
        "送信記録簿 {path} に別のプロセスが書き込みました。何も送信していません。"
        "データごとに参加拠点のプロセスを一つだけにして、再起動してください。"
    )
    exit_code = 7


class NoOpenJob(RengoError):
    """Job {job} is not open in the journal {path}. Open: {open}."""

    ja = "ジョブ {job} は送信記録簿 {path} で実行中ではありません。実行中: {open}。"
    exit_code = 2
