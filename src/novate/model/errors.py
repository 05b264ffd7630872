"""The error tree: what the world can do to us, and what we must never do.

A market's refusal is not here: a reject is an event with a reason code (`novate.model.rejects`).

    NovateError                     a fault: the world failed, or was asked for what can't be
    ├── ConfigurationError          a setting is unknown or out of its range
    ├── DataFolderLocked            another server owns the data folder
    ├── NotAccepting                the exchange takes no commands now (503)
    │   └── QueueFull               the queue is at its bound (503)
    ├── JournalError                carries segment, offset and seq
    │   ├── JournalCorrupt          a damaged record with good ones behind it
    │   ├── JournalBehindWitness    the journal ends before something that saw more of it
    │   ├── JournalFull             nothing was written; may be tried again
    │   ├── JournalAway             its database can't be reached; to be tried again
    │   ├── JournalLocked           another server writes it
    │   ├── JournalFailed           an fsync failed: the file can't be believed any more
    │   └── JournalFenced           another writer has taken over
    ├── SnapshotCorrupt             a snapshot or dump that fails its checksum or its form
    ├── CommandFailed               a journaled command can't be applied
    ├── ReplayDiverged              a replay gave other events than the journal vouches for
    ├── LedgerAway              the ledger's database can't be reached, or takes too long
    │   ├── LedgerSlow          a question to it took longer than it may
    │   └── LedgerMoved         another writer moved it on; nothing of ours was written
    ├── LedgerFault             the ledger is not of this journal, or not in a form we know
    ├── MatchFileError              a file of the matching challenge that can't be read
    ├── ExportError                 an export that can't be made as it was asked for
    └── FeedError                   a feed from another venue can't go on
    InvariantViolated               we are wrong; the exchange stops before it publishes
"""

from __future__ import annotations


class NovateError(Exception):
    """The base of every fault."""


class ConfigurationError(NovateError):
    """A setting is unknown, malformed or out of its range."""


class DataFolderLocked(NovateError):
    """Another process holds the lock of the data folder."""


class NotAccepting(NovateError):
    """The exchange takes no commands now.

    Attributes:
        code: Stable problem code for the client.
        detail: What is the matter, for a person.
        retry_after: Seconds after which a retry makes sense.
    """

    def __init__(self, code: str, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class QueueFull(NotAccepting):
    """The sequencer's queue is at its bound; nothing was taken."""


class JournalError(NovateError):
    """A fault of the journal, with the place where it was seen.

    Attributes:
        segment: File name of the segment, "" where none is meant.
        offset: Byte offset in the segment, -1 where none is meant.
        seq: Sequence number expected there, -1 where none is meant.
    """

    def __init__(self, message: str, segment: str = "", offset: int = -1, seq: int = -1) -> None:
        place = [f"segment {segment}"] if segment else []
        if offset >= 0:
            place.append(f"offset {offset}")
        if seq >= 0:
            place.append(f"seq {seq}")
        super().__init__(f"{message} ({', '.join(place)})" if place else message)
        self.segment = segment
        self.offset = offset
        self.seq = seq


class JournalCorrupt(JournalError):
    """A record is damaged and good ones stand behind it, or the chain is broken."""


class JournalBehindWitness(JournalError):
    """The journal ends before a witness: durable mark, snapshot or ledger."""


class JournalFull(JournalError):
    """Nothing of the batch was written, for want of room; it may be tried again."""


class JournalAway(JournalError):
    """The journal's database can't be reached; the same append is to be tried again.

    Whether it was carried out may be unknown: the next try finds out before anything else.
    """


class JournalLocked(JournalError):
    """Another server has the journal open for writing."""


class JournalFailed(JournalError):
    """An fsync failed or an outcome is unknown: the process must restart from disk."""


class JournalFenced(JournalError):
    """Another writer appended or holds a newer epoch."""


class SnapshotCorrupt(NovateError):
    """A snapshot or a dump fails its checksum or does not have the form of its version."""


class ReplayDiverged(NovateError):
    """A replay gave other events than the journal's running hash vouches for.

    Attributes:
        seq: First sequence number of the batch whose hash differs.
    """

    def __init__(self, message: str, seq: int) -> None:
        super().__init__(f"{message} (seq {seq})")
        self.seq = seq


class CommandFailed(NovateError):
    """A batch of the journal can't be applied here; the state it left must not be used.

    Attributes:
        seq: First sequence number of the batch.
    """

    def __init__(self, message: str, seq: int) -> None:
        super().__init__(f"{message}; `novate skip` says which command it is (seq {seq})")
        self.seq = seq


class LedgerAway(NovateError):
    """The ledger's database can't be reached, or did not answer in time; it may be tried again."""


class LedgerSlow(LedgerAway):
    """A question to the ledger took longer than it may, and was ended."""


class LedgerMoved(LedgerAway):
    """Another writer has moved the ledger on; nothing was written."""


class LedgerFault(NovateError):
    """The ledger is not of this journal, or not in a form that this version knows."""


class InvariantViolated(Exception):
    """Something that can't be, is. The exchange stops before it publishes.

    Attributes:
        seq: The command that did it, -1 where unknown.
    """

    def __init__(self, message: str, seq: int = -1) -> None:
        super().__init__(f"{message} (seq {seq})" if seq >= 0 else message)
        self.seq = seq
