"""The public key of a member's node, as the registry keeps it."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from federation.wire import Malformed


def canonical(text: str) -> str:
    """A node's public key in the one form that is stored and given to Flower, which takes no other curve. Raises
    Malformed: what is no key would stop the carrier for everyone."""
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(detail="the node's key is no OpenSSH public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed(detail="the node's key is not on an elliptic curve of NIST's")
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
