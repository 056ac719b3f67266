"""`rengo member join`: from a join token to a site's folder. Keys are made here and never leave."""

import contextlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from clients.home import DEMO, Home, MemberExists, Settings, write
from clients.journal import Departure, Journal
from clients.registry_client import RegistryClient, introduce
from clients.state_folder import require_usable
from federation.identity import Identity
from federation.output import all_or_nothing
from federation.token import JoinToken

_JOINING = "joining"
"""The id of whoever has none yet. An invitation's id cannot be looked up before it is spent."""


def join(home: Home, token: JoinToken, data: Path, model: Path | None) -> tuple[Settings, Identity]:
    """Verify the consortium, make keys, spend the token, write the folder; on any error nothing is left behind, but for
    the journal of a site that was a member before.

    Raises MemberExists, what `require_usable` raises, FingerprintDiffers, RegistryRefused, RegistryUnreachable,
    CertificateUntrusted.
    """
    if home.file("member.toml").exists():
        raise MemberExists(path=home.path)
    require_usable(home.path)
    calls: list[Departure] = []
    consortium = introduce(token, calls.append)
    identity = Identity.create(_JOINING)
    node = ec.generate_private_key(ec.SECP384R1())
    node_key = node.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with all_or_nothing(home.path), contextlib.closing(Journal(home.file("journal.sqlite"))) as journal:
        for call in calls:
            journal.record(call)
        # On disk before they are announced: a token spent for keys that are lost would need another.
        write(home.file("keys/member.key"), identity.private_bytes())
        write(home.file("keys/node.key"), node.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        address = token.url, consortium.root, consortium.roster.coordinator_key, consortium.authority
        id = RegistryClient(*address, journal.record).join(token, identity, node_key)
        settings = Settings(id, token.url, str(data.absolute()), str(model.absolute()) if model else DEMO)
        home.create(settings, consortium.root, consortium.authority)
    return settings, Identity.from_private_bytes(id, identity.private_bytes())
