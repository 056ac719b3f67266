"""The join token: what a coordinator hands to one member, once, so that it can join.

    rengo1.<url of the registry>.<SHA-256 of the consortium's root key>.<secret>

It is read from a file or asked for, never given on a command line, because command lines are recorded. The fingerprint
is checked before the secret leaves the member's machine.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from federation.errors import RengoError

_PREFIX = "rengo1"
SECRET_BYTES = 32


class TokenInvalid(RengoError):
    """This is not a join token: {detail}. Ask the coordinator for a new one."""

    ja = "招待コードではありません: {detail_ja}。事務局に新しいものを依頼してください。"
    exit_code = 4


@dataclass(frozen=True)
class JoinToken:
    """Where to join, whose root to trust, and the secret that lets one member in."""

    url: str
    root: bytes
    secret: str = field(repr=False)

    @classmethod
    def create(cls, url: str, root_public_key: bytes) -> "JoinToken":
        """A new token with a secret from the operating system's randomness."""
        secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        return cls(url, fingerprint(root_public_key), secret)

    @classmethod
    def parse(cls, text: str) -> "JoinToken":
        """The token in `text`, white space around it ignored. Raises TokenInvalid, without repeating the text."""
        parts = text.strip().split(".", 1)
        if len(parts) != 2 or parts[0] != _PREFIX or parts[1].count(".") < 2:
            raise TokenInvalid(detail="it does not begin with rengo1", detail_ja="rengo1 で始まっていません")
        url, root, secret = parts[1].rsplit(".", 2)
        if not _is_https(url):
            raise TokenInvalid(detail="its address is not https", detail_ja="アドレスが https ではありません")
        if not re.fullmatch("[0-9a-f]{64}", root) or not re.fullmatch("[A-Za-z0-9_-]{43}", secret):
            raise TokenInvalid(detail="it is not whole", detail_ja="途中で切れています")
        return cls(url, bytes.fromhex(root), secret)

    def text(self) -> str:
        """As it is handed over. Whoever has it can join in that member's name until it is used or expires."""
        return f"{_PREFIX}.{self.url}.{self.root.hex()}.{self.secret}"

    def secret_digest(self) -> bytes:
        """What the registry keeps of the secret."""
        return secret_digest(self.secret)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False


def secret_digest(secret: str) -> bytes:
    """SHA-256; the secret is 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(b"rengo join secret v1\0" + secret.encode()).digest()


def fingerprint(public_key: bytes) -> bytes:
    """SHA-256 of a raw public key: what people compare out of band."""
    return hashlib.sha256(public_key).digest()


def spoken(digest: bytes) -> str:
    """A fingerprint for a person to read out: 64 hexadecimal digits in groups of four."""
    text = digest.hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))
