"""The journal in PostgreSQL: the writer. For those who have a database and no disk to trust.

It owns two tables in the schema `novate_journal`. A batch is one row, the same bytes as a record
of a segment, written by one INSERT that is a transaction of its own; its COMMIT answered is what
durable means here. Only one thread may append. It must never say DURABLE of a batch whose COMMIT
was not answered, or was answered with a warning, before the batch was read back; and never write
where another writer has taken over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import NO_HASH, Appended, Batch, Position, Record, Witness
from novate.journal.layout import RECORD_BYTES_MAX, encode_record, record_length
from novate.journal.mark import DurableMark
from novate.journal.postgres_link import (
    UNIQUE_VIOLATION,
    PostgresLink,
    StatementFailed,
    place_of,
    to_int,
)
from novate.journal.postgres_reading import (
    FORMAT,
    LAST,
    WRITER,
    PostgresReader,
    PostgresTail,
    fault_of,
    nowhere,
    parse_row,
    row_name,
)
from novate.journal.reading import Bound
from novate.journal.segments import check_witnesses
from novate.model.errors import (
    JournalAway,
    JournalBehindWitness,
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalFull,
    JournalLocked,
)

LOCK_SECONDS: Final = 3.0
"""How long a start waits for the lock: the server has to notice that a killed writer is gone."""

LOCK_AGAIN_SECONDS: Final = 0.5
"""How long a writer that connects anew waits for it; it goes on without, for the epoch fences."""

LOCK_POLL_SECONDS: Final = 0.02

OUTCOMES_SECONDS: Final = 0.25
"""Longest wait for a first answer that is read back: the event loop stands still meanwhile."""

PROBE_SECONDS: Final = 0.9
"""Least time between two questions to the server that nobody's order asks."""

PRUNE_ROWS: Final = 10_000
"""Rows removed by one statement, so that each stays within the time for an answer."""

_LOCK_SPACE: Final = 0x4E6F7661  # "Nova"

# A row above the page size is cut into pieces beside the table; up to there it stays whole, and
# neither is compressed: that would cost more than the bytes it spares.
CREATE: Final = """
DO $$ BEGIN
    PERFORM pg_advisory_xact_lock(5651866220652134399);
    IF to_regclass('novate_journal.record') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS novate_journal;
        CREATE TABLE novate_journal.writer (
            partition bigint PRIMARY KEY,
            format integer NOT NULL,
            epoch bigint NOT NULL,
            session bigint NOT NULL,
            mark bytea NOT NULL,
            pruned_seq bigint NOT NULL,
            pruned_hash bytea NOT NULL
        );
        CREATE TABLE novate_journal.record (
            partition bigint NOT NULL,
            first_seq bigint NOT NULL,
            image bytea NOT NULL,
            PRIMARY KEY (partition, first_seq)
        ) WITH (toast_tuple_target = 8160);
        ALTER TABLE novate_journal.record ALTER COLUMN image SET STORAGE EXTERNAL;
    END IF;
END $$
"""
BEGIN: Final = """
    INSERT INTO novate_journal.writer VALUES ($1, $2, 0, 0, $3, 0, $4)
    ON CONFLICT (partition) DO NOTHING
"""

TAKE_OVER: Final = """
    UPDATE novate_journal.writer SET epoch = greatest(epoch, $2) + 1, session = 0
    WHERE partition = $1 RETURNING epoch
"""

# A new connection of the same writer. It waits for the row that an INSERT of the connection before
# still holds, and an INSERT that comes to the row later finds another session: so when this has
# committed, what became of the last append can't change any more, and can be read. Its COMMIT also
# waits for a synchronous replica, which then has everything before it.
RESUME: Final = """
    UPDATE novate_journal.writer SET session = session + 1
    WHERE partition = $1 AND epoch = $2 RETURNING session
"""

# READ COMMITTED, one statement to a transaction: the writer's row is locked, and where another
# transaction changed it first, its WHERE is asked again of the newest version. So a stale writer
# finds no row and inserts nothing, whenever the newer one came in between. A higher isolation level
# would give an error in the place of that answer, and nothing else: nothing is read and written
# back here.
APPEND: Final = """
    INSERT INTO novate_journal.record (partition, first_seq, image)
    SELECT partition, $2, $3 FROM novate_journal.writer
    WHERE partition = $1 AND epoch = $4 AND session = $5
    FOR NO KEY UPDATE
"""

LOCK: Final = "SELECT pg_try_advisory_lock($1)"
HOLDER_OF_LOCK: Final = """
    SELECT a.pid::int8, format('%s (process %s of the database, since %s)', a.application_name,
                               a.pid, to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'))
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::int8 = $1 >> 32 AND l.objid::int8 = $1 & 4294967295
"""
END_BACKEND: Final = "SELECT pg_terminate_backend($1::int4)"

