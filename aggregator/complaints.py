"""What a member or an address did too much of, for the log: who, and what it was kept from."""

from dataclasses import dataclass

from aggregator.allowance import Allowance
from federation.errors import Language


@dataclass(frozen=True)
class Complaint:
    """In both languages."""

    en: str
    ja: str

    def text(self, language: Language) -> str:
        """In one of them."""
        return self.en if language == "en" else self.ja

    def __str__(self) -> str:
        return self.en


COMPLAINTS = {
    "connections": Complaint(
        "holds as many connections open as one address may; more are closed at once",
        "同時接続数が 1 アドレスの上限に達したため、以降の接続は直ちに切断します",
    ),
    "full": Complaint(
        "as many connections are open as all together may; more are closed at once",
        "全体の同時接続数が上限に達したため、以降の接続は直ちに切断します",
    ),
    "slow": Complaint(
        "sends or takes a request too slowly; its connection is closed",
        "要求の送受信が遅すぎるため、接続を切断しました",
    ),
    "requests": Complaint(
        "sends more requests than it may; more are turned away (429)",
        "要求の回数が上限を超えたため、以降を拒否します（429）",
    ),
    "at-once": Complaint(
        "has more requests open at a time than it may; more are turned away (429)",
        "同時に処理中の要求数が上限を超えたため、以降を拒否します（429）",
    ),
    "bytes": Complaint(
        "sends more bytes than the largest answer to a request; they are turned away (413)",
        "応答の大きさが上限を超えたため、拒否しました（413）",
    ),
    "unasked": Complaint(
        "sends more answers than it was asked for; they are turned away (429)",
        "求められた回数を超えて応答を送信したため、拒否しました（429）",
    ),
    "body": Complaint(
        "sends a request that has nothing to do with the message it took; it is turned away (400)",
        "受け取ったメッセージと関係のない内容の要求を送信したため、拒否しました（400）",
    ),
    "unfinished": Complaint(
        "announced an answer and did not send all of it before it took the next message; it is thrown away",
        "応答を予告しましたが、次のメッセージを受け取るまでに全体を送信しなかったため、破棄しました",
    ),
    "clock": Complaint(
        "is refused: its clock is more than 5 s ahead of this machine's, or more than 5 minutes behind (401)",
        "を拒否しました: 拠点の時計がこの機械より 5 秒以上進んでいるか、5 分以上遅れています（401）",
    ),
    "answer": Complaint(
        "sends an answer that is none in form; it is thrown away",
        "応答の形式が不正なため、破棄しました",
    ),
}


class Once:
    """The same complaint about the same one is told once a minute: who is complained of must not fill the log."""

    def __init__(self) -> None:
        self._allowance = Allowance(1, 1 / 60)

    def may_tell(self, who: str, code: str) -> bool:
        """Whether this is to be told now."""
        return self._allowance.take(f"{code} {who}")
