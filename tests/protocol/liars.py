"""Parties that lie with their real keys: statements altered and signed again, members that rewrite their answers."""

from collections.abc import Callable
from dataclasses import replace

from federation.identity import Identity
from federation.secagg import messages
from federation.wire import Body, Signed, read_body, read_frame, write_frame
from tests.protocol.consortium import Consortium
from tests.protocol.play import LIMITS

BODIES: dict[str, type[Body]] = {
    kind.kind: kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Body) and kind is not Body
}


def altered(signer: Identity, statement: Signed, blob: bytes | None = None, **fields: object) -> Signed:
    """The statement with some fields (or the blob) changed, signed again by `signer` in the same context."""
    header = statement.header
    body = replace(read_body(BODIES[header.kind], header.body), **fields)  # type: ignore[type-var]  # each Body is a dataclass
    return signer.sign(body, header.digest, header.recipient, bytes(statement.blob) if blob is None else blob)


class Liar:
    """A member whose answers pass through `rewrite` before they leave; None drops one."""

    def __init__(self, consortium: Consortium, name: str, rewrite: Callable[[Signed], Signed | None]) -> None:
        self._member, self._rewrite = consortium.members[name], rewrite
        consortium.members[name] = self  # type: ignore[assignment]  # answers as a Member does

    def handle(self, request: bytes) -> bytes:
        answers = [self._rewrite(answer) for answer in read_frame(self._member.handle(request), LIMITS)]
        return write_frame([answer for answer in answers if answer is not None])
