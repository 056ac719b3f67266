"""The coordinator's folder: its settings, keys and durable state. Everything in it is for its owner alone (0700/0600).

coordinator.toml    names and addresses; written by `init`, a person may edit it
keys/               coordinator.key (signs messages), tls.key and authority.key (servers)
root.key            the consortium's root, until it is moved to another machine
registry.sqlite     invitations, members, rosters, plans, consents
jobs/NAME/          one job: plan.yaml, rounds, the released adapter; `paused` while it is paused
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from federation import settings
from federation.arguments import folder
from federation.commands import option
from federation.errors import Fault, RengoError, SettingsFileInvalid
from federation.identity import COORDINATOR, KEY_SIZE, Identity
from federation.output import disk_errors, require_folder

HOME = option(
    "--home",
    type=folder,
    default=folder(os.environ.get("RENGO_COORDINATOR") or "~/.rengo/coordinator"),
    en="the coordinator's folder (default: $RENGO_COORDINATOR, or ~/.rengo/coordinator)",
    ja="事務局のフォルダー（既定: $RENGO_COORDINATOR または ~/.rengo/coordinator）",
)


class NoCoordinatorHere(RengoError):
    """There is no coordinator in {path}. Make one with `rengo coordinator init NAME --url https://HOST:PORT`, or say
    where it is with --home."""

    ja = (
        "{path} に事務局がありません。"
        "`rengo coordinator init 名称 --url https://ホスト:ポート` で作成するか、--home で指定してください。"
    )
    exit_code = 9


class CoordinatorExists(RengoError):
    """There already is a coordinator in {path}. Nothing was changed."""

    ja = "{path} には既に事務局があります。何も変更していません。"
    exit_code = 2


class FileInTheWay(RengoError):
    """{path} is there already, and nothing is written over it. Nothing was changed; choose another name."""

    ja = "{path} は既にあります（上書きしません）。何も変更していません。別の名前を指定してください。"
    exit_code = 2


class KeyMissing(RengoError):
    """{path} is not there, or not a key. {hint}"""

    ja = "{path} がないか、鍵ではありません。{hint_ja}"
    exit_code = 4


class MovedToPlan(Fault):
    """`{where}` stands in the plan now, which members approve: delete this line. `rengo coordinator plan
    deadlines.training=SECONDS deadlines.answer=SECONDS` sets it."""

    ja = (
        "`{where}` は計画（参加拠点が承認）に移りました。この行を削除してください。設定するには:"
        " `rengo coordinator plan deadlines.training=秒 deadlines.answer=秒`"
    )


@dataclass(frozen=True)
class Settings:
    """coordinator.toml. `url`: where members reach the registry. `carrier`: host:port where they reach Flower.
    `listen`: the address that both listen on. `wait`: seconds to wait for members that are missing, once enough for a
    round are there."""

    consortium: str
    url: str
    carrier: str
    listen: str
    wait: int

    @property
    def registry_port(self) -> int:
        """The port in `url`."""
        return urlsplit(self.url).port or 443

    @property
    def carrier_port(self) -> int:
        """The port in `carrier`."""
        return int(self.carrier.rpartition(":")[2])


_TOML = """# The coordinator of one consortium. Stop it before you edit this, and start it again.
consortium = {consortium}      # part of every signature; cannot be changed
url        = {url}             # where members reach the registry; stands in every join token
carrier    = {carrier}         # where members' Flower nodes connect
listen     = {listen}          # the address that both listen on; 0.0.0.0 for every interface
wait       = {wait}            # seconds to wait for the last members, once enough for a round are there
"""


@dataclass(frozen=True)
class Home:
    """Paths and what is read from them."""

    path: Path

    @property
    def registry(self) -> Path:
        """The registry's database."""
        return self.path / "registry.sqlite"

    @property
    def root_key(self) -> Path:
        """Where `init` leaves the root's key."""
        return self.path / "root.key"

    def job(self, name: str) -> Path:
        """One job's folder."""
        return self.path / "jobs" / name

    def jobs(self) -> list[Path]:
        """The folders of all jobs that have begun."""
        return sorted(path.parent for path in self.path.glob("jobs/*/coordinator.sqlite"))

    def pause_mark(self, job: str) -> Path:
        """A file that is there while the job is paused, whether or not a coordinator runs."""
        return self.job(job) / "paused"

    def key(self, name: str) -> Path:
        """One key or certificate file."""
        return self.path / "keys" / name

    def create(self, chosen: Settings) -> None:
        """Write settings into a new folder. Raises CoordinatorExists or OutputNotWritable."""
        if (self.path / "coordinator.toml").exists():
            raise CoordinatorExists(path=self.path)
        try:
            (self.path / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileNotFoundError:  # its parent is there and takes no folder, as /proc
            require_folder(self.path)
        values = {name: _toml(value) for name, value in vars(chosen).items()}
        write_private(self.path / "coordinator.toml", _TOML.format(**values).encode())

    def settings(self) -> Settings:
        """What coordinator.toml says. Raises NoCoordinatorHere, SettingsFileInvalid or ConfigInvalid."""
        path = self.path / "coordinator.toml"
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NoCoordinatorHere(path=self.path) from error
        except OSError as error:
            raise SettingsFileInvalid(path=path, detail=error.strerror, detail_ja=error.strerror) from error
        values = settings.parse_toml(path, data)
        moved: list[Fault] = [MovedToPlan(where="deadline")] if values.pop("deadline", None) is not None else []
        return settings.read(Settings, values, lambda _: moved)

    def identity(self) -> Identity:
        """The coordinator's signing key. Raises KeyMissing."""
        hint = "Restore it, or set up a new consortium.", "復元するか、新しいコンソーシアムを設定してください。"
        return read_identity(self.key("coordinator.key"), COORDINATOR, *hint)


def read_identity(path: Path, id: str, hint: str, hint_ja: str) -> Identity:
    """The private key in `path`. Raises KeyMissing."""
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != KEY_SIZE:
        raise KeyMissing(path=path, hint=hint, hint_ja=hint_ja)
    return Identity.from_private_bytes(id, data)


def require_free(path: Path | None) -> None:
    """Raises FileInTheWay when a file that is to be made is there: before anything else is done, and not after."""
    if path is not None and path.exists():
        raise FileInTheWay(path=path)


def write_private(path: Path, data: bytes) -> None:
    """A new file with mode 0600, on disk when this returns, or not there; never over another one. Raises
    OutputNotWritable."""
    with disk_errors(path):
        require_folder(path.parent)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def write_whole(path: Path, data: bytes) -> None:
    """A file with mode 0600, whole or as it was before."""
    temporary = path.with_name(f"{path.name}.part")
    temporary.unlink(missing_ok=True)
    write_private(temporary, data)
    os.replace(temporary, path)


def _toml(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
