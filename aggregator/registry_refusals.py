"""What the registry answers to a request that it does not grant."""

from federation.errors import RengoError


class TokenRefused(RengoError):
    """This join token is not accepted: {detail}. Ask the coordinator for a new one."""

    ja = "招待コードは受け付けられませんでした: {detail_ja}。事務局に新しいものを依頼してください。"
    exit_code = 4


class NameTaken(RengoError):
    """{id} is a member already. Revoke it before you invite it again: `rengo coordinator revoke {id}`."""

    ja = "{id} は既に参加拠点です。招待し直す前に `rengo coordinator revoke {id}` で失効させてください。"
    exit_code = 2


class KeyTaken(RengoError):
    """A key of this join belongs to a member already, or did. Keys are made anew for each join."""

    ja = "この参加要求の鍵は既に登録されています。鍵は参加のたびに新しく作成されます。"
    exit_code = 4


class UnknownToRegistry(RengoError):
    """{id} is not a member of this consortium, or was revoked."""

    ja = "{id} はこのコンソーシアムの参加拠点ではないか、失効しています。"
    exit_code = 4


class NothingToConsent(RengoError):
    """This plan was never proposed here, or never under such a roster."""

    ja = "この計画または名簿は、事務局から提示されたものではありません。"
    exit_code = 4


class NotQuarantined(RengoError):
    """{id} is not in quarantine."""

    ja = "{id} は隔離されていません。"
    exit_code = 9


class RosterOutOfOrder(RengoError):
    """The roster has version {version}; the next one is {expected}. Propose it anew: `rengo coordinator roster`."""

    ja = "参加者名簿の版は {version} ですが、次は {expected} です。`rengo coordinator roster` で作り直してください。"
    exit_code = 3


class ProtocolVersionDiffers(RengoError):
    """This member speaks protocol {actual} (rengo {rengo}), the consortium speaks {expected}. Install rengo
    {wanted}."""

    ja = (
        "この拠点のプロトコルは {actual}（rengo {rengo}）、コンソーシアムは {expected} です。"
        "rengo {wanted} を導入してください。"
    )
    exit_code = 3


class TooManyRequests(RengoError):
    """{id} has sent more requests than a member may. Wait some minutes."""

    ja = "{id} からの要求が上限回数を超えました。数分待ってからやり直してください。"
    exit_code = 9
