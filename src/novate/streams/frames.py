"""What the streams send: JSON texts, and the WebSocket frames around them.

A server's frames are not masked, so one frame is made once and written to every subscriber. The
pieces of JSON that come in (sides of a book, trades, orders) are made by the engine's reporter.
"""

from __future__ import annotations

from datetime import UTC, datetime

_TEXT = 0x81  # a whole text message


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked WebSocket text frame.

    Source: RFC 6455, section 5.2.
    """
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def iso_time(unix_seconds: float) -> str:
    """ISO 8601 UTC with microseconds and Z."""
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def book_snapshot(instrument: str, sequence: int, bids: bytes, asks: bytes) -> bytes:
    """The whole book, as a frame."""
    return text_frame(
        b'{"type":"orderbook_snapshot","instrument":"%b","sequence":%d,"bids":%b,"asks":%b}'
        % (instrument.encode(), sequence, bids, asks)
    )


def book_delta(instrument: str, sequence: int, previous: int, bids: bytes, asks: bytes) -> bytes:
    """The levels that changed since `previous`, as a frame; quantities are totals, 0 = gone."""
    return text_frame(
        b'{"type":"orderbook_delta","instrument":"%b","sequence":%d,"prev_sequence":%d,'
        b'"bids":%b,"asks":%b}' % (instrument.encode(), sequence, previous, bids, asks)
    )


def trades(instrument: str, sequence: int, previous: int, each: list[bytes]) -> bytes:
    """Trades in the order they happened, as a frame."""
    return text_frame(
        b'{"type":"trades","instrument":"%b","sequence":%d,"prev_sequence":%d,"trades":[%b]}'
        % (instrument.encode(), sequence, previous, b",".join(each))
    )


def public_trade(trade: bytes) -> bytes:
    """A trade's JSON without its instrument, which the message bears, and without the order ids.

    What goes to a thousand subscribers is half as long so. Ids hold no quotes, so that a member's
    name can't stand in one.
    """
    instrument = trade.find(b'"instrument":')
    price = trade.find(b'"price":', instrument)
    orders = trade.find(b',"buy_order_id":', price)
    taker = trade.find(b',"taker_side":', orders)
    if min(instrument, price, orders, taker) < 0:
        return trade
    return trade[:instrument] + trade[price:orders] + trade[taker:]


def trade_busted(instrument: str, sequence: int, members: bytes) -> bytes:
    """A trade that the operator took back, and what takes its place, as a frame."""
    return text_frame(
        b'{"type":"trade_busted","instrument":"%b","sequence":%d,%b}'
        % (instrument.encode(), sequence, members)
    )


def trades_replay(instrument: str, sequence: int, complete: bool, each: list[bytes]) -> bytes:
    """Recent trades asked for at subscription; the next trades message follows on `sequence`."""
    return text_frame(
        b'{"type":"trades","instrument":"%b","sequence":%d,"prev_sequence":null,"replay":true,'
        b'"complete":%b,"trades":[%b]}'
        % (instrument.encode(), sequence, b"true" if complete else b"false", b",".join(each))
    )


def order_update(instrument: str, sequence: int, order: bytes) -> bytes:
    """An order as a command left it, as a frame."""
    return text_frame(
        b'{"type":"order_update","instrument":"%b","sequence":%d,"order":%b}'
        % (instrument.encode(), sequence, order)
    )


def account_snapshot(client_id: str, sequence: int, members: bytes) -> bytes:
    """How a client's accounts stand, as a frame."""
    return text_frame(
        b'{"type":"account_snapshot","client_id":"%b","sequence":%d,%b}'
        % (client_id.encode(), sequence, members)
    )


def account_update(client_id: str, sequence: int, previous: int, members: bytes) -> bytes:
    """What a command did to a client's accounts, as a frame."""
    return text_frame(
        b'{"type":"account_update","client_id":"%b","sequence":%d,"prev_sequence":%d,%b}'
        % (client_id.encode(), sequence, previous, members)
    )


def instrument_state(instrument: str, sequence: int, members: bytes) -> bytes:
    """The phase of an instrument, or what an auction came to, as a frame."""
    return text_frame(
        b'{"type":"instrument_state","instrument":"%b","sequence":%d,%b}'
        % (instrument.encode(), sequence, members)
    )


def auction_indicative(instrument: str, sequence: int, members: bytes) -> bytes:
    """What an uncross would be now, as a frame."""
    return text_frame(
        b'{"type":"auction_indicative","instrument":"%b","sequence":%d,%b}'
        % (instrument.encode(), sequence, members)
    )


def candles_snapshot(
    instrument: str, interval: str, sequence: int, complete_from: bytes, each: list[bytes]
) -> bytes:
    """The last candles, oldest first, as a frame."""
    return text_frame(
        b'{"type":"candles_snapshot","instrument":"%b","interval":"%b","sequence":%d,'
        b'"complete_from":%b,"candles":[%b]}'
        % (instrument.encode(), interval.encode(), sequence, complete_from, b",".join(each))
    )


def candles(
    instrument: str, interval: str, sequence: int, previous: int, each: list[bytes]
) -> bytes:
    """The candles that changed since `previous`, whole, oldest first, as a frame."""
    return text_frame(
        b'{"type":"candles","instrument":"%b","interval":"%b","sequence":%d,"prev_sequence":%d,'
        b'"candles":[%b]}'
        % (instrument.encode(), interval.encode(), sequence, previous, b",".join(each))
    )


def heartbeat(unix_seconds: float) -> bytes:
    """A sign of life, as a frame."""
    return text_frame(b'{"type":"heartbeat","time":"%b"}' % iso_time(unix_seconds).encode())
