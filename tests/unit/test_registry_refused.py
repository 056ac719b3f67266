"""A refusal of the registry is one message with one code at the site: the registry's own."""

import pytest

from aggregator.registry_refusals import KeyTaken, ProtocolVersionDiffers, TokenRefused, UnknownToRegistry
from clients.registry_refused import RegistryRefused
from federation.errors import RengoError, SignatureInvalid
from federation.secagg.messages import Refused

ERRORS = [
    TokenRefused(detail="it was used already", detail_ja="既に使用されています"),
    KeyTaken(),
    UnknownToRegistry(id="toyo"),
    ProtocolVersionDiffers(actual=1, expected=2, rengo="0.0.9", wanted="0.1.0"),
    SignatureInvalid(what="ask"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_has_code_and_exit_code_of_what_the_registry_raised(error: RengoError) -> None:
    refused = RegistryRefused(Refused("join", error.code, str(error)))
    assert (refused.code, refused.exit_code) == (error.code, error.exit_code)
    assert str(refused) == f"The coordinator answers: {error}"
    assert f"。（{error}）" in refused.text("ja")


def test_that_is_not_known_here_is_told_as_it_came_and_escaped() -> None:
    refused = RegistryRefused(Refused("ask", "disk-full\x1b[2J", "no\x1b[2J\nroom"))
    assert (refused.code, refused.exit_code) == ("registry-refused", 9)
    assert str(refused) == "The coordinator answers: no\\x1b[2J\\nroom"
