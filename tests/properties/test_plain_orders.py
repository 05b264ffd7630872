"""Plain orders: the compiled reader takes an order as the rules do, or leaves it to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novate.gateway.operations import Operations
from novate.gateway.problems import ProblemError
from novate.gateway.throttle import Throttle
from novate.gateway.validation import Validator
from novate.model import codec
from novate.model.commands import COMMAND
from novate.model.instrument import Instrument

ID_UUID = 1
ORDER_ID = slice(COMMAND.itemsize, COMMAND.itemsize + 16)
"""Where a command has the id that the server made."""

INSTRUMENTS = {
    each.name: each
    for each in (
        Instrument(name="BTC-USD", base="BTC", quote="USD", index=0),
        Instrument(
            name="ODD", base="X", quote="USD", index=1, tick_coefficient=5, tick_exponent=1,
            lot_coefficient=3, lot_exponent=0, price_ticks_max=100, quantity_lots_min=2,
            quantity_lots_max=10,
        ),
    )
}  # fmt: skip


class Stand:
    """An engine without orders, and a sequencer that keeps what it is given and answers at once."""

    number = 258

    def __init__(self) -> None:
        self.engine = self.reporter = self.sequencer = self
        self.commands: list[bytes] = []
        self.counted: dict[tuple[str, ...], int] = {}

    def instruments(self) -> list[Instrument]:
        return list(INSTRUMENTS.values())

    def instrument_index(self, name: str) -> int:
        return INSTRUMENTS[name].index if name in INSTRUMENTS else -1

    def order_json(self, order_id: str) -> bytes | None:
        return None

    def order_client(self, order_id: str) -> bytes | None:
        return None

    def replay(self, key_digest: bytes, command_digest: int) -> None:
        return None

    def submit(self, command: bytes, on_outcome: Any) -> None:
        self.commands.append(command)
        on_outcome(201, b'{"order_id":"x"}', False)

    def submit_many(self, commands: list[bytes], on_outcomes: Any) -> None:
        self.commands += commands
        answers = [(201, b'{"order_id":"x"}'), (409, b'{"type":"about:blank"}'), (200, b"")]
        on_outcomes([(*answers[len(each) % 3], 0) for each in commands])

    def order_received(self, order_type: str, side: str, count: int = 1) -> None:
        self.counted[order_type, side] = self.counted.get((order_type, side), 0) + count

    def rejected(self, reason: str, field: str = "", client_id: str = "") -> None:
        self.counted[reason,] = self.counted.get((reason,), 0) + 1


class NeverPlain:
    """A reader that leaves everything to the rules."""

    def place(self, *request: object) -> None:
        return None

    batch = place


def by_rule(validator: Validator) -> Validator:
    """The validator, without its compiled reader."""
    validator.plain = NeverPlain()  # type: ignore[assignment]
    return validator


def named(command: bytes) -> bytes:
    """A command without the id that the server made for it."""
    made = command[5] == ID_UUID and command[ORDER_ID][6:8] == b"\x81\x02"
    return command[: ORDER_ID.start] + bytes(16) + command[ORDER_ID.stop :] if made else command


# --- requests, mostly good ones -------------------------------------------------------------------

IDS = ["A", "client-1", ".:_-" * 16, "x" * 64, "0190b7a4-55d8-8103-9abc-001122334455"]
ODD_TEXTS = [
    "", "x" * 65, "two words", "é", "\u0661", "\ud800", "a\x00b", "a\\b", 'a"b', "\x7f", "null",
    "0190B7A4-55D8-8103-9ABC-001122334455", "Buy", "limit ", "stop", "day", "NaN", "Infinity",
]  # fmt: skip
NUMBERS = [
    "100", "1", "0.25", "7.5", "0.5", "70150.50", "1e2", "1E+2", "25e-1", "0", "-0", "0.0", "-1",
    "01", "1.", ".5", "+1", "1e", "1e19", "1e-19", "1e+018", "0.001", "9" * 15, "9" * 30, "9" * 31,
    "1" + "0" * 28, "0." + "0" * 27 + "1", "1e18", "12e18", "1" + "0" * 13 + ".00", "NaN", "1_0",
    "Infinity", "-", "0x10", "1 0", "100000000000000000000000e-20", "3", "6", "9", "12", "33",
]  # fmt: skip
ODD_VALUES = ["null", "true", "false", "[]", "{}", '"\\u0041"', "[1]", '{"a":1}', "tru", "nul", ""]

odd_texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=70))
strings = odd_texts.map(json.dumps) | odd_texts.map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
decimals = st.one_of(
    st.sampled_from(NUMBERS),
    st.decimals(0, 1000, places=2, allow_nan=False).map(str),
    st.from_regex(r"-?[0-9]{1,16}(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
decimals = decimals | decimals.map(lambda text: f'"{text}"')
ids = st.sampled_from(IDS).map(json.dumps)


def words(*good: str) -> st.SearchStrategy[str]:
    return st.sampled_from(good).map(json.dumps)


GOOD = {
    "client_id": ids,
    "side": words("buy", "sell"),
    "type": words("limit", "limit", "market"),
    "price": decimals,
    "quantity": decimals,
    "instrument": words("BTC-USD", "ODD"),
    "order_id": ids,
    "time_in_force": words("gtc", "ioc", "fok"),
    "post_only": st.sampled_from(["true", "false"]),
    "quote_quantity": decimals,
    "self_trade_prevention": words("none", "cancel_newest"),
    "idempotency_key": ids,
    "stop_price": decimals,
    "expires_at": strings,
    "display_quantity": decimals,
    "minimum_quantity": decimals,
}
ALWAYS = ("client_id", "side", "type", "price", "quantity")
RARELY = ("idempotency_key", "stop_price", "expires_at", "display_quantity", "minimum_quantity")
BLANK = st.sampled_from(["", "", "", "", " ", "\t\r\n "])
STRANGE_BLANK = st.sampled_from(["", "", "", "", "", "", "", "\x0b", "\u00a0", "//", ","])


@st.composite
def objects(draw: st.DrawFn, members: list[tuple[str, str]]) -> str:
    """An object of these members, with white space in odd places."""
    pairs = [f"{draw(BLANK)}{name}{draw(BLANK)}:{draw(BLANK)}{value}" for name, value in members]
    return "{" + f"{draw(BLANK)},".join(pairs) + draw(BLANK) + "}"


@st.composite
def good_orders(draw: st.DrawFn) -> str:
    """An order that is taken: of BTC-USD, with some of the fields that may be left out."""
    chosen = {
        "client_id": draw(ids),
        "side": draw(GOOD["side"]),
        "type": draw(GOOD["type"]),
        "quantity": draw(st.sampled_from(["1", "0.25", '"1e-8"', '"7.50"', "1E+2", "999999"])),
    }
    if chosen["type"] == '"limit"':
        chosen["price"] = draw(st.sampled_from(["70150.5", '"100.00"', "1e2", "25e-2", '"0.01"']))
    for name in ("order_id", "time_in_force"):
        if not draw(st.integers(0, 3)):
            chosen[name] = draw(GOOD[name])
    for name in GOOD:
        if name not in chosen and not draw(st.integers(0, 9)):
            chosen[name] = "null"
    return draw(objects([(json.dumps(name), value) for name, value in chosen.items()]))


@st.composite
def orders(draw: st.DrawFn) -> str:
    """An order: good, or with a few things that are not."""
    if draw(st.booleans()):
        return draw(good_orders())
    chosen = [name for name in ALWAYS if draw(st.integers(0, 30))]
    chosen += [name for name in GOOD if name not in ALWAYS + RARELY and not draw(st.integers(0, 3))]
    chosen += [name for name in RARELY if not draw(st.integers(0, 30))]
    members = [(json.dumps(name), draw(GOOD[name])) for name in draw(st.permutations(chosen))]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        name = draw(st.sampled_from([*GOOD, *GOOD, "Price", "", "clientId", "op"]))
        value = draw(st.one_of(strings, decimals, st.sampled_from(ODD_VALUES)))
        place = draw(st.integers(0, len(members)))
        members[place : place + draw(st.integers(0, 1))] = [(json.dumps(name), value)]
    return draw(objects(members))


@st.composite
def batches(draw: st.DrawFn) -> str:
    """A batch, mostly of places alone."""
    operations = []
    order = draw(st.sampled_from([orders(), good_orders()]))
    for _ in range(draw(st.integers(0, 5))):
        members = [('"op"', '"place"'), ('"order"', draw(order))]
        if not draw(st.integers(0, 12)):
            other = draw(st.sampled_from(["op", "order", "order_id", "price", "client_id", "x"]))
            value = draw(st.one_of(ids, st.sampled_from(["null", '"cancel"', '"place"', "{}"])))
            members.insert(draw(st.integers(0, 2)), (json.dumps(other), value))
        operations.append(draw(objects(draw(st.permutations(members)))))
    members = [('"operations"', "[" + f"{draw(BLANK)},{draw(BLANK)}".join(operations) + "]")]
    for name in ("client_id", "idempotency_key"):
        if not draw(st.integers(0, 4)):
            value = draw(st.one_of(st.just("null"), st.just("null"), ids, strings))
            members.insert(draw(st.integers(0, len(members))), (json.dumps(name), value))
    return draw(objects(members))


def damaged(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Mostly as they are; some with a byte changed, cut off, or with something behind."""

    def damage(body: str, how: int, at: int, byte: int, behind: str) -> bytes:
        text = body.encode("utf-8", "surrogatepass")
        at %= len(text) + 1
        if how == 0:
            return text[:at]
        if how == 1:
            return text[:at] + bytes([byte]) + text[at + 1 :]
        return text + behind.encode() if how == 2 else text

    return st.builds(
        damage, bodies, st.integers(0, 12), st.integers(0, 10**6), st.integers(0, 255),
        st.sampled_from([" ", "\n", "x", "{}", "\x00", "]", "}"]),
    )  # fmt: skip


