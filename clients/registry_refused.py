"""What the coordinator's registry refuses, as a site's people read it."""

from dataclasses import dataclass

from federation.errors import RengoError
from federation.secagg.messages import Refused
from federation.text import printable


@dataclass(frozen=True)
class _Known:
    """`exit_code` of a refusal, and what it means in Japanese: the registry tells its reason in English."""

    exit_code: int
    ja: str


# By code: the errors themselves are the registry's, on the other side of a wall. A test compares them.
_KNOWN = {
    "token-refused": _Known(4, "招待コードは使用済み・期限切れ・未登録のいずれかです。新しいものを依頼してください"),
    "key-taken": _Known(4, "この参加要求の鍵は既に登録されています"),
    "unknown-to-registry": _Known(4, "この拠点はコンソーシアムの参加拠点ではないか、失効しています"),
    "protocol-version-differs": _Known(3, "この拠点とコンソーシアムの rengo の版が異なります"),
    "too-many-requests": _Known(9, "この拠点からの要求が上限回数を超えました。数分待ってからやり直してください"),
    "signature-invalid": _Known(10, "この拠点の署名を検証できません"),
}


class RegistryRefused(RengoError):
    """The coordinator answers: {reason}"""

    ja = "事務局の回答: {reason_ja}"
    exit_code = 9

    def __init__(self, refused: Refused) -> None:
        known, reason = _KNOWN.get(refused.code), printable(refused.reason)
        self._code = refused.code if known else ""
        super().__init__(reason=reason, reason_ja=f"{known.ja}。（{reason}）" if known else reason)
        if known:
            self.exit_code = known.exit_code

    @property
    def code(self) -> str:
        """The refusal's own code, for those that are known here."""
        return self._code or super().code
