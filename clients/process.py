"""One member process a home, and what it does to itself before secrets are made in it."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from federation.errors import RengoError
from federation.process_lock import locked


class MemberRunning(RengoError):
    """A member already runs on {path}. `rengo member status` shows it."""

    ja = "{path} では既に参加拠点が動作中です。`rengo member status` で確認できます。"
    exit_code = 2


def forbid_core_dumps() -> None:
    """A crash must not write round secrets to a disk. Swap and hibernation are the site's to turn off."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """One member a home, and no core dumps of it. Raises MemberRunning."""
    forbid_core_dumps()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(home))
        except BlockingIOError as error:
            raise MemberRunning(path=home) from error
        yield
