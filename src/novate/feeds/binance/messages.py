"""Binance's market data messages. Decodes; never does I/O.

Decimals stay text until a `Grid` reads them as whole ticks and lots; no float is made of them.

Source: Binance Spot API, "WebSocket Streams" and "Market Data endpoints".
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from novate.feeds import FeedError
from novate.feeds.binance.grid import Grid, unit

Level = tuple[str, str]
"""Price and quantity as the venue writes them."""


class DepthDiff(msgspec.Struct, frozen=True, gc=False):
    """Changes of the book between two update ids; quantities are new totals, 0 = gone."""

    first_update_id: int = msgspec.field(name="U")
    last_update_id: int = msgspec.field(name="u")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")


class DepthSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The best levels of the book as of an update id, from the REST endpoint."""

    last_update_id: int = msgspec.field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade of the venue; `buyer_is_maker` says that a sell order took."""

    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")


class BookTicker(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask as of an update id."""

    update_id: int = msgspec.field(name="u")
    bid: str = msgspec.field(name="b")
    bid_quantity: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_quantity: str = msgspec.field(name="A")


Message = DepthDiff | DepthSnapshot | PublicTrade | BookTicker


class _Envelope(msgspec.Struct, gc=False):
    """A frame of a combined stream, or (without `stream`) a REST answer in a capture."""

    stream: str = ""
    payload: msgspec.Raw = msgspec.field(name="data", default_factory=msgspec.Raw)
    last_update_id: int = msgspec.field(name="lastUpdateId", default=-1)


_envelopes: Final = msgspec.json.Decoder(_Envelope)
_snapshots: Final = msgspec.json.Decoder(DepthSnapshot)
_by_channel: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "trade": msgspec.json.Decoder(PublicTrade),
    "depth": msgspec.json.Decoder(DepthDiff),
    "bookTicker": msgspec.json.Decoder(BookTicker),
}


def decode(raw: bytes | str) -> Message | None:
    """One message of a combined stream or capture; None for one that means nothing here.

    Raises:
        FeedError: it is not JSON, or lacks what a message of its kind has.
    """
    try:
        envelope = _envelopes.decode(raw)
        if not envelope.stream:
            return _snapshots.decode(raw) if envelope.last_update_id >= 0 else None
        channel = envelope.stream.split("@", 2)[1:2]
        decoder = _by_channel.get(channel[0]) if channel else None
        message: Message | None = decoder.decode(envelope.payload) if decoder else None
        return message
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedError(
            f"expected a message of a combined stream, {_shown(raw)}: {error}"
        ) from None


def decode_snapshot(raw: bytes) -> DepthSnapshot:
    """The answer of `GET /api/v3/depth`.

    Raises:
        FeedError: it does not have that form.
    """
    try:
        return _snapshots.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedError(f"expected a depth snapshot, {_shown(raw)}: {error}") from None


def _shown(raw: bytes | str) -> str:
    return f"found {raw[:120]!r}"


class _Filter(msgspec.Struct):
    kind: str = msgspec.field(name="filterType")
    tick_size: str = msgspec.field(name="tickSize", default="")
    step_size: str = msgspec.field(name="stepSize", default="")


class _Symbol(msgspec.Struct):
    symbol: str
    base_asset: str = msgspec.field(name="baseAsset")
    quote_asset: str = msgspec.field(name="quoteAsset")
    filters: list[_Filter]


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_Symbol]


class VenueInstrument(msgspec.Struct, frozen=True):
    """What the venue says of a symbol: its assets and its grid."""

    symbol: str
    base: str
    quote: str
    grid: Grid


def decode_exchange_info(raw: bytes, symbol: str) -> VenueInstrument:
    """Assets, tick and lot of a symbol from `GET /api/v3/exchangeInfo`.

    Raises:
        FeedError: another form, or the symbol or its filters are not there.
    """
    try:
        symbols = msgspec.json.decode(raw, type=_ExchangeInfo).symbols
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedError(f"expected an exchangeInfo answer, {_shown(raw)}: {error}") from None
    found = next((each for each in symbols if each.symbol == symbol), None)
    if found is None:
        raise FeedError(f"expected symbol {symbol} in exchangeInfo, found {len(symbols)} others")
    ticks = [each.tick_size for each in found.filters if each.kind == "PRICE_FILTER"]
    lots = [each.step_size for each in found.filters if each.kind == "LOT_SIZE"]
    if not ticks or not lots:
        raise FeedError(f"expected PRICE_FILTER and LOT_SIZE of {symbol} in exchangeInfo")
    grid = Grid(unit(ticks[0]), unit(lots[0]))
    return VenueInstrument(symbol, found.base_asset, found.quote_asset, grid)


def infer_grid(snapshot: DepthSnapshot) -> Grid:
    """The coarsest decimal grid that holds every level of a snapshot.

    For a capture that comes without exchangeInfo: with a thousand levels a side, the finest
    decimal place in use is the venue's.
    """
    levels = [*snapshot.bids, *snapshot.asks]
    return Grid(_finest(level[0] for level in levels), _finest(level[1] for level in levels))


def _finest(texts: Iterable[str]) -> Decimal:
    places = max((len(text.rstrip("0").partition(".")[2]) for text in texts), default=8)
    return Decimal(1).scaleb(-places)
