"""The lock on a data folder: one server at a time, and it says who."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from novate.model.errors import DataFolderLocked, NovateError

LOCK_FILE = "lock"


class FolderLock:
    """Holds a data folder for this process, until closed or until the process ends.

    The folder is made where it is missing. The lock is the kernel's (flock), so that nothing is
    left behind by a process that was killed; the pid in the file is only for people.

    Args:
        folder: The folder.
        name: Name of the lock's file in it.
        use: What the folder is to be used as, for the message.
        doing: What a process that holds it does and what to do then, for the message.

    Raises:
        DataFolderLocked: another process holds it; says which.
        NovateError: the folder can't be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        name: str = LOCK_FILE,
        *,
        use: str = "as the data folder",
        doing: str = "serves this data folder; stop it, or choose another --data-dir",
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            why = error.strerror or str(error)
            raise NovateError(f"{folder}: can't be used {use}: {why}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            who = f"process {holder}" if holder else "another process"
            raise DataFolderLocked(f"{folder}: {who} {doing}") from error
        # The lock is held: a full disk, with no room for the pid, is no reason not to serve.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let the folder go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
