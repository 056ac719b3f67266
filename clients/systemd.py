"""systemd units for a member that runs as separate programs. Why each directive is there: docs/deploy/systemd.md.

rengo-member.service      user rengo: keys, documents, model; no network at all
rengo-node.service        user rengo-relay: Flower's node, the one that connects outward
rengo-app.service         a user of its own for as long as it runs: the app that travels; it sees one port, the node's
rengo-app.socket, rengo-app-door.service    that port, led into the app's own network namespace
"""

from dataclasses import dataclass
from pathlib import Path

from clients.home import DEMO, Settings
from federation.errors import RengoError

FOLDER = "/etc/systemd/system"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # by ProtectHome and PrivateTmp
_QUIET = "FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1"

# What every unit has. `doctor` and `systemd-analyze security` may be asked about it.
_HARDENING = """UMask=0077
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""


class PathNotForUnits(RengoError):
    """The units cannot use {path}: {detail}. Choose another folder, as /srv, /opt or /var/lib."""

    ja = "{path} はユニットでは使えません: {detail_ja}。/srv・/opt・/var/lib など、別のフォルダーにしてください。"
    exit_code = 2


@dataclass(frozen=True)
class Site:
    """What the units depend on. `programs`: the folder with `rengo` and Flower's programs; `port`: the node's own local
    interface."""

    settings: Settings
    home: Path
    programs: Path
    port: int


def units(site: Site) -> dict[str, str]:
    """File name -> unit. Raises PathNotForUnits."""
    made = {
        "rengo-member.service": _member(site),
        "rengo-node.service": _node(site),
        "rengo-app.service": _app(site),
        "rengo-app.socket": _app_socket(site),
        "rengo-app-door.service": _app_door(site),
    }
    head = (
        "# Printed by `rengo member service print systemd`. To change it, use `systemctl edit`; reasons: docs/deploy.\n"
    )
    return {name: head + unit for name, unit in made.items()}


def quoted(path: Path) -> str:
    """A path as one word of a unit file, spaces and all. Raises PathNotForUnits."""
    text = str(path)
    if not text.isprintable() or set(text) & set("\"'\\$:"):
        detail = "it has a quote, a backslash, $, : or a control character in it"
        raise PathNotForUnits(path=ascii(text), detail=detail, detail_ja="引用符・\\・$・:・制御文字を含んでいます")
    if hidden := next((top for top in _HIDDEN if path.is_relative_to(top)), None):
        raise PathNotForUnits(path=text, detail=f"they hide {hidden}", detail_ja=f"{hidden} はユニットから見えません")
    return '"' + text.replace("%", "%%") + '"'


def _hidden(*paths: Path) -> str:
    """For InaccessiblePaths: also where one of them is not there."""
    return " ".join(f"-{quoted(path)}" for path in paths)


def _member(site: Site) -> str:
    model = [] if site.settings.model == DEMO else [Path(site.settings.model)]
    # A share that is away when the machine starts must neither keep the unit from starting for good, as a failed mount
    # does, nor end it: a job that has begun needs no documents. Without them, the member ends and is started again.
    read = " ".join([*(f"-{quoted(folder)}" for folder in site.settings.folders), *map(quoted, model)])
    needed = " ".join(map(quoted, [site.home, *model]))
    home, program = quoted(site.home), quoted(site.programs / "rengo")
    return f"""[Unit]
Description=Rengo member {site.settings.id}: keys, documents and base model, without network
RequiresMountsFor={needed}
After=remote-fs.target

[Service]
Type=exec
User=rengo
Group=rengo-relay
ExecStart={program} member serve --home {home} --run-folder /run/rengo
RuntimeDirectory=rengo
RuntimeDirectoryMode=0750
ReadWritePaths={home}
ReadOnlyPaths={read}
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
Restart=on-failure
RestartSec=60
RestartPreventExitStatus=2 3 4 7 9 10 11
TimeoutStopSec=120
{_HARDENING}
[Install]
WantedBy=multi-user.target
"""


def _node(site: Site) -> str:
    program, home = quoted(site.programs / "rengo"), str(site.home).replace("%", "%%")
    data = _hidden(*site.settings.folders)
    return f"""[Unit]
Description=Rengo node of {site.settings.id}: connects outward to the coordinator
Wants=network-online.target
After=network-online.target rengo-member.service

[Service]
Type=exec
User=rengo-relay
Group=rengo-relay
LoadCredential=node.key:{home}/keys/node.key
LoadCredential=ca.pem:{home}/ca.pem
LoadCredential=carrier:{home}/carrier
EnvironmentFile=-/etc/rengo/proxy.env
ExecStart={program} member node --files %d --run-folder /run/rengo --state %S/rengo-relay --port {site.port}
StateDirectory=rengo-relay
StateDirectoryMode=0700
InaccessiblePaths={data}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
MemoryDenyWriteExecute=yes
ProcSubset=pid
Restart=always
RestartSec=60
TimeoutStopSec=30
{_HARDENING}
[Install]
WantedBy=multi-user.target
"""


def _app(site: Site) -> str:
    program, path = quoted(site.programs / "flower-superexec"), str(site.programs).replace("%", "%%")
    return f"""[Unit]
Description=Rengo relay app of {site.settings.id}: what the coordinator sends, if it is the app of this wheel
Requires=rengo-app.socket
After=rengo-app.socket rengo-node.service
JoinsNamespaceOf=rengo-app.socket

[Service]
Type=exec
DynamicUser=yes
SupplementaryGroups=rengo-relay
LoadCredential=superexec.key:%S/rengo-relay/superexec.key
RuntimeDirectory=rengo-app
Environment={_QUIET}
Environment=FLWR_HOME=%t/rengo-app HOME=%t/rengo-app TMPDIR=%t/rengo-app
Environment="PATH={path}:/usr/bin:/bin"
ExecStart={program} --insecure --runtime-api-address 127.0.0.1:{site.port} \\
    --superexec-auth-secret-file %d/superexec.key
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX AF_INET
IPAddressDeny=any
IPAddressAllow=localhost
InaccessiblePaths={_hidden(site.home, *site.settings.folders)}
MemoryDenyWriteExecute=yes
ProcSubset=pid
TasksMax=256
Restart=always
RestartSec=10
TimeoutStopSec=30
{_HARDENING}
[Install]
WantedBy=multi-user.target
"""


def _app_socket(site: Site) -> str:
    return f"""[Unit]
Description=The node's port, inside of the network namespace of rengo-app.service

[Socket]
ListenStream=127.0.0.1:{site.port}
PrivateNetwork=yes
Service=rengo-app-door.service
"""


def _app_door(site: Site) -> str:
    return f"""[Unit]
Description=Leads the relay app's connections to the node, and nowhere else
Requires=rengo-app.socket
After=rengo-app.socket

[Service]
DynamicUser=yes
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:{site.port}
RestrictAddressFamilies=AF_UNIX AF_INET
IPAddressDeny=any
IPAddressAllow=localhost
MemoryDenyWriteExecute=yes
ProcSubset=pid
{_HARDENING}"""
