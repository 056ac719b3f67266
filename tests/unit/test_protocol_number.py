"""`PROTOCOL` is the number of everything that programs of two versions have to have in common (docs/adr/0012)."""

import hashlib
import typing
from pathlib import Path

from clients.relay.node import APP
from federation import registry
from federation.plan import Plan
from federation.secagg import contexts, messages
from federation.settings import keys
from federation.wire import VERSION, Body

SPOKEN = {1: "00d6235952e818b5ddb3766bda3f2e02d65ebd4d6bde540ebdf3d801e13e1c97"}
"""PROTOCOL -> SHA-256 of what is spoken under it. Until 0.1.0 is released, 1 is what stands in the tree."""


def spoken() -> str:
    """Frames, suite, every message and its fields, a plan's settings, and the relay app."""
    bodies = [
        f"{kind.kind}: {typing.get_type_hints(kind, include_extras=True)}"
        for module in (messages, registry)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Body) and "kind" in vars(kind)
    ]
    app = [path.read_text(encoding="utf-8") for path in sorted(Path(APP).rglob("*")) if path.suffix in (".py", ".toml")]
    parts = [str(VERSION), contexts.SUITE, *sorted(bodies), *keys(Plan), *app]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def test_what_is_spoken_has_not_changed_under_its_number() -> None:
    """If this fails: raise PROTOCOL if a version with this number was released, and write the new hash down."""
    assert spoken() == SPOKEN[registry.PROTOCOL]
