"""The rarer terms of orders and amendments: what they become, and what is said of a wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novate.gateway.problems import ProblemError
from novate.gateway.validation import Validator
from novate.model.commands import LinkUse, OrderType, SelfTrade, Side, TimeInForce
from tests.oracle.words import Amend, Place, to_bytes
from tests.unit.test_validation import Books

LOT = 10**8
UUID = "7b2c53de-7c11-4dc1-9f0b-0d3a6f7d9f55"


@pytest.fixture
def validator() -> Validator:
    return Validator(Books())


def order(**changes: Any) -> bytes:
    """A good limit order with a name; `...` leaves a member out."""
    members: dict[str, Any] = {
        "client_id": "A", "order_id": "o", "side": "buy", "type": "limit", "price": 100,
        "quantity": 5,
    }  # fmt: skip
    members |= changes
    return json.dumps({name: each for name, each in members.items() if each is not ...}).encode()


def place(**changes: Any) -> Place:
    fields: dict[str, Any] = {"price": 10_000}
    return Place("A", "o", Side.BUY, 5 * LOT, **(fields | changes))


TAKEN: dict[str, tuple[bytes, Place]] = {
    "stop": (
        order(type="stop", price=..., stop_price="99.5"),
        place(price=0, type=OrderType.STOP, stop_price=9950),
    ),
    "stop_limit": (
        order(type="stop_limit", stop_price=101, time_in_force="ioc"),
        place(type=OrderType.STOP_LIMIT, stop_price=10_100, force=TimeInForce.IOC),
    ),
    "iceberg": (order(display_quantity=0.5), place(display=LOT // 2)),
    "minimum": (order(minimum_quantity=5), place(minimum=5 * LOT)),
    "day": (order(time_in_force="day"), place(force=TimeInForce.DAY)),
    "post-only day": (
        order(time_in_force="day", post_only=True),
        place(force=TimeInForce.DAY, post_only=True),
    ),
    "gtd": (
        order(time_in_force="gtd", expires_at="2030-01-02T03:04:05.000006Z"),
        place(force=TimeInForce.GTD, expire_ns=1_893_553_445_000_006_000),
    ),
    "gtd to the second": (
        order(time_in_force="gtd", expires_at="2030-01-02T03:04:05Z"),
        place(force=TimeInForce.GTD, expire_ns=1_893_553_445_000_000_000),
    ),
    "prevention": (
        order(self_trade_prevention="cancel_both"),
        place(self_trade=SelfTrade.CANCEL_BOTH),
    ),
    "group": (order(self_trade_group=2**32 - 1), place(group=2**32 - 1)),
    "oco": (order(oco="p"), place(link="p", link_use=LinkUse.ONE_CANCELS_OTHER)),
    "replaces": (order(replaces=UUID), place(link=UUID, link_use=LinkUse.REPLACES)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_term_becomes_its_member_of_the_command(validator: Validator, name: str) -> None:
    request, said = TAKEN[name]
    assert validator.place(request).command == to_bytes(said)


def test_an_order_in_a_batch_and_with_a_key_has_its_terms(validator: Validator) -> None:
    request = order(display_quantity=1)
    said = to_bytes(place(display=LOT))
    batch = b'{"operations":[{"op":"place","order":%b}]}' % request
    assert validator.batch(batch, None).operations[0].command == said  # type: ignore[union-attr]
    keyed = validator.place(request, "k")
    assert keyed.command[88:] == said[88:]
    assert keyed.command_digest != validator.place(order(), "k").command_digest


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "stop without a stop price": (order(type="stop", price=...), "stop_price", "missing_field"),
    "stop off the grid": (
        order(type="stop", price=..., stop_price=1.001), "stop_price", "not_multiple"
    ),
    "stop by quote": (
        order(type="stop", price=..., stop_price=1, quote_quantity=5), "quote_quantity",
        "unexpected_field",
    ),
    "stop limit by quote": (
        order(type="stop_limit", stop_price=1, quote_quantity=5), "quote_quantity",
        "unexpected_field",
    ),
    "post-only stop": (
        order(type="stop_limit", stop_price=1, post_only=True), "post_only", "unexpected_field"
    ),
    "no display": (order(display_quantity=0), "display_quantity", "out_of_bounds"),
    "display over all": (order(display_quantity=6), "display_quantity", "out_of_bounds"),
    "display of ioc": (
        order(display_quantity=1, time_in_force="ioc"), "display_quantity", "unexpected_field"
    ),
    "display of market": (
        order(display_quantity=1, type="market", price=...), "display_quantity",
        "unexpected_field",
    ),
    "minimum over all": (order(minimum_quantity=6), "minimum_quantity", "out_of_bounds"),
    "minimum of post-only": (
        order(minimum_quantity=1, post_only=True), "minimum_quantity", "unexpected_field"
    ),
    "minimum by quote": (
        order(type="market", price=..., quantity=..., quote_quantity=5, minimum_quantity=1),
        "minimum_quantity", "unexpected_field",
    ),
    "decrement by quote": (
        order(type="market", price=..., quantity=..., quote_quantity=5,
              self_trade_prevention="decrement"),
        "self_trade_prevention", "unexpected_field",
    ),
    "an end without gtd": (
        order(expires_at="2030-01-01T00:00:00Z"), "expires_at", "unexpected_field"
    ),
    "no group": (order(self_trade_group=0), "self_trade_group", "out_of_bounds"),
    "too high a group": (order(self_trade_group=2**32), "self_trade_group", "out_of_bounds"),
    "two links": (order(oco="a", replaces="b"), "replaces", "unexpected_field"),
    "a link that is no id": (order(oco="a b"), "oco", "invalid_id"),
}  # fmt: skip
TIMES = [
    "2030-01-01", "2030-01-01T00:00:00", "2030-01-01T00:00:00+00:00", "2030-02-30T00:00:00Z",
    "2030-01-01T24:00:00Z", "2030-01-01T00:00:60Z", "2030-01-01T00:00:00.0000000Z",
    "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "", "x", 5, True,
    "\u0662030-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together(validator: Validator, name: str) -> None:
    request, field, code = REFUSED[name]
    with pytest.raises(ProblemError) as caught:
        validator.place(request)
    assert caught.value.status == 400
    assert (field, code) in [(each.field, each.code) for each in caught.value.errors]


@pytest.mark.parametrize("moment", TIMES)
def test_a_time_is_rfc_3339_in_utc(validator: Validator, moment: object) -> None:
    with pytest.raises(ProblemError) as caught:
        validator.place(order(time_in_force="gtd", expires_at=moment))
    assert [each.field for each in caught.value.errors] == ["expires_at"]


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
               "1970-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_is_out_of_bounds_is_told_the_bounds(validator: Validator, moment: str) -> None:
    with pytest.raises(ProblemError) as caught:
        validator.place(order(time_in_force="gtd", expires_at=moment))
    (error,) = caught.value.errors
    assert (error.field, error.code) == ("expires_at", "out_of_bounds")
    assert error.message == (
        f'expected a time after 1970-01-01T00:00:00Z and before 2262, found "{moment}"'
    )


def test_an_amendment_of_every_term(validator: Validator) -> None:
    validator.place(order())
    asked = {"stop_price": 5, "display_quantity": 0, "expires_at": "1970-01-01T00:00:01Z",
             "self_trade_prevention": "none", "price": 7}  # fmt: skip
    said = Amend("o", 700, 0, "A", stop_price=500, display=0, expire_ns=10**9,
                 self_trade=SelfTrade.NONE)  # fmt: skip
    assert validator.amend("o", json.dumps(asked).encode()).command == to_bytes(said)
    batch = {"operations": [{"op": "amend", "order_id": "o", **asked}]}
    (operation,) = validator.batch(json.dumps(batch).encode(), None).operations
    assert operation.command == to_bytes(said)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "asked", [{"stop_price": 0}, {"display_quantity": 0.000000001}, {"expires_at": "x"},
              {"self_trade_prevention": "some"}]
)  # fmt: skip
def test_an_amendments_mistakes(validator: Validator, asked: dict[str, Any]) -> None:
    validator.place(order())
    with pytest.raises(ProblemError) as caught:
        validator.amend("o", json.dumps(asked).encode())
    assert [each.field for each in caught.value.errors] == list(asked)


def test_terms_have_no_place_in_a_cancel(validator: Validator) -> None:
    validator.place(order())
    batch = b'{"operations":[{"op":"cancel","order_id":"o","stop_price":1}]}'
    (operation,) = validator.batch(batch, None).operations
    assert isinstance(operation, ProblemError)


def test_a_key_used_before_there_were_terms_is_known_still(validator: Validator) -> None:
    """What stands in a journal of before: digests of requests of the members of then."""
    place_digest = validator.place(order(), "k").command_digest
    batch = b'{"operations":[{"op":"place","order":%b},{"op":"cancel","order_id":"z"}]}' % order()
    digests = place_digest, validator.batch(batch, "k").command_digest
    assert digests == (PLACE_DIGEST, BATCH_DIGEST)


PLACE_DIGEST = 8968173048106477596
BATCH_DIGEST = 3713146168619614575
