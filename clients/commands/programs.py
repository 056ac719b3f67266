"""`rengo member serve | node | service`: the member as separate programs, for systemd and containers.

`rengo member start` runs everything as one user. Apart, each program has no more than it needs: the service has keys,
documents and model but no network; the node has the network and its own key; the app that travels has neither.
"""

import argparse
import secrets
import sys
from pathlib import Path

from clients import running, systemd
from clients.commands.site import HOME
from clients.home import Home, NoMemberHere, write
from clients.log_words import JAPANESE
from clients.node_process import Node, door
from federation import log
from federation.commands import Printer, Result, Verb, option

NODE_PORT = 9094
"""Flower's own default for a node's local interface."""

_RUN = option(
    "--run-folder",
    type=Path,
    required=True,
    en="folder for the local socket, 0750, its group is the relay's",
    ja="ローカルソケットのフォルダー（0750、グループは中継用）",
)

_PORT = option(
    "--port",
    type=int,
    default=NODE_PORT,
    en=f"the node's own port on 127.0.0.1 (default {NODE_PORT})",
    ja=f"ノードのローカルポート（127.0.0.1、既定 {NODE_PORT}）",
)


def serve(options: argparse.Namespace, printer: Printer) -> None:
    """The service alone: documents, model and keys behind a local socket, no network."""
    log.begin(printer.language, JAPANESE, "%(levelname)s %(message)s")
    running.serve(Home(options.home.absolute()), options.run_folder.absolute(), printer)


def node(options: argparse.Namespace, printer: Printer) -> None:
    """Become the Flower node. Its app runs elsewhere, in a flower-superexec with the key that is made here."""
    files, state = options.files.absolute(), options.state.absolute()
    if missing := [name for name in ("carrier", "ca.pem", "node.key") if not (files / name).is_file()]:
        raise NoMemberHere(path=files / missing[0])
    superexec_key = state / "superexec.key"
    if not superexec_key.exists():
        write(superexec_key, secrets.token_bytes(32))
    carrier = (files / "carrier").read_text(encoding="ascii").strip()
    certificates = files / "ca.pem", files / "node.key"
    Node(carrier, *certificates, *door(options.run_folder.absolute()), state, options.port, superexec_key).become()


def service(options: argparse.Namespace, printer: Printer) -> Result:
    """Print unit files, or write them to a folder; installing them is the site's own act."""
    home = Home(options.home.absolute())
    settings = home.settings()
    units = systemd.units(systemd.Site(settings, home.path, options.programs.absolute(), options.port))
    if options.out is None:
        text = "\n".join(f"# ===== {systemd.FOLDER}/{name}\n{unit}" for name, unit in units.items())
        return Result({"units": units}, text.rstrip())
    options.out.mkdir(parents=True, exist_ok=True)
    files = [options.out / name for name in units]
    for file in files:
        file.write_text(units[file.name], encoding="utf-8")
    return Result({"files": [str(file) for file in files]}, "\n".join(map(str, files)))


VERBS = {
    "serve": Verb(
        "serve",
        serve,
        {
            "en": "the service alone, without network (see service)",
            "ja": "サービスのみを起動（通信なし、service 参照）",
        },
        "rengo member serve --home /var/lib/rengo --run-folder /run/rengo",
        (HOME, _RUN),
    ),
    "node": Verb(
        "node",
        node,
        {"en": "the Flower node alone (see service)", "ja": "Flower ノードのみを起動（service 参照）"},
        "rengo member node --files FOLDER --run-folder /run/rengo --state /var/lib/rengo-relay",
        (
            option(
                "--files",
                type=Path,
                required=True,
                en="folder with carrier, ca.pem and node.key",
                ja="carrier・ca.pem・node.key のあるフォルダー",
            ),
            _RUN,
            option("--state", type=Path, required=True, en="the node's own folder", ja="ノード用のフォルダー"),
            _PORT,
        ),
    ),
    "service": Verb(
        "service",
        service,
        {"en": "print systemd units, for you to install", "ja": "systemd のユニットを出力（導入は各拠点で実施）"},
        "rengo member service print systemd --out units",
        (
            option("action", choices=["print"], en="print", ja="print（出力）"),
            option("kind", choices=["systemd"], en="systemd", ja="systemd"),
            HOME,
            option("--out", type=Path, en="write files to this folder instead", ja="画面でなくフォルダーに保存"),
            option(
                "--programs",
                type=Path,
                default=Path(sys.executable).parent,
                en="folder with rengo and Flower's programs (default: this one's)",
                ja="rengo と Flower のプログラムのフォルダー（既定: 実行中のもの）",
            ),
            _PORT,
        ),
    ),
}
