"""`rengo member …`: the command line of a member's IT team. The verbs are in clients/commands."""

from collections.abc import Mapping

from clients.commands import adapters, membership, plans, programs, records, running
from federation.commands import dispatch
from federation.errors import Language

_VERBS = membership.VERBS | adapters.VERBS | plans.VERBS | records.VERBS | running.VERBS | programs.VERBS
_ORDER = (
    "join doctor review approve refuse roster data preview start status stop close personalise journal leave "
    "serve node service"
)
"""As a person meets them."""


def main(argv: list[str], language: Language) -> int:
    """`rengo member`."""
    words: Mapping[Language, str] = {
        "en": "A member's site: documents stay here; only masked updates of approved plans leave.",
        "ja": "参加拠点: 文書は社外に出ません。承認した計画の、秘匿された更新だけが送られます。",
    }
    return dispatch("member", words, [_VERBS[name] for name in _ORDER.split()], argv, language)
