"""backup, restore: the coordinator's folder saved while it runs, and put back."""

import argparse
from pathlib import Path

from aggregator import backup as backups
from aggregator.home import HOME, Home
from federation.commands import Printer, Result, Verb, Words, option
from federation.output import disk_errors


def backup(options: argparse.Namespace, printer: Printer) -> Result:
    """Save everything but private keys, and these too when asked to."""
    folder = options.folder.absolute()
    with disk_errors(folder.parent):
        contents = backups.save(Home(options.home), folder, with_keys=options.with_keys)
    return Result(_facts(folder, contents), _text(folder, contents)[printer.language])


def restore(options: argparse.Namespace, printer: Printer) -> Result:
    """A new home from a backup."""
    home = Home(options.home.absolute())
    with disk_errors(home.path.parent):
        contents = backups.restore(options.folder, home)
    missing = ", ".join(f"keys/{name}" for name in backups.PRIVATE_KEYS)
    without: Words = {
        "en": f"Put the private keys in place before you start it: {missing}\n",
        "ja": f"開始する前に秘密鍵を戻してください: {missing}\n",
    }
    after: Words = {
        "en": f"What came after {contents.made} is not in it: publish newer signed rosters again, revoke again, and "
        "invite anew. Then start the same plan: it goes on unless members are further.",
        "ja": f"{contents.made} より後の変更は含まれません。その後の署名済み名簿の公開・失効・招待は"
        "やり直してください。同じ計画を開始すると、参加拠点が先に進んでいなければ続行します。",
    }
    language = printer.language
    text = _text(home.path, contents)[language] + "\n" + ("" if contents.keys else without[language]) + after[language]
    return Result(_facts(home.path, contents), text)


def _facts(folder: Path, contents: backups.Contents) -> dict[str, object]:
    return {"folder": str(folder), "keys": contents.keys, "jobs": contents.jobs, "made": contents.made}


def _text(folder: Path, contents: backups.Contents) -> Words:
    """What is in it."""
    named = [f"{name} ({round})" for name, round in contents.jobs.items()]
    jobs = ", ".join(named) or "-"
    count, keys = len(contents.files), contents.keys
    return {
        "en": f"{folder}: settings, certificates, registry, {count} files; jobs (rounds): {jobs}; private keys: "
        f"{'included' if keys else 'not included'}; the root's key: never",
        "ja": f"{folder}: 設定・証明書・参加受付・全 {count} ファイル。ジョブ（学習回）: {jobs}。"
        f"秘密鍵: {'あり' if keys else 'なし'}。ルート鍵は含めません",
    }


VERBS = (
    Verb(
        "backup",
        backup,
        {"en": "save its folder, also while it runs", "ja": "フォルダーのバックアップ（動作中も可）"},
        "rengo coordinator backup /mnt/backup/coordinator-1",
        (
            HOME,
            option("folder", type=Path, en="a new folder", ja="新しいフォルダー"),
            option("--with-keys", action="store_true", en="private keys too (0600)", ja="秘密鍵も含める（0600）"),
        ),
    ),
    Verb(
        "restore",
        restore,
        {"en": "make a new home from a backup", "ja": "バックアップから新しいフォルダーに復元"},
        "rengo coordinator restore /mnt/backup/coordinator-1 --home /srv/coordinator",
        (HOME, option("folder", type=Path, en="the backup", ja="バックアップのフォルダー")),
    ),
)