# --- both ways ------------------------------------------------------------------------------------


def place_both(body: bytes) -> tuple[Any, Any]:
    """What the compiled reader and the rules make of an order, or why not."""
    plain, rules = Validator(Stand()), by_rule(Validator(Stand()))
    for validator in (plain, rules):  # they get to know the instruments by the first order
        validator.place(b'{"client_id":"A","side":"buy","type":"limit","price":1,"quantity":1}')
    found = []
    for validator in (plain, rules):
        try:
            submission = validator.place(body)
        except ProblemError as error:
            found.append((error.status, error.body()))
        else:
            submission.command = named(submission.command)
            found.append(submission)
    return found[0], found[1]


@pytest.mark.slow
@given(damaged(orders()))
@example(b'{"client_id":"A","side":"sell","type":"market","price":null,"quantity":"1"}')
@example(b'{"client_id":"A","side":"sell","type":"limit","price":1,"quantity":1,"price":2}')
def test_an_order_is_read_as_by_the_rules(body: bytes) -> None:
    plain, rules = place_both(body)
    assert plain == rules


def batch_both(body: bytes, rate: float) -> tuple[Any, Any]:
    """All that a batch comes to, by the compiled reader and by the rules."""
    found = []
    for change in (lambda validator: validator, by_rule):
        stand = Stand()
        throttle = Throttle(rate, 3, 100, lambda: 1.0)
        operations = Operations(stand, throttle, stand)
        operations.validator.instruments.find("ODD")
        change(operations.validator)
        replies: list[tuple[object, ...]] = []

        def reply(status: int, body: bytes, again: bool = False, wait: int | None = None) -> None:
            replies.append((status, body, again, wait))  # noqa: B023 - called at once

        operations.batch(body, None, reply)
        # An amendment finds the instrument and the client of an order that is on its way.
        for order_id in IDS:
            amend = b'{"price":50,"quantity":6}'
            operations.amend(order_id, amend, None, reply)
        found.append(([named(each) for each in stand.commands], replies, stand.counted))
    return found[0], found[1]


