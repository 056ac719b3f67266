"""The folder of local sockets: whose it is, and who takes it away after a kill."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from federation.socket_folder import SocketFolder

HOLDING = """
import sys, time
from federation.socket_folder import SocketFolder
folder = SocketFolder()
(folder.path / "socket.key").write_bytes(bytes(32))
print(folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /tmp, in this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(temporary: Path) -> None:
    (temporary / "rengo-bundle").mkdir()
    (temporary / "rengo-sockets-file").write_text("no folder")
    (temporary / "rengo-sockets-link").symlink_to(temporary / "rengo-bundle")
    before = set(temporary.iterdir())
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert left.stat().st_mode & 0o777 == 0o700
        mine = SocketFolder()
        assert left.exists()  # its process lives
        process.kill()
    assert (left / "socket.key").exists()
    second = SocketFolder()
    assert not left.exists()
    assert mine.path.exists()
    mine.remove()
    second.remove()
    assert set(temporary.iterdir()) == before
