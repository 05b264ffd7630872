"""The session of one WebSocket: what a client may say on `/stream`, and what it is answered.

Order entry goes through the same operations as HTTP; subscriptions go to the publisher. A session
knows messages, not sockets: the lane hands it texts and takes frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from novate.analytics.intervals import parse_interval
from novate.gateway.fields import ID_EXPECTED, check_names, undecodable
from novate.gateway.messages import (
    ABSENT,
    BY_TYPE,
    ENTRIES,
    NOTHING,
    OTHER_OPS,
    Amend,
    Batch,
    Cancel,
    CancelAllAfter,
    CancelOnDisconnect,
    Follow,
    MassCancel,
    Message,
    Ping,
    Place,
    Resync,
    Status,
    Subscribe,
    SubscribeByType,
    Unsubscribe,
    UnsubscribeByType,
    check_op,
    decode,
    decode_by_type,
    decode_envelope,
    interval_of,
    json_depth,
    request_id_of,
    required_id,
    terms_members,
)
from novate.gateway.problems import FieldError, ProblemError, refused, retry_after_of, shown
from novate.model import codec
from novate.streams import frames
from novate.streams.consumers import Consumer
from novate.streams.subscriptions import CHANNEL_NAMES, Channel, parse_channel

if TYPE_CHECKING:
    from novate.gateway.instruments import Instruments
    from novate.gateway.sessions import Bond, Sessions
    from novate.metrics import Metrics
    from novate.streams.publisher import Publisher

CHANNELS_MAX: Final = 100
"""Channels that one message may name."""

_OUTCOMES: Final = b'{"outcomes":'

Reply = Callable[..., None]
"""`reply(status, body, replayed, retry_after)`: the answer of an operation, now or later."""


class OrderEntry(Protocol):
    """The operations that HTTP and WebSocket share."""

    def place(self, body: bytes, header_key: str | None, reply: Reply, /, session: int = 0) -> None:
        """Place an order."""

    def cancel(self, order_id: str, body: bytes, header_key: str | None, reply: Reply, /) -> None:
        """Cancel one."""

    def amend(self, order_id: str, body: bytes, header_key: str | None, reply: Reply, /) -> None:
        """Amend one."""

    def batch(self, body: bytes, header_key: str | None, reply: Reply, /, session: int = 0) -> None:
        """Do many."""

    def mass_cancel(
        self,
        client_id: str | None,
        instrument: str | None,
        side: str | None,
        header_key: str | None,
        reply: Reply,
        /,
    ) -> None:
        """Cancel all of a client."""


class Outlet(Consumer, Protocol):
    """The way out of a session."""

    def reply(self, frame: bytes) -> None:
        """Send a frame together with the other replies of this turn of the loop."""

    def flush(self) -> None:
        """Send the replies now, so that what is sent next comes after them."""


@dataclass(frozen=True, slots=True)
class StreamDesk:
    """What all sessions of a server share.

    Attributes:
        read_order: Answers what `GET /orders/{order_id}` does: order id and the reply; a
            ProblemError if it is known at once.
        subscriptions_max: Subscriptions of one session.
        json_depth_max: Levels of nesting of a message.
        sessions: Those whose orders end with their connection.
        cancel_after: Sets a client's dead-man timer: body, None, and the reply.
    """

    operations: OrderEntry
    read_order: Callable[[str, Reply], None]
    publisher: Publisher
    instruments: Instruments
    metrics: Metrics
    subscriptions_max: int = 1000
    json_depth_max: int = 16
    sessions: Sessions | None = None
    cancel_after: Callable[[bytes, str | None, Reply], None] | None = None


_is_problem = codec.is_problem
_text_frame = frames.text_frame

Subscription = tuple[Channel, int, str | None]
"""Channel, instrument (of an account -1), and the client of an orders (None = every one) or account
channel or the interval of a candles channel."""


class Session:
    """One client's session. All calls come from the event loop's thread.

    Args:
        desk: What it shares with the other sessions.
        outlet: Where frames go; also its identity as a consumer of streams.

    Attributes:
        outstanding: Commands asked and not answered yet.
    """

    __slots__ = (
        "_batch_of", "_bond", "_closed", "_desk", "_handlers", "_id", "_outlet", "_place",
        "_subscriptions", "outstanding",
    )  # fmt: skip

    def __init__(self, desk: StreamDesk, outlet: Outlet) -> None:
        self._desk = desk
        self._outlet = outlet
        self._place: Callable[..., None] = desk.operations.place
        self._batch_of: Callable[..., None] = desk.operations.batch
        self._bond: Bond | None = None
        self._id = ""
        self._subscriptions: dict[Subscription, None] = {}
        self._closed = False
        self.outstanding = 0
        self._handlers: dict[type, Callable[[Any, bytes], None]] = {
            Cancel: self._cancel,
            Amend: self._amend,
            Batch: self._batch,
            MassCancel: self._mass_cancel,
            CancelAllAfter: self._cancel_all_after,
            Status: self._status,
            Ping: self._ping,
            Resync: self._resync,
            CancelOnDisconnect: self._cancel_on_disconnect,
            Subscribe: self._subscribe,
            SubscribeByType: self._subscribe,
            Unsubscribe: self._unsubscribe,
            UnsubscribeByType: self._unsubscribe,
        }

    def open(self, session_id: str, unix_seconds: float) -> None:
        """Greet the client; from here on it gets heartbeats."""
        self._id = session_id
        self._desk.metrics.websocket_connections += 1
        self._desk.publisher.join(self._outlet)
        time = frames.iso_time(unix_seconds)
        self._send(f'{{"type":"connected","session":"{session_id}","time":"{time}"}}'.encode())

    def close(self) -> None:
        """The connection is gone: answers that come now go nowhere."""
        if not self._closed:
            self._closed = True
            self._desk.metrics.websocket_connections -= 1
            self._desk.publisher.leave(self._outlet)
            if self._bond is not None and self._desk.sessions is not None:
                self._desk.sessions.drop(self._bond)

    # --- in ---------------------------------------------------------------------------------------

    def receive(self, text: bytes) -> None:
        """Take one message: a text in valid UTF-8, whatever it says."""
        try:
            self._check_depth(text)
            message = decode(text)
            request_id = request_id_of(message.request_id)
        except Exception as error:  # whatever a text can make a decoder raise is the client's doing
            self._read_again(text, error)
            return
        if self._has_a_name_twice(text, message, request_id):
            return
        if type(message) is Place:
            order = bytes(message.order)
            if order in NOTHING:
                self.refuse(_no_order(), request_id)
                return
            self.outstanding += 1
            answer = partial(self._answer_place, perf_counter(), request_id)
            self._place(order, None, answer)
        else:
            self._dispatch(message, request_id)

    def refuse(self, refusal: ProblemError, request_id: bytes = b"") -> None:
        """Answer with a problem that no operation has counted."""
        self._desk.metrics.rejected(refusal.code, refusal.field, refusal.client_id)
        self.tell(refusal, request_id)

    def tell(self, refusal: ProblemError, request_id: bytes = b"") -> None:
        """Send a problem that is no refusal of a request."""
        self._error(request_id, refusal.body(), refusal.retry_after)

    def _check_depth(self, text: bytes) -> None:
        deepest = self._desk.json_depth_max
        if text.count(b"{") + text.count(b"[") > deepest and json_depth(text) > deepest:
            message = f"expected JSON nested at most {deepest} deep"
            raise refused([FieldError("", message, "too_deep")])

    def _read_again(self, text: bytes, error: Exception) -> None:
        """Read a message whose `type` stands for `op`, or say what is wrong with it."""
        request_id, answer = b"", self.refuse
        try:
            if isinstance(error, ProblemError):
                raise error
            envelope = decode_envelope(text)
            request_id = request_id_of(envelope.request_id)
            if bytes(envelope.op) in OTHER_OPS or bytes(envelope.type) in BY_TYPE:
                answer = self.tell
            if envelope.op is ABSENT and bytes(envelope.type) in BY_TYPE:
                message = decode_by_type(text)
                if not self._has_a_name_twice(text, message, request_id):
                    self._dispatch(message, request_id)
                return
            check_op(bytes(envelope.op))
            raise undecodable(error)
        except ProblemError as refusal:
            answer(refusal, request_id)
        except Exception as unreadable:
            answer(undecodable(unreadable), request_id)

    def _has_a_name_twice(self, text: bytes, message: Message, request_id: bytes) -> bool:
        """Whether one of a message's own members stands twice, and the message so was refused."""
        try:
            check_names(text, outermost=True)
        except ProblemError as refusal:
            self._answer_refusal(refusal, message, request_id)
            return True
        return False

    def _dispatch(self, message: Message, request_id: bytes) -> None:
        try:
            self._handlers[type(message)](message, request_id)
        except ProblemError as refusal:
            self._answer_refusal(refusal, message, request_id)

    def _answer_refusal(self, refusal: ProblemError, message: Message, request_id: bytes) -> None:
        answer = self.refuse if isinstance(message, ENTRIES) else self.tell
        answer(refusal, request_id)

    # --- order entry ------------------------------------------------------------------------------

    def _cancel(self, message: Cancel, request_id: bytes) -> None:
        order_id = required_id("order_id", message.order_id)
        body = b'{"client_id":%b,"idempotency_key":%b}' % (
            bytes(message.client_id),
            bytes(message.idempotency_key),
        )
        self.outstanding += 1
        self._desk.operations.cancel(order_id, body, None, partial(self._answer, request_id))

    def _amend(self, message: Amend, request_id: bytes) -> None:
        order_id = required_id("order_id", message.order_id)
        body = b'{"price":%b,"quantity":%b,"client_id":%b,"idempotency_key":%b%b}' % (
            bytes(message.price),
            bytes(message.quantity),
            bytes(message.client_id),
            bytes(message.idempotency_key),
            terms_members(message),
        )
        self.outstanding += 1
        self._desk.operations.amend(order_id, body, None, partial(self._answer, request_id))

    def _batch(self, message: Batch, request_id: bytes) -> None:
        body = b'{"operations":%b,"client_id":%b,"idempotency_key":%b}' % (
            bytes(message.operations),
            bytes(message.client_id),
            bytes(message.idempotency_key),
        )
        self.outstanding += 1
        self._batch_of(body, None, partial(self._answer, request_id))

    def _mass_cancel(self, message: MassCancel, request_id: bytes) -> None:
        self.outstanding += 1
        self._desk.operations.mass_cancel(
            message.client_id, message.instrument, message.side, message.idempotency_key,
            partial(self._answer, request_id, kind=b"mass_cancelled"),
        )  # fmt: skip

    def _cancel_all_after(self, message: CancelAllAfter, request_id: bytes) -> None:
        set_timer = self._desk.cancel_after
        if set_timer is None:
            raise ProblemError(400, "unsupported", "timers are not kept here")
        asked = bytes(message.client_id), bytes(message.seconds)
        body = b'{"client_id":%b,"seconds":%b}' % asked
        self.outstanding += 1
        set_timer(body, None, partial(self._answer, request_id, kind=b"cancel_all_after"))

    def _status(self, message: Status, request_id: bytes) -> None:
        order_id = required_id("order_id", message.order_id)
        self.outstanding += 1
        try:
            self._desk.read_order(order_id, partial(self._answer, request_id))
        except ProblemError:
            self.outstanding -= 1
            raise

    def _cancel_on_disconnect(self, message: CancelOnDisconnect, request_id: bytes) -> None:
        """From here on what is placed ends with this connection, after a time of grace."""
        sessions = self._desk.sessions
        if sessions is None:
            raise ProblemError(400, "unsupported", "sessions are not kept here")
        asked = bytes(message.grace_seconds)
        grace_seconds = sessions.grace(asked)
        if self._bond is not None:
            if message.resume is not None:
                raise ProblemError(409, "session_exists", "this connection has a session already")
            if asked not in NOTHING:
                self._bond.grace_seconds = grace_seconds
            self._send(_bound(self._bond, request_id))
        elif message.resume is not None:
            bond = sessions.take_up(message.resume)
            if asked not in NOTHING:
                bond.grace_seconds = grace_seconds
            self._bind(bond)
            self._send(_bound(bond, request_id))
        else:
            self.outstanding += 1
            answer = partial(self._answer_bond, request_id)
            self._bind(sessions.open(self._id, grace_seconds, answer))

    def _bind(self, bond: Bond | None) -> None:
        """Give what is placed from here on the number of the session."""
        operations = self._desk.operations
        self._bond = bond
        if bond is None:
            self._place, self._batch_of = operations.place, operations.batch
        else:
            self._place = partial(operations.place, session=bond.number)
            self._batch_of = partial(operations.batch, session=bond.number)

    def _answer_bond(self, request_id: bytes, status: int, body: bytes, _replayed: bool) -> None:
        """What became of opening a session."""
        self.outstanding -= 1
        if status >= 300 or self._bond is None:
            if not self._closed:
                self._bind(None)
            self._error(request_id, body, None)
        else:
            self._send(_bound(self._bond, request_id))

    def _answer_place(
        self,
        begun: float,
        request_id: bytes,
        status: int,
        body: bytes,
        replayed: bool = False,
        retry_after: int | None = None,
    ) -> None:
        self._desk.metrics.latency(perf_counter() - begun)
        self._answer(request_id, status, body, replayed, retry_after)

    def _answer(
        self,
        request_id: bytes,
        status: int,
        body: bytes,
        replayed: bool = False,
        retry_after: int | None = None,
        *,
        kind: bytes = b"",
    ) -> None:
        """What HTTP would answer to an operation, as a message: of an order, or of that kind."""
        self.outstanding -= 1
        if _is_problem(body):
            self._error(request_id, body, retry_after, replayed)
            return
        if kind or body.startswith(_OUTCOMES):
            kind, members = kind or b"batch_result", b"," + body[1:-1]
        else:
            kind = b"order_accepted" if status < 300 else b"order_rejected"
            members = b',"order":' + body
        if replayed:
            members += b',"replayed":true'
        self._send(_reply(kind, request_id, members))

    # --- subscriptions ----------------------------------------------------------------------------

    def _subscribe(self, message: Subscribe | SubscribeByType, request_id: bytes) -> None:
        wanted = self._subscriptions_of(message)
        new = sum(1 for each in wanted if each not in self._subscriptions)
        if len(self._subscriptions) + new > self._desk.subscriptions_max:
            detail = f"a session has at most {self._desk.subscriptions_max} subscriptions"
            raise ProblemError(429, "too_many_subscriptions", detail, (), 1)
        if message.from_trade_id is not None:
            self._check_replay(message.from_trade_id, list(wanted))
        for instrument, name in {each[1]: name for each, name in wanted.items()}.items():
            chosen = [each for each in wanted if each[1] == instrument]
            self._follow(chosen, name, message.from_trade_id, request_id)

    def _check_replay(self, trade_id: str, wanted: list[Subscription]) -> None:
        """Refuse an id that is of no trade in the instruments whose trades are asked for.

        Raises:
            ProblemError: 400.
        """
        chosen = [instrument for channel, instrument, _ in wanted if channel is Channel.TRADES]
        if not chosen:
            message = f"expected null, as no trades are subscribed to, found {shown(trade_id)}"
            raise refused([FieldError("from_trade_id", message, "unexpected_field")])
        if not any(self._desk.publisher.may_replay(each, trade_id) for each in chosen):
            message = f"expected a trade_id of this exchange, found {shown(trade_id)}"
            raise refused([FieldError("from_trade_id", message, "unknown_trade")])

    def _follow(
        self, chosen: list[Subscription], name: str, from_trade_id: str | None, request_id: bytes
    ) -> None:
        """Subscribe to channels of one instrument: the reply first, then what was asked for."""
        publisher, outlet = self._desk.publisher, self._outlet
        more = b""
        for channel, instrument, detail in chosen:
            if channel is Channel.TRADES:
                sequence = publisher.subscribe_trades(outlet, instrument, name)
                more += b',"trades_sequence":%d' % sequence
            elif channel is Channel.ORDERS or channel is Channel.ACCOUNT:
                if channel is Channel.ORDERS:
                    publisher.subscribe_orders(outlet, instrument, name, detail)
                more += b',"client_id":"%b"' % detail.encode() if detail else b""
            elif channel is Channel.CANDLES and detail:
                more += b',"interval":"%b"' % detail.encode()
        self._subscriptions.update(dict.fromkeys(chosen))
        self._send(_reply(b"subscribed", request_id, _named(chosen, name) + more))
        outlet.flush()
        for channel, instrument, detail in chosen:
            if channel is Channel.BOOK:
                publisher.subscribe_book(outlet, instrument, name)
            elif channel is Channel.CANDLES:
                found = self._desk.instruments.find(name)
                assert found is not None
                publisher.subscribe_candles(outlet, found, parse_interval(detail or "") or 0)
            elif channel is Channel.STATE:
                publisher.subscribe_state(outlet, instrument, name)
            elif channel is Channel.ACCOUNT and detail:
                publisher.subscribe_account(outlet, detail)
            elif channel is Channel.TRADES and from_trade_id is not None:
                publisher.replay_trades(outlet, instrument, from_trade_id)

    def _unsubscribe(self, message: Unsubscribe | UnsubscribeByType, request_id: bytes) -> None:
        publisher, outlet = self._desk.publisher, self._outlet
        wanted = self._subscriptions_of(message)
        for each in wanted:
            channel, instrument, detail = each
            self._subscriptions.pop(each, None)
            if channel is Channel.BOOK:
                publisher.unsubscribe_book(outlet, instrument)
            elif channel is Channel.TRADES:
                publisher.unsubscribe_trades(outlet, instrument)
            elif channel is Channel.STATE:
                publisher.unsubscribe_state(outlet, instrument)
            elif channel is Channel.CANDLES:
                publisher.unsubscribe_candles(outlet, instrument, parse_interval(detail or "") or 0)
            elif channel is Channel.ACCOUNT and detail:
                publisher.unsubscribe_account(outlet, detail)
            else:
                publisher.unsubscribe_orders(outlet, instrument, detail)
        for instrument, name in {each[1]: name for each, name in wanted.items()}.items():
            chosen = [each for each in wanted if each[1] == instrument]
            self._send(_reply(b"unsubscribed", request_id, _named(chosen, name)))

    def _resync(self, message: Resync, request_id: bytes) -> None:
        instrument, name = self._instrument(message.instrument)
        if not self._desk.publisher.follows_book(self._outlet, instrument):
            detail = f"orderbook_deltas of {name} is not subscribed to"
            raise ProblemError(409, "not_subscribed", detail)
        self._desk.publisher.subscribe_book(self._outlet, instrument, name)

    def _ping(self, message: Ping, request_id: bytes) -> None:
        self._send(_reply(b"pong", request_id, b""))

    def _subscriptions_of(self, message: Follow) -> dict[Subscription, str]:
        """What a message names, each with its instrument's name.

        Raises:
            ProblemError: 400.
        """
        channels = message.channels or []
        if not 0 < len(channels) <= CHANNELS_MAX:
            expected = f"expected 1 to {CHANNELS_MAX} of {CHANNEL_NAMES}, found {len(channels)}"
            raise refused([FieldError("channels", expected, "invalid_value")])
        client_id = message.client_id
        if client_id is not None and not codec.valid_id(client_id):
            found = f"{ID_EXPECTED}, found {shown(client_id)}"
            raise refused([FieldError("client_id", found, "invalid_id")])
        details = {Channel.ORDERS: client_id, Channel.CANDLES: interval_of(message.interval)}
        wanted: dict[Subscription, str] = {}
        for text in channels:
            parsed = parse_channel(text)
            if parsed is None:
                expected = f"expected {CHANNEL_NAMES}, found {shown(text)}"
                raise refused([FieldError("channels", expected, "unknown_channel")])
            channel, named = parsed
            if channel is Channel.ACCOUNT:
                wanted[channel, -1, self._account(client_id)] = ""
                continue
            instrument, name = self._instrument(named or message.instrument)
            wanted[channel, instrument, details.get(channel)] = name
        return wanted

    def _account(self, client_id: str | None) -> str:
        if self._desk.publisher.accounts is None:
            raise ProblemError(400, "unsupported", "accounts are not followed here")
        if client_id is None:
            found = f"{ID_EXPECTED} for the channel account, found nothing"
            raise refused([FieldError("client_id", found, "missing_field")])
        return client_id

    def _instrument(self, name: str | None) -> tuple[int, str]:
        found = self._desk.instruments.find(name)
        if found is None:
            message = f"expected the name of an instrument, found {shown(name)}"
            raise refused([FieldError("instrument", message, "unknown_instrument")])
        return found.index, found.name

    # --- out --------------------------------------------------------------------------------------

    def _error(
        self, request_id: bytes, body: bytes, retry_after: int | None, replayed: bool = False
    ) -> None:
        more = b',"problem":' + body
        retry_after = retry_after_of(body, retry_after)
        if retry_after is not None:
            more += b',"retry_after":%d' % retry_after
        if replayed:
            more += b',"replayed":true'
        self._send(_reply(b"error", request_id, more))

    def _send(self, payload: bytes) -> None:
        if not self._closed:
            self._outlet.reply(_text_frame(payload))


def _reply(kind: bytes, request_id: bytes, members: bytes) -> bytes:
    named = b',"request_id":' + request_id if request_id else b""
    return b'{"type":"' + kind + b'"' + named + members + b"}"


def _bound(bond: Bond, request_id: bytes) -> bytes:
    grace = msgspec.json.encode(bond.grace_seconds)
    members = b',"session":"%b","grace_seconds":%b' % (bond.token.encode(), grace)
    return _reply(b"cancel_on_disconnect", request_id, members)


def _named(chosen: list[Subscription], instrument: str) -> bytes:
    names = ",".join(f'"{channel.value}"' for channel, _, _ in chosen)
    of = f',"instrument":"{instrument}"' if instrument else ""
    return f',"channels":[{names}]{of}'.encode()


def _no_order() -> ProblemError:
    return refused([FieldError("order", "expected an order, found nothing", "missing_field")])
