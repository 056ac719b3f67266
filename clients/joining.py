"""`rengo member join`: from a join token to a site's folder. Keys are made here and never leave."""

import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from clients.home import DEMO, Home, MemberExists, Settings, write
from clients.registry_client import RegistryClient, introduce
from federation.identity import Identity
from federation.token import JoinToken

_JOINING = "joining"
"""The id of whoever has none yet. An invitation's id cannot be looked up before it is spent."""


def join(home: Home, token: JoinToken, data: Path, model: Path | None) -> tuple[Settings, Identity]:
    """Verify the consortium, make keys, spend the token, write the folder; on any error nothing is left behind.

    Raises MemberExists, FingerprintDiffers, RegistryRefused, RegistryUnreachable, CertificateUntrusted.
    """
    if home.file("member.toml").exists():
        raise MemberExists(path=home.path)
    consortium = introduce(token)
    registry = RegistryClient(token.url, consortium.root, consortium.roster.coordinator_key, consortium.authority)
    identity = Identity.create(_JOINING)
    node = ec.generate_private_key(ec.SECP384R1())
    node_key = node.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    existed = home.path.exists()
    try:
        # On disk before they are announced: a token spent for keys that are lost would need another.
        write(home.file("keys/member.key"), identity.private_bytes())
        write(home.file("keys/node.key"), node.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        id = registry.join(token, identity, node_key)
        settings = Settings(id, token.url, str(data.absolute()), str(model.absolute()) if model else DEMO)
        home.create(settings, consortium.root, consortium.authority)
    except BaseException:
        shutil.rmtree(home.path if not existed else home.file("keys"), ignore_errors=True)
        raise
    return settings, Identity.from_private_bytes(id, identity.private_bytes())
