# cython: language_level=3
"""The answers to clearing's commands, as JSON made of the event alone, so that they can be kept."""

from libc.stdint cimport uint64_t

from novate.model.records cimport (
    CLEARING_SET, CUTOFF_SET, CYCLE_CLOSED, DEPOSITED, MARK_SET, SETTLEMENT_MOVED, TIER_SET,
    TRADE_BUSTED, WITHDRAWN,
)

import msgspec

from novate.model import codec
from novate.model.clearing import SettlementState


cdef bytes named(Engine engine, uint64_t instrument):
    return msgspec.json.encode(engine._instruments[instrument].name)


cdef bytes clearing_answer(Engine engine, const Event *event, bytes client, uint64_t seq):
    """The body that answers a command which did what `event` says."""
    cdef int kind = event.kind
    cdef bytes said = b""
    if kind == DEPOSITED or kind == WITHDRAWN:
        name, scale = list(engine._assets)[event.instrument]
        units = (int(event.quantity_lots) << 64) | (int(event.price_ticks) & (2**64 - 1))
        said = b'"client_id":%b,"asset":%b,"amount":%b,' % (
            client, msgspec.json.encode(name), codec.format_scaled(units, 1, scale))
    elif kind == CLEARING_SET or kind == MARK_SET:
        said = b'"instrument":%b,' % named(engine, event.instrument)
    elif kind == TIER_SET:
        said = b'"client_id":%b,"tier":%d,' % (client, event.quantity_lots)
    elif kind == CYCLE_CLOSED:
        said = b'"cycle":%d,"state":"open","obligation_count":%d,' % (
            event.order, event.quantity_lots)
    elif kind == SETTLEMENT_MOVED:
        state = SettlementState(event.index).name.lower().encode()
        said = b'"cycle":%d,"state":"%b","obligation_count":%d,' % (
            event.order, state, event.quantity_lots)
    elif kind == CUTOFF_SET:
        said = b'"cutoff_seconds":%b,' % (
            b"null" if event.quantity_lots < 0 else b"%d" % event.quantity_lots)
    elif kind == TRADE_BUSTED:
        said = b'"instrument":%b,"busted":true,' % named(engine, event.instrument)
    return b'{%b"sequence":%d}' % (said, seq)
