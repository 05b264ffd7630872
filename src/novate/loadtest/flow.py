"""The requests of a load test, made beforehand so that sending one is a format of a few digits.

Owns the mix of orders and their bytes for HTTP and WebSocket. Never opens a socket. A pool of
requests is cycled; what must be unique (order ids, keys, request ids) is a fixed-width number, so
lengths are known beforehand. Half of the orders buy and half sell, over the same price band, so the
book neither empties nor grows without end; unless they are to be passive.
"""

import random
import secrets

from novate.loadtest import frames
from novate.loadtest.options import Options

POOL = 8_192
"""Distinct requests in the cycle."""

CANCEL_LAG_MIN = 1_000
"""A cancel names an order at least so many requests back, so that it was surely answered."""

_BATCH_POOL = 64
_NUMBER = b"%010d"

PLACE, CANCEL, READ, BATCH = "place", "cancel", "read", "batch"


class Request:
    """One entry of the pool: bytes with holes, and how far back from `n` each hole's number is."""

    __slots__ = ("kind", "lags", "template")

    def __init__(self, kind: str, template: bytes, lags: tuple[int, ...]) -> None:
        self.kind = kind
        self.template = template
        self.lags = lags

    def render(self, number: int) -> bytes:
        """The bytes to send as the request `number` of the run."""
        lags = self.lags
        if not lags:
            return self.template
        if len(lags) == 1:
            return self.template % (number - lags[0])
        return self.template % tuple([number - lag for lag in lags])


class Flow:
    """The cycle of requests: `take()` gives the next request's number and bytes."""

    def __init__(self, pool: list[Request]) -> None:
        self._pool = pool
        self._number = 0
        # At first there are no orders far enough behind to cancel.
        self._skip_cancels = len(pool) + CANCEL_LAG_MIN

    def take(self) -> tuple[int, bytes]:
        """The next request, numbered from 1 and never repeated."""
        self._number += 1
        pool = self._pool
        request = pool[self._number % len(pool)]
        if self._skip_cancels:
            self._skip_cancels -= 1
            while request.kind == CANCEL:
                self._number += 1
                request = pool[self._number % len(pool)]
        return self._number, request.render(self._number)

    def kind(self, number: int) -> str:
        """The kind of the request `number`: place, cancel, read or batch."""
        return self._pool[number % len(self._pool)].kind


def make_flow(options: Options) -> Flow:
    """The flow of these options; the same seed gives the same orders (ids differ by run)."""
    if options.read:
        return Flow([Request(READ, frames.http_request("GET", options.read, options.host), ())])
    chance = random.Random(options.seed)
    if options.batch:
        return Flow([_batch(options, chance) for _ in range(_BATCH_POOL)])
    pool = _pool_of_orders(options, chance)
    return Flow(pool)


def _pool_of_orders(options: Options, chance: random.Random) -> list[Request]:
    run = secrets.token_hex(4).encode()
    kinds = _kinds(options, chance)
    targets = _cancel_lags(kinds, chance)
    pool = []
    for position, kind in enumerate(kinds):
        if kind == CANCEL:
            pool.append(_cancel(options, run, targets[position]))
        else:
            pool.append(_place(options, _order(options, chance, kind), run))
    return pool


def _kinds(options: Options, chance: random.Random) -> list[str]:
    total = options.limit + options.market + options.cancel
    limits = round(POOL * options.limit / total)
    cancels = min(round(POOL * options.cancel / total), limits)
    kinds = ["limit"] * limits + [CANCEL] * cancels
    kinds += ["market"] * (POOL - len(kinds))
    chance.shuffle(kinds)
    return kinds


def _cancel_lags(kinds: list[str], chance: random.Random) -> dict[int, int]:
    """For each cancel's position, how far back its limit order is; each order at most once."""
    limits = [position for position, kind in enumerate(kinds) if kind == "limit"]
    chance.shuffle(limits)
    lags = {}
    for position, kind in enumerate(kinds):
        if kind != CANCEL:
            continue
        lag = (position - limits.pop()) % POOL
        lags[position] = lag if lag >= CANCEL_LAG_MIN else lag + POOL
    return lags


def _order(options: Options, chance: random.Random, kind: str) -> bytes:
    """The members of an order's JSON, without its ids."""
    side = chance.choice(("buy", "sell"))
    client = chance.randrange(options.clients)
    fields = f'"client_id":"load-{client}","instrument":"{options.instrument}","side":"{side}"'
    quantity = f'"quantity":{chance.randint(1, 100) / 100:.2f}'
    if kind == "market":
        return f'{fields},"type":"market",{quantity}'.encode()
    offset = chance.randint(-options.band_ticks, options.band_ticks)
    if options.passive:
        offset = -abs(offset) - 1 if side == "buy" else abs(offset) + 1
    ticks = options.price_ticks + offset
    price = f"{ticks // 100}.{ticks % 100:02d}"
    return f'{fields},"type":"limit","price":{price},{quantity}'.encode()


def _place(options: Options, order: bytes, run: bytes) -> Request:
    named = b""
    holes = 0
    if options.keys:
        named += b'"idempotency_key":"key-' + run + b"-" + _NUMBER + b'",'
        holes += 1
    if options.cancel:
        named += b'"order_id":"' + _order_id(run) + b'",'
        holes += 1
    body = b"{" + named + order + b"}"
    if options.transport == "ws":
        message = b'{"op":"place","request_id":"' + _NUMBER + b'","order":' + body + b"}"
        return Request(PLACE, frames.ws_template(message), (0,) * (holes + 1))
    return Request(PLACE, _post("/orders", body, options.host), (0,) * holes)


def _cancel(options: Options, run: bytes, lag: int) -> Request:
    order_id = _order_id(run)
    if options.transport == "ws":
        message = b'{"op":"cancel","request_id":"' + _NUMBER + b'","order_id":"' + order_id + b'"}'
        return Request(CANCEL, frames.ws_template(message), (0, lag))
    path = "/orders/" + order_id.decode() + "/cancel"
    return Request(CANCEL, frames.http_request("POST", path, options.host), (lag,))


def _batch(options: Options, chance: random.Random) -> Request:
    operations = []
    for _ in range(options.batch):
        total = options.limit + options.market
        kind = "limit" if chance.randrange(total) < options.limit else "market"
        operations.append(b'{"op":"place","order":{' + _order(options, chance, kind) + b"}}")
    body = b'{"operations":[' + b",".join(operations) + b"]}"
    return Request(BATCH, _post("/orders/batch", body, options.host), ())


def _order_id(run: bytes) -> bytes:
    return b"load-" + run + b"-" + _NUMBER


def _post(path: str, body: bytes, host: str) -> bytes:
    """A POST whose body may hold numbers yet to be filled in: each becomes ten digits."""
    length = len(body) + body.count(_NUMBER) * (10 - len(_NUMBER))
    return frames.http_request("POST", path, host, length) + body