@pytest.mark.slow
@given(damaged(batches()), st.sampled_from([0.0, 1.0]))
def test_a_batch_is_done_as_by_the_rules(body: bytes, rate: float) -> None:
    plain, rules = batch_both(body, rate)
    assert plain == rules


# --- what is to go the short way ------------------------------------------------------------------

FULL = {
    "client_id": "A", "side": "buy", "type": "limit", "price": "1e2", "quantity": 1,
    "instrument": "ODD", "order_id": "mine", "time_in_force": "gtc", "post_only": True,
    "idempotency_key": None,
}  # fmt: skip
PLAIN = [
    b'{"client_id":"A","side":"buy","type":"limit","price":70150.5,"quantity":0.25}',
    b'{"type":"market","quantity":"6e0","side":"sell","client_id":"A","instrument":"ODD"}',
    json.dumps(FULL | {"quantity": 6, "price": "5"}, indent=1).encode(),
]


def test_the_usual_orders_are_plain() -> None:
    reader = Validator(Stand()).plain
    known = {None: INSTRUMENTS["BTC-USD"], **INSTRUMENTS}
    for order in PLAIN:
        assert reader.place(order, known) is not None
    batch = b'{"operations":[%b]}' % b",".join(
        b'{"op":"place","order":%b}' % each for each in PLAIN
    )
    assert len(reader.batch(batch, known, 3).commands) == 3
    assert reader.batch(batch, known, 2) is None
    assert reader.place(PLAIN[0], {}) is None


