"""`novate archive`: old journal segments out of the data folder, into the archive.

It is a process of its own and not a task of the server: copying gigabytes is nothing that an
exchange should do beside its orders, and a timer of the machine can start it. It needs nothing of
a server that runs meanwhile, for closed segments never change, and whoever reads one looks into the
archive when it has left the folder. Two of them at once are refused.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from novate import logs
from novate.config import NO_LEDGER, Settings
from novate.journal.archive import Archive
from novate.journal.disk import Disk, RealDisk
from novate.journal.layout import SEGMENT_SUFFIX
from novate.journal.reading import JOURNAL_FOLDER
from novate.journal.snapshots import SnapshotStore
from novate.ledger_witness import ledger_seq, shown
from novate.lock import FolderLock
from novate.model.errors import ConfigurationError, SnapshotCorrupt

LOCK_OF_ARCHIVING: Final = "archive.lock"

log: Final = logs.get("archive")


def run(settings: Settings, keep: int = 0) -> int:
    """Move what nobody needs in the data folder any more, and print what it was.

    Args:
        settings: Name the data folder, its archive and its ledger.
        keep: How many closed segments stay in the data folder in any case.

    Raises:
        ConfigurationError: They name no archive, or one that is the journal itself.
        DataFolderLocked: Another process archives this folder, or into this archive.
        LedgerAway, LedgerFault: There is a ledger, and it can't be asked how far it is.
        JournalCorrupt: A segment is damaged, or the archive is another journal's; nothing that is
            not whole in the archive leaves the data folder.
    """
    archive = settings.archive_dir
    if archive is None:
        raise ConfigurationError(
            "archive_dir: expected the folder of the archive (--archive-dir), found none"
        )
    if not settings.data_dir.is_dir():
        raise ConfigurationError(
            "data_dir: expected a folder that an exchange has served from, found none at "
            f"{settings.data_dir}"
        )
    disk = RealDisk()
    with contextlib.ExitStack() as held:
        for folder, what in ((settings.data_dir, "data folder"), (archive, "archive")):
            held.callback(_locked(folder, what).close)
        _require_place_of_its_own(settings.data_dir, archive)
        before_seq, why = wanted_from(settings, disk)
        moved: list[tuple[int, int]] = []
        for first_seq, last_seq in Archive(
            settings.data_dir, archive, disk, settings.partition
        ).move(before_seq, keep):
            moved.append((first_seq, last_seq))
            log.info("archived", first_seq=first_seq, last_seq=last_seq)
    span = f", seq {moved[0][0]} to {moved[-1][1]}" if moved else ""
    print(f"{len(moved)} segments moved to {archive}{span}")
    print(f"what is needed in {settings.data_dir} begins with seq {before_seq}: {why}")
    return 0


def _require_place_of_its_own(data_dir: Path, archive: Path) -> None:
    """Refuse an archive by which a segment would be compared with itself and then removed."""
    journal = data_dir / JOURNAL_FOLDER
    if journal.is_dir() and archive.samefile(journal):
        raise ConfigurationError(f"archive_dir: {archive} is the folder {journal} by another name")
    for path in archive.glob("*" + SEGMENT_SUFFIX):
        if path.is_symlink():
            raise ConfigurationError(f"archive_dir: expected files in {archive}, found link {path}")


def _locked(folder: Path, what: str) -> FolderLock:
    return FolderLock(
        folder,
        LOCK_OF_ARCHIVING,
        use=f"as the {what}",
        doing=f"archives with this {what}; wait for its end",
    )


def wanted_from(settings: Settings, disk: Disk) -> tuple[int, str]:
    """The first seq that the data folder itself has to have, and why, in words.

    That is the last command of the oldest whole snapshot, so that every start finds in the folder
    what it reads; and the last one that the ledger has, where one is kept.
    """
    oldest = oldest_whole_snapshot(settings, disk)
    found = f"the oldest whole snapshot is of seq {oldest}" if oldest else "no whole snapshot"
    if settings.ledger_url == NO_LEDGER:
        return oldest, found
    seq = ledger_seq(settings, disk)
    return min(oldest, seq), f"{found}, {shown(settings)} has seq {seq}"


def oldest_whole_snapshot(settings: Settings, disk: Disk) -> int:
    """Seq of the oldest snapshot that can be believed; 0 where there is none."""
    store = SnapshotStore(settings.data_dir, disk, partition=settings.partition)
    for seq in reversed(store.seqs()):
        try:
            return store.load(seq).seq
        except (SnapshotCorrupt, OSError) as fault:
            log.warning("snapshot_passed_over", why=str(fault))
    return 0