CUT: Final = """
    SELECT first_seq, image FROM novate_journal.record
    WHERE partition = $1 AND first_seq > $2 AND first_seq <= $3
    ORDER BY first_seq LIMIT 1 OFFSET $4
"""
PRUNE: Final = """
    WITH mine AS (
        UPDATE novate_journal.writer SET pruned_seq = $2, pruned_hash = $3
        WHERE partition = $1 AND epoch = $4 AND session = $5 RETURNING partition
    )
    DELETE FROM novate_journal.record r USING mine
    WHERE r.partition = mine.partition AND r.first_seq <= $2
"""


class PostgresJournal:
    """The journal of one partition in PostgreSQL, open for writing. See `Journal`.

    While the server can't be reached, `append` raises `JournalAway` and is to be called again with
    the same batch: it connects, reads back what became of the try before, and goes on from there.

    The data folder holds the durable mark, which here is a witness: a database that comes back
    with less than it had committed is refused.

    Args:
        url: Of the database.
        folder: The data folder; made where it is missing.
        disk: Where that is.
        partition: Number of the partition.
        seconds: Longest wait for an answer; then the connection is given up.
        witnesses: Those who saw how far the journal got, besides the durable mark.
        random_bytes: Source of the journal's mark.

    Attributes:
        epoch: Epoch of this writer, to be given with every append.
        warnings: What was found and put right at opening, in words.

    Raises:
        JournalAway: The server can't be reached.
        JournalLocked: Another server writes this journal.
        JournalCorrupt: Its last record is damaged.
        JournalBehindWitness: The journal ends before a witness.
        JournalFailed: The server is none that a journal can stand on.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        disk: Disk | None = None,
        partition: int = 0,
        seconds: float = 5.0,
        witnesses: Sequence[Witness] = (),
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.partition = partition
        self.place = place_of(url)
        self.warnings: list[str] = []
        self._url = url
        self._seconds = seconds
        self._folder = folder
        self._reader = self._new_reader()
        self._fenced = False
        self._session = 0
        self._lock_key = _LOCK_SPACE << 32 | partition
        self._unsettled = False
        self._probe_time = 0.0
        self._reader_time = 0.0
        self._link = self._connect()
        try:
            self._durable_mark = self._open_mark(folder, disk or RealDisk())
        except BaseException:
            self._link.close()
            raise
        try:
            self._open([self._durable_mark.load().witness(), *witnesses], random_bytes)
        except StatementFailed as fault:
            self.close()
            raise fault_of(self._link.place, fault) from fault
        except BaseException:
            self.close()
            raise

    # --- opening ------------------------------------------------------------------------------

    def _open_mark(self, folder: Path, disk: Disk) -> DurableMark:
        try:
            disk.make_dir(folder)
            mark = DurableMark(folder, disk, write=True)
        except OSError as fault:
            raise JournalFull(f"the data folder can't be made ready: {fault}") from fault
        if mark.unreadable:
            self.warnings.append("the durable mark can't be read: it is made anew")
        return mark

    def _connect(self) -> PostgresLink:
        return PostgresLink(self._url, self._seconds, f"novate writer, partition {self.partition}")

    def _new_reader(self) -> PostgresReader:
        return PostgresReader(
            self._url, self._folder, partition=self.partition, seconds=self._seconds
        )

    def _open(self, witnesses: Sequence[Witness], random_bytes: Callable[[int], bytes]) -> None:
        link = self._link
        if not self._lock_out(link, LOCK_SECONDS):
            rows = link.query(HOLDER_OF_LOCK, self._lock_key)
            holder = (rows[0][1] or b"").decode() if rows else "another server"
            raise JournalLocked(f"{link.place}: {holder} writes this journal; stop it first")
        link.execute(CREATE)
        link.execute(BEGIN, self.partition, FORMAT, random_bytes(8), NO_HASH)
        self._mark = self._reader.mark()
        # Before anything is changed: a database that lost something must not be written to.
        found = self._found_last()
        check_witnesses(found, witnesses)
        self._check_history(found, witnesses)
        seen = max(self._durable_mark.epoch(), found.epoch)
        ((epoch,),) = link.query(TAKE_OVER, self.partition, seen)
        self.epoch = to_int(epoch)
        self._last = self._found_last()
        check_witnesses(self._last, witnesses)
        self._publish()

    def _check_history(self, last: Position, witnesses: Sequence[Witness]) -> None:
        """Refuse a journal that went on another way than someone saw: it lost that and grew again.

        Other servers may have written since the data folder's, so that the end says nothing.
        """
        first_seq = self._reader.first_seq()
        for witness in witnesses:
            if not (witness.record_hash and first_seq <= witness.seq < last.seq):
                continue
            try:
                found = self._reader.place_at(witness.seq).record_hash
            except JournalCorrupt:
                found = b""
            if found != witness.record_hash:
                raise JournalBehindWitness(
                    f"the journal has another record of seq {witness.seq} than the one that "
                    f"{witness.name} saw",
                    seq=witness.seq,
                )

    def _found_last(self) -> Position:
        record = self._reader.last_record()
        return record.position() if record else nowhere()

    def _lock_out(self, link: PostgresLink, seconds: float) -> bool:
        """Take the lock that keeps other servers from starting; whether it was had in time.

        It goes with the connection. It is a courtesy: what keeps a second writer from appending
        is the epoch.
        """
        deadline = time.monotonic() + seconds
        while True:
            ((locked,),) = link.query(LOCK, self._lock_key)
            if locked == b"\1":
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOCK_POLL_SECONDS)

    # --- writing ------------------------------------------------------------------------------

    def append(self, expected_seq: int, epoch: int, batch: Batch, *, sync: bool = True) -> Appended:
        """See `Journal`. Every batch is durable at once, whatever `sync` says.

        Raises:
            JournalAway: The server can't be reached or takes nothing now; try the same again.
            JournalBehindWitness: The server came back without batches that it had committed.
            JournalFailed: The server refuses the journal for good.
        """
        if batch.first_seq != expected_seq + 1 or batch.count < 1:
            raise ValueError(f"a batch of {batch.count} from {batch.first_seq} at {expected_seq}")
        if self._fenced or epoch != self.epoch or expected_seq != self._last.seq:
            return Appended.FENCED
        length = record_length(batch)
        if length > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {length} bytes: {RECORD_BYTES_MAX} is the limit")
        image, image_hash = encode_record(
            batch, self._mark, epoch, expected_seq, self._last.record_hash
        )
        self._unsettled = True
        appended = self._settle(image, batch.first_seq) if self._link.closed else None
        if appended is None:
            appended = self._insert(image, batch.first_seq)
        self._unsettled = False
        if appended is Appended.FENCED:
            self._fenced = True
            return appended
        self._last = Position(
            seq=batch.last_seq,
            timestamp_ns=batch.timestamp_ns,
            record_hash=image_hash,
            events_hash=batch.events_hash,
            segment=row_name(batch.first_seq),
            offset=0,
            end_offset=length,
            epoch=epoch,
            rules=batch.rules,
        )
        self._publish()
        self._probe_time = time.monotonic() + PROBE_SECONDS
        return appended

    def _insert(self, image: bytes, first_seq: int) -> Appended:
        """One INSERT; its row count says whether this writer is still the one."""
        link = self._link
        link.warned.clear()
        try:
            inserted = link.execute(
                APPEND, self.partition, first_seq, image, self.epoch, self._session
            )
        except StatementFailed as fault:
            if fault.sqlstate != UNIQUE_VIOLATION:
                raise self._at(first_seq, fault_of(link.place, fault)) from fault
            return self._reread(image, first_seq)
        if link.warned:
            # A COMMIT whose wait for the replica was cancelled is answered all the same.
            link.close()
            raise JournalAway(
                f"{link.place}: the commit of seq {first_seq} was answered with a warning: "
                f"{link.warned[0]}"
            )
        return Appended.DURABLE if inserted == 1 else Appended.FENCED

    def _reread(self, image: bytes, first_seq: int) -> Appended:
        """Something stands there: by what the server did twice, or by somebody else's hand."""
        self._link.close()
        return self._settle(image, first_seq) or Appended.FENCED

    def _at(self, seq: int, fault: JournalError) -> JournalError:
        return type(fault)(str(fault), row_name(seq), 0, seq)

    def _publish(self) -> None:
        first_seq = int(self._last.segment[:20])
        self._durable_mark.store(self._last, first_seq, self.epoch)

    # --- when the connection was lost ---------------------------------------------------------

    def _settle(self, image: bytes, first_seq: int) -> Appended | None:
        """Connect anew and find out what became of the last append, before anything else.

        Returns:
            DURABLE where `image` stands at the end, FENCED where another writer has come, None
            where nothing stands behind what was known to be durable: it is to be written.
        """
        link = self._connect()
        try:
            settled = self._settle_by(link, image, first_seq)
        except StatementFailed as fault:
            link.close()
            raise fault_of(link.place, fault) from fault
        except BaseException:
            link.close()
            raise
        self._link = link
        self._reader.close()  # it was lost likewise, most likely; `prepare` connects it
        return settled

    def _settle_by(self, link: PostgresLink, image: bytes, first_seq: int) -> Appended | None:
        rows = link.query(RESUME, self.partition, self.epoch)
        if not rows:
            self._require_newer_epoch(link)
            return Appended.FENCED
        self._session = to_int(rows[0][0])
        self._lock_again(link)
        rows = link.query(LAST, self.partition)
        if rows and to_int(rows[0][0]) == first_seq:
            return Appended.DURABLE if rows[0][1] == image else Appended.FENCED
        last = nowhere()
        if rows:
            last = parse_row(rows[0], self._mark, to_int(rows[0][0]), None).position()
        check_witnesses(last, [Witness("this writer", self._last.seq, self._last.record_hash)])
        return Appended.FENCED if last.seq > self._last.seq else None

    def _require_newer_epoch(self, link: PostgresLink) -> None:
        """Tell a newer writer from a database that has forgotten this one."""
        rows = link.query(WRITER, self.partition)
        found = to_int(rows[0][1]) if rows else 0
        if found <= self.epoch:
            raise JournalBehindWitness(
                f"{link.place}: it knows no writer after epoch {found}, and this is {self.epoch}: "
                "what it had committed is missing",
                seq=self._last.seq + 1,
            )

    def _lock_again(self, link: PostgresLink) -> None:
        """Take the lock from the connection that was lost, which the server may still hold."""
        for pid, _ in link.query(HOLDER_OF_LOCK, self._lock_key):
            if to_int(pid) == self._link.backend_pid:
                link.query(END_BACKEND, to_int(pid))
        self._lock_out(link, LOCK_AGAIN_SECONDS)

    # --- reading ------------------------------------------------------------------------------

    def sync(self) -> None:
        """See `Journal`: there is never anything that isn't durable."""

    def prepare(self) -> bool:
        """See `OpenJournal`: asks the server whether this is still its writer, once a second.

        And connects what was lost: the writing side where no append is to be settled (that is for
        the next try of it), and the reading side, which first answers are read by.
        """
        now = time.monotonic()
        if not self._unsettled and (self._link.closed or now >= self._probe_time):
            self._probe_time = now + PROBE_SECONDS
            if self._fenced or not self._is_writer():
                self._fenced = True
                raise JournalFenced("another server has taken the journal over")
        if now >= self._reader_time and not self._reader.connected:
            self._reader_time = now + PROBE_SECONDS
            try:
                self._reader.connect()
            except JournalError:
                pass  # orders go on; until it is there, first answers of old keys are a 503
        return False

    def _is_writer(self) -> bool:
        if self._link.closed:
            return self._settle(b"", self._last.seq + 1) is None
        try:
            rows = self._link.query(WRITER, self.partition)
        except StatementFailed as fault:
            raise fault_of(self.place, fault) from fault
        return bool(rows) and to_int(rows[0][1]) == self.epoch

    def last(self) -> Position:
        """See `Journal`."""
        return self._last

    def durable(self) -> Position:
        """See `Journal`."""
        return self._last

    def first_seq(self) -> int:
        """See `Journal`."""
        return self._reader.first_seq()

    def read(self, first_seq: int, start: Position | None = None) -> Iterator[Record]:
        """See `Journal`."""
        return self._reader.read(first_seq, start, Bound(self._last.seq, 0, 0))

    def tail(self, first_seq: int, start: Position | None = None) -> PostgresTail:
        """See `Journal`."""
        return PostgresTail(self._new_reader(), None, first_seq, start)

    def outcomes_of(self, seq: int) -> bytes | None:
        """See `Journal`. Does not connect: that is for the writer's thread.

        Raises:
            JournalAway: There is no connection, or no answer in `OUTCOMES_SECONDS`.
        """
        if seq > self._last.seq:
            return None
        if not self._reader.connected:
            raise JournalAway(f"{self._reader.place}: the connection is lost")
        return self._reader.outcomes_behind(seq, OUTCOMES_SECONDS)

    # --- upkeep -------------------------------------------------------------------------------

    def prune(self, before_seq: int) -> int:
        """See `Journal`: here whole rows, and never the last one. On the writer's thread."""
        base = self._reader.before(min(before_seq, self._last.seq)).seq
        removed = 0
        while cut := self._cut(base):
            try:
                removed += self._link.execute(
                    PRUNE, self.partition, cut.seq, cut.record_hash, self.epoch, self._session
                )
            except StatementFailed as fault:
                raise fault_of(self._link.place, fault) from fault
            if cut.seq == base:
                break
        return removed

    def _cut(self, base: int) -> Position | None:
        """Where the next removal ends: `PRUNE_ROWS` rows on, or at `base`."""
        writer = self._reader.writer()
        pruned = writer.pruned_seq if writer else 0
        if base <= pruned:
            return None
        rows = self._reader.query(CUT, pruned, base, PRUNE_ROWS)
        return self._reader.place_at(to_int(rows[0][0]) - 1 if rows else base)

    def close(self) -> None:
        """See `Journal`."""
        self._link.close()
        self._reader.close()
        self._durable_mark.close()