def test_an_instrument_is_plain_once_it_is_known() -> None:
    validator = Validator(Stand())
    known = validator.instruments
    assert validator.plain.place(PLAIN[0], known.known) is None
    first = validator.place(PLAIN[0])
    found = validator.plain.place(PLAIN[0], known.known)
    assert found is not None
    assert (found.client_id, found.order_id) == ("A", None)
    assert found.instrument is known.find(None)
    assert named(found.command) == named(first.command)


def test_ids_that_the_server_makes_differ_and_name_the_partition() -> None:
    reader = Validator(Stand()).plain
    known = {None: INSTRUMENTS["BTC-USD"]}
    orders = [reader.place(PLAIN[0], known) for _ in range(1000)]
    made = [each.command[ORDER_ID] for each in orders if each is not None]
    assert len(set(made)) == 1000
    assert {(each[6] & 0xF0, each[8] & 0xC0) for each in made} == {(0x80, 0x80)}
    assert {(each[6] & 0x0F) << 8 | each[7] for each in made} == {258}


bodies = st.sampled_from([b"{}", b"", b'{"type":', b'{"type":"about:blank"}', b'{"typ', b'{"a":1}',
                          b'{"client_id":"A"}', b'{"client_id'])  # fmt: skip
KINDS = {b'{"type":': b"problem", b'{"client_id":': b"mass_cancelled"}


@given(st.lists(st.tuples(st.integers(100, 999), bodies, st.just(0)), max_size=5))
def test_a_batch_is_answered_outcome_by_outcome(answers: list[tuple[int, bytes, int]]) -> None:
    expected = [
        b'{"status":%d,"%b":%b}'
        % (status, next((KINDS[each] for each in KINDS if body.startswith(each)), b"order"), body)
        for status, body, _ in answers
    ]
    assert codec.outcomes_body(answers) == b'{"outcomes":[%b]}' % b",".join(expected)


@pytest.mark.parametrize("status", [0, 99, 1000])
def test_an_outcome_has_a_status(status: int) -> None:
    with pytest.raises(ValueError, match="100 to 999"):
        codec.outcomes_body([(status, b"{}")])
