"""The next segment, made ready while the present one fills, so that a roll costs no latency.

Writing zeros ahead is what makes appends cheap: an fdatasync over blocks that are already written
has no change of the file system's own tables to wait for.
"""

from __future__ import annotations

from pathlib import Path

from novate.journal.disk import Disk, DiskFile, write_all
from novate.journal.reading import JOURNAL_FOLDER, ZEROS

PREPARED_NAME = "next.prepared"


class NextSegment:
    """A file of zeros without a name of its own yet.

    Args:
        folder: The data folder.
        disk: Where it is.
        length: Length of a segment, in bytes.
    """

    def __init__(self, folder: Path, disk: Disk, length: int) -> None:
        self.path = folder / JOURNAL_FOLDER / PREPARED_NAME
        self._disk = disk
        self._length = length
        self._file: DiskFile | None = None
        self._zeroed = 0

    def step(self) -> bool:
        """Do one small piece of the work; whether there is more to do.

        Raises:
            OSError: It failed; the file was given up and the next step begins anew.
        """
        if self._file is not None and self._zeroed >= self._length:
            return False
        try:
            if self._file is None:
                self._file = self._disk.open(self.path, create=True)
                self._file.allocate(self._length)
            else:
                piece = memoryview(ZEROS)[: self._length - self._zeroed]
                write_all(self._file, piece, self._zeroed)
                self._file.fdatasync()
                self._zeroed += len(piece)
        except OSError:
            self.drop()
            raise
        return self._zeroed < self._length

    def take(self, length: int) -> DiskFile:
        """The file, ready for a header; the caller gives it its name and owns it.

        Args:
            length: Length wanted; more than a segment's where a record is larger than one.

        Raises:
            OSError: There is no room; the file was given up.
        """
        while self._file is None:
            self.step()
        file = self._file
        try:
            if length > self._length:
                file.allocate(length)
        except OSError:
            self.drop()
            raise
        self._file, self._zeroed = None, 0
        return file

    def drop(self) -> None:
        """Give the file up."""
        if self._file is not None:
            self._file.close()
            self._file, self._zeroed = None, 0
        try:
            self._disk.unlink(self.path)
        except OSError:
            pass  # it is emptied when it is made again

    def close(self) -> None:
        """Let go of the file; what is prepared is thrown away by the next start."""
        if self._file is not None:
            self._file.close()
            self._file = None
