"""What a client may ask: every rule, and what is said when one is broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novate.gateway.problems import ProblemError, shown
from novate.gateway.validation import Validator
from novate.model import codec
from novate.model.commands import COMMAND, Flag
from novate.model.instrument import Instrument

INSTRUMENTS = [
    Instrument(name="BTC-USD", base="BTC", quote="USD", index=0),
    Instrument(
        name="ODD", base="X", quote="USD", index=1, tick_coefficient=5, tick_exponent=1,
        lot_coefficient=3, lot_exponent=0, price_ticks_max=100, quantity_lots_min=2,
        quantity_lots_max=10,
    ),
]  # fmt: skip


class Books:
    """An engine that knows two instruments, and a reporter that knows one order, `known`."""

    number = 0

    @property
    def engine(self) -> Books:
        return self

    reporter = engine

    def instruments(self) -> list[Instrument]:
        return INSTRUMENTS

    def instrument_index(self, name: str) -> int:
        return {"BTC-USD": 0, "ODD": 1}.get(name, -1)

    def order_json(self, order_id: str) -> bytes | None:
        return b'{"instrument":"ODD"}' if order_id == "known" else None

    def order_client(self, order_id: str) -> bytes | None:
        return b"owner" if order_id == "known" else None


@pytest.fixture
def validator() -> Validator:
    return Validator(Books())


def body(**changes: Any) -> bytes:
    """A good limit order with some fields changed; `...` leaves one out."""
    order = {"client_id": "A", "side": "buy", "type": "limit", "price": 100, "quantity": 1}
    order |= changes
    return json.dumps({name: value for name, value in order.items() if value is not ...}).encode()


def raw(field: str, text: bytes) -> bytes:
    """A good limit order with one field written just so."""
    return body(**{field: ...})[:-1] + b', "%b": %b}' % (field.encode(), text)


def header(command: bytes) -> Any:
    import numpy as np

    return np.frombuffer(command[:88], COMMAND)[0]


def problem_of(validator: Validator, request: bytes, key: str | None = None) -> dict[str, Any]:
    with pytest.raises(ProblemError) as caught:
        validator.place(request, key)
    assert caught.value.status == 400
    problem = json.loads(caught.value.body())
    assert list(problem) == ["type", "title", "status", "detail", "code", "errors"]
    assert len(caught.value.body()) < 4000
    caught.value.body().decode("ascii")
    return problem


ACCEPTED = {
    "limit": (body(), (0, 0, 0, 10000, 10**8)),
    "text decimals": (body(price="100.00", quantity="1.0"), (0, 0, 0, 10000, 10**8)),
    "exponents": (raw("price", b"1e2"), (0, 0, 0, 10000, 10**8)),
    "sell ioc": (body(side="sell", time_in_force="ioc"), (1, 0, 1, 10000, 10**8)),
    "fok": (body(time_in_force="fok"), (0, 0, 2, 10000, 10**8)),
    "market": (body(type="market", price=...), (0, 1, 0, 0, 10**8)),
    "market by quote": (
        body(type="market", price=None, quantity=None, quote_quantity="0.000000000001"),
        (0, 1, 0, 0, 0),
    ),
    "nulls": (
        body(order_id=None, post_only=None, stop_price=None, expires_at=None, instrument=None,
             display_quantity=None, minimum_quantity=None, idempotency_key=None),
        (0, 0, 0, 10000, 10**8),
    ),
    "no prevention": (body(self_trade_prevention="none"), (0, 0, 0, 10000, 10**8)),
    "longest ids": (body(client_id="a" * 64, order_id=".:_-" * 16), (0, 0, 0, 10000, 10**8)),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_taken(validator: Validator, name: str):
    request, expected = ACCEPTED[name]
    fields = header(validator.place(request).command)
    found = [fields[each] for each in
             ("side", "order_type", "time_in_force", "price_ticks", "quantity_lots")]  # fmt: skip
    assert tuple(found) == expected


def test_flags(validator: Validator):
    assert header(validator.place(body(post_only=True)).command)["flags"] == Flag.POST_ONLY
    by_quote = body(type="market", price=..., quantity=..., quote_quantity=5)
    assert header(validator.place(by_quote).command)["flags"] == Flag.BY_QUOTE
    assert header(validator.place(body(), "k").command)["flags"] == Flag.HAS_KEY


def test_an_instruments_own_grid(validator: Validator):
    fields = header(validator.place(body(instrument="ODD", price="1.5", quantity=6)).command)
    assert (fields["instrument"], fields["price_ticks"], fields["quantity_lots"]) == (1, 3, 2)


DIGITS = "1٣"
REFUSED: dict[str, tuple[bytes, str, str]] = {
    # request, field of the first error, code
    "nothing": (b"", "", "malformed_json"),
    "no JSON": (b"hello", "", "malformed_json"),
    "half of JSON": (body()[:-1], "", "malformed_json"),
    "two of JSON": (body() * 2, "", "malformed_json"),
    "a byte-order mark": (b"\xef\xbb\xbf" + body(), "", "malformed_json"),
    "UTF-16": (body().decode().encode("utf-16"), "", "malformed_json"),
    "not UTF-8": (body().replace(b'"A"', b'"\xff"'), "", "malformed_json"),
    "a lone surrogate": (body().replace(b'"A"', b'"\\ud800"'), "", "malformed_json"),
    "NaN": (raw("price", b"NaN"), "", "malformed_json"),
    "a list": (b"[]", "", "invalid_type"),
    "a number": (b"5", "", "invalid_type"),
    "null": (b"null", "", "invalid_type"),
    "brackets": (b"[" * 100_000, "", "invalid_type"),
    "brackets in a field": (raw("price", b"[" * 100_000), "", "too_deep"),
    "braces in a field": (raw("price", b'{"a":' * 100_000), "", "too_deep"),
    "an unknown field": (body(colour="red"), "colour", "unknown_field"),
    "an unknown field of any length": (body(**{"x" * 5000: 1}), "x" * 64 + "...", "unknown_field"),
    "no client": (body(client_id=...), "client_id", "missing_field"),
    "null client": (body(client_id=None), "client_id", "missing_field"),
    "a number as client": (body(client_id=5), "client_id", "invalid_type"),
    "an empty client": (body(client_id=""), "client_id", "invalid_id"),
    "a long client": (body(client_id="a" * 65), "client_id", "invalid_id"),
    "a client with NUL": (body(client_id="A\0"), "client_id", "invalid_id"),
    "a client in another script": (body(client_id="Ａ"), "client_id", "invalid_id"),  # noqa: RUF001
    "an order id with a slash": (body(order_id="a/b"), "order_id", "invalid_id"),
    "a key with a space": (body(idempotency_key="a b"), "idempotency_key", "invalid_id"),
    "an unknown instrument": (body(instrument="DOGE"), "instrument", "unknown_instrument"),
    "no side": (body(side=...), "side", "missing_field"),
    "another side": (body(side="BUY"), "side", "invalid_value"),
    "no type": (body(type=...), "type", "missing_field"),
    "another type": (body(type="limt"), "type", "invalid_value"),
    "a stop with a limit": (body(type="stop", stop_price=1), "price", "unexpected_field"),
    "a stop_limit without its stop": (body(type="stop_limit"), "stop_price", "missing_field"),
    "a market order by day": (
        body(type="market", price=..., time_in_force="day"), "time_in_force", "unexpected_field"
    ),
    "gtd without its end": (body(time_in_force="gtd"), "expires_at", "missing_field"),
    "another time": (body(time_in_force="x"), "time_in_force", "invalid_value"),
    "a stop price": (body(stop_price=1), "stop_price", "unexpected_field"),
    "an expiry": (body(expires_at="2030-01-01"), "expires_at", "unexpected_field"),
    "other prevention": (
        body(self_trade_prevention="x"), "self_trade_prevention", "invalid_value"
    ),
    "post-only of a market order": (
        body(type="market", price=..., post_only=True), "post_only", "unexpected_field"
    ),
    "post-only and ioc": (
        body(post_only=True, time_in_force="ioc"), "post_only", "unexpected_field"
    ),
    "post-only as a word": (body(post_only="yes"), "post_only", "invalid_type"),
    "no price": (body(price=...), "price", "missing_field"),
    "null price": (body(price=None), "price", "missing_field"),
    "a market order's price": (body(type="market"), "price", "unexpected_field"),
    "price 0": (body(price=0), "price", "out_of_bounds"),
    "price -0": (raw("price", b"-0"), "price", "out_of_bounds"),
    "price under 0": (body(price=-1), "price", "out_of_bounds"),
    "between ticks": (body(price="100.001"), "price", "not_multiple"),
    "far too dear": (body(price=10**14), "price", "out_of_bounds"),
    "over the maximum": (body(instrument="ODD", price=51, quantity=6), "price", "out_of_bounds"),
    "a list as price": (raw("price", b"[1]"), "price", "malformed"),
    "an object as price": (raw("price", b'{"a":1}'), "price", "malformed"),
    "true as price": (raw("price", b"true"), "price", "malformed"),
    "a word as price": (body(price="much"), "price", "malformed"),
    "an empty price": (body(price=""), "price", "malformed"),
    "a huge exponent": (raw("price", b"1e999999999"), "price", "exponent_out_of_range"),
    "a tiny exponent": (raw("price", b"1e-999999999"), "price", "exponent_out_of_range"),
    "a text exponent": (body(price="1e400"), "price", "exponent_out_of_range"),
    "31 digits": (raw("price", b"1" * 31), "price", "too_long"),
    "a million digits": (raw("price", b"1" * 1_000_000), "price", "too_long"),
    "another script's digits": (body(price=DIGITS), "price", "malformed"),
    "escaped digits": (raw("price", rb'"\u0031"'), "price", "malformed"),
    "a space in a number": (body(price=" 1"), "price", "malformed"),
    "a sign": (body(price="+1"), "price", "malformed"),
    "an underscore": (body(price="1_000"), "price", "malformed"),
    "hexadecimal": (body(price="0x10"), "price", "malformed"),
    "infinity": (body(price="Infinity"), "price", "malformed"),
    "no quantity": (body(quantity=...), "quantity", "missing_field"),
    "quantity 0": (body(quantity=0), "quantity", "out_of_bounds"),
    "between lots": (body(quantity="0.000000001"), "quantity", "not_multiple"),
    "far too many": (body(quantity="99999999999999"), "quantity", "out_of_bounds"),
    "under the least": (body(instrument="ODD", price=5, quantity=3), "quantity", "out_of_bounds"),
    "a limit order by quote": (body(quote_quantity=5), "quote_quantity", "unexpected_field"),
    "both quantities": (
        body(type="market", price=..., quote_quantity=5), "quote_quantity", "unexpected_field"
    ),
    "fok by quote": (
        body(type="market", price=..., quantity=..., quote_quantity=5, time_in_force="fok"),
        "time_in_force", "unexpected_field",
    ),
    "quote 0": (
        body(type="market", price=..., quantity=..., quote_quantity=0),
        "quote_quantity", "out_of_bounds",
    ),
    "quote too fine": (
        body(type="market", price=..., quantity=..., quote_quantity="1e-13"),
        "quote_quantity", "not_multiple",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(validator: Validator, name: str):
    request, field, code = REFUSED[name]
    problem = problem_of(validator, request)
    assert (problem["code"], problem["errors"][0]["field"]) == (code, field)


def test_every_mistake_is_named_at_once(validator: Validator):
    request = b'{"side":"up","type":"limit","price":0,"quantity":"x","order_id":"/"}'
    fields = [each["field"] for each in problem_of(validator, request)["errors"]]
    assert fields == ["client_id", "order_id", "side", "price", "quantity"]


def test_a_message_says_what_was_expected_and_what_came(validator: Validator):
    problem = problem_of(validator, body(price="100.001"))
    assert problem["detail"] == 'price: expected a multiple of 0.01, found "100.001"'


def test_what_is_shown_of_input_is_short_and_printable():
    assert shown("x" * 999) == "'" + "x" * 64 + "'..."
    assert shown("\x00\u202e\n") == r"'\x00\u202e\n'"
    assert shown(b"\x00\xff\n") == r"\x00\xff\x0a"
    assert len(shown(b"\xff" * 999)) < 300


def test_header_key_and_body_key_must_agree(validator: Validator):
    both = validator.place(body(idempotency_key="k"), "k")
    assert both.key_digest == codec.key_digest(b"A", b"k")
    problem = problem_of(validator, body(idempotency_key="k"), "other")
    assert problem["code"] == "idempotency_key_conflict"
    assert problem_of(validator, body(), "no key")["code"] == "invalid_id"
    assert problem_of(validator, body(), "")["code"] == "invalid_id"


def test_a_digest_is_of_what_is_asked_however_it_is_written(validator: Validator):
    first = validator.place(body(idempotency_key="k", quantity="1.0"))
    same = validator.place(b" " + body(price="100.00", instrument="BTC-USD", post_only=False), "k")
    other = validator.place(body(quantity=2), "k")
    assert first.key_digest == same.key_digest == other.key_digest
    assert first.command_digest == same.command_digest != other.command_digest
    named = validator.place(body(order_id="mine"), "k")
    assert named.command_digest != first.command_digest


def test_cancel(validator: Validator):
    submission = validator.cancel("known", b"", "k")
    assert submission.client_id == "owner"
    assert submission.key_digest == codec.key_digest(b"order/known", b"k")
    assert header(submission.command)["client_id_length"] == len("owner")
    named = validator.cancel("known", b'{"client_id":"owner"}', "k")
    assert named.key_digest == codec.key_digest(b"owner", b"k")
    assert validator.cancel("unknown").client_id == ""
    nobodys = validator.cancel("unknown", b"", "k")  # looked up, but no client can hold it
    assert nobodys.key_digest == codec.key_digest(b"order/unknown", b"k")
    assert not header(nobodys.command)["flags"] & Flag.HAS_KEY
    with pytest.raises(ProblemError) as caught:
        validator.cancel("known", b'{"client_id":"thief"}')
    assert (caught.value.status, caught.value.code) == (404, "unknown_order")
    assert validator.cancel("x", b'{"client_id":"B"}').client_id == "B"
    for order_id, request in (("a/b", b""), ("x", b"{"), ("x", b'{"client_id":"/"}'),
                              ("x", b'{"order_id":"x"}'), ("", b"")):  # fmt: skip
        with pytest.raises(ProblemError) as caught:
            validator.cancel(order_id, request)
        assert caught.value.status == 400


def test_amend_reads_by_the_orders_own_grid(validator: Validator):
    fields = header(validator.amend("known", b'{"price":"2.5","quantity":"9"}').command)
    assert (fields["price_ticks"], fields["quantity_lots"]) == (5, 3)
    assert header(validator.amend("known", b'{"price":5}').command)["flags"] == Flag.SET_PRICE
    for request in (b"{}", b'{"price":null}', b'{"price":0.1}', b'{"quantity":4}', b'{"side":"x"}'):
        with pytest.raises(ProblemError) as caught:
            validator.amend("known", request)
        assert caught.value.status == 400
    with pytest.raises(ProblemError, match="no order") as caught:
        validator.amend("unknown", b'{"price":5}')
    assert (caught.value.status, caught.value.code) == (404, "unknown_order")
    assert caught.value.key is None
    with pytest.raises(ProblemError, match="no order") as caught:
        validator.amend("unknown", b'{"price":5}', "k")
    gone, known = caught.value.key, validator.amend("known", b'{"price":"5.0"}', "k")
    assert gone is not None
    assert gone[1] != known.command_digest
    with pytest.raises(ProblemError) as caught:
        validator.amend("known", b'{"price":5,"client_id":"thief"}')
    assert caught.value.status == 404


def test_an_order_on_its_way_has_its_client(validator: Validator):
    validator.place(body(order_id="new", client_id="C"))
    cancel = validator.cancel("new", b"", "k")
    assert (cancel.client_id, header(cancel.command)["flags"] & Flag.HAS_KEY) == ("C", 2)


def test_amend_of_an_order_that_is_still_on_its_way(validator: Validator):
    validator.place(body(order_id="new", instrument="ODD", price=5, quantity=6))
    assert header(validator.amend("new", b'{"price":"2.5"}').command)["price_ticks"] == 5
    validator.place(body(order_id="new"))  # one of the two will be refused: which, is not known
    with pytest.raises(ProblemError, match="no order"):
        validator.amend("new", b'{"price":"2.5"}')


def test_mass_cancel(validator: Validator):
    fields = header(validator.mass_cancel("A", None, None).command)
    assert (fields["instrument"], fields["side"]) == (0xFFFFFFFF, 255)
    fields = header(validator.mass_cancel("A", "ODD", "sell").command)
    assert (fields["instrument"], fields["side"]) == (1, 1)
    for asked in ((None, None, None), ("/", None, None), ("A", "DOGE", None), ("A", None, "up")):
        with pytest.raises(ProblemError) as caught:
            validator.mass_cancel(*asked)
        assert caught.value.status == 400


def test_mass_cancels_of_a_batch(validator: Validator):
    ask = {"op": "mass_cancel", "client_id": "A"}
    own = ask | {"instrument": "ODD", "side": "sell", "idempotency_key": "k"}
    first, second = validator.batch(operations(ask, own)).operations
    assert first == validator.mass_cancel("A", None, None)
    assert second == validator.mass_cancel("A", "ODD", "sell", "k")
    (keyed,) = validator.batch(operations(ask, idempotency_key="k", client_id="A")).operations
    assert keyed.key_digest == codec.key_digest(b"A", b"k")
    wrong = [
        {"op": "mass_cancel"}, ask | {"side": "up"}, ask | {"instrument": "DOGE"},
        ask | {"order_id": "x"}, ask | {"price": 5}, place() | {"side": "buy"},
        {"op": "cancel", "order_id": "known", "instrument": "ODD"},
        {"op": "amend", "order_id": "known", "price": 5, "side": "buy"},
    ]  # fmt: skip
    refusals = [each.code for each in validator.batch(operations(*wrong[:5])).operations]
    assert refusals == [
        "missing_field", "invalid_value", "unknown_instrument", "unexpected_field",
        "unexpected_field",
    ]  # fmt: skip
    for each in wrong[5:]:
        (refused,) = validator.batch(operations(each)).operations
        assert refused.code == "unexpected_field"


def test_a_batchs_digest_is_that_of_its_oldest_journals(validator: Validator):
    """Members that came later must not change what a kept key was used with."""
    listed = place(), {"op": "cancel", "order_id": "known"}
    batch = validator.batch(operations(*listed, idempotency_key="k"))
    assert batch.command_digest == 4771012094153875936


# --- batches --------------------------------------------------------------------------------------


def operations(*listed: Any, **more: Any) -> bytes:
    return json.dumps({"operations": listed, **more}).encode()


def place(**changes: Any) -> dict[str, Any]:
    return {"op": "place", "order": json.loads(body(**changes))}


def test_a_bad_operation_stands_alone(validator: Validator):
    request = operations(
        place(), place(price=0), {"op": "dance"}, {"op": "cancel"}, 5, {"op": "place", "order": 5},
        {"op": "cancel", "order_id": "x", "price": 5}, {"op": "place"}, {}, None,
        {"op": "cancel", "order_id": "x"}, {"op": "amend", "order_id": "known", "price": 5},
    )  # fmt: skip
    batch = validator.batch(request)
    good = [i for i, each in enumerate(batch.operations) if not isinstance(each, ProblemError)]
    assert good == [0, 10, 11]
    assert sum(batch.charges.values()) == 12
    codes = [each.code for each in batch.operations if isinstance(each, ProblemError)]
    assert codes == [
        "out_of_bounds", "invalid_value", "missing_field", "invalid_type", "invalid_type",
        "unexpected_field", "missing_field", "missing_field", "invalid_type",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "request_body",
    [
        b"", b"[]", b"{}", b'{"operations":null}', b'{"operations":[]}', b'{"operations":{}}',
        operations(*[place()] * 1001), b'{"operations":[' + b"{}," * 5000 + b"{}]}",
        operations(place(), client_id="/"), operations(place(), more=1),
        operations({"op": "cancel", "order_id": "x"}, idempotency_key="k"),
        operations(place(), idempotency_key="no key"), b'{"operations":[' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_bad_batch_is_refused_whole(validator: Validator, request_body: bytes):
    with pytest.raises(ProblemError) as caught:
        validator.batch(request_body)
    assert caught.value.status == 400


def test_1000_operations_are_taken(validator: Validator):
    assert len(validator.batch(operations(*[place()] * 1000)).operations) == 1000


def test_keys_of_a_batch(validator: Validator):
    request = operations(place(price=0), place(), place(quantity=2), idempotency_key="k")
    batch = validator.batch(request)
    _, first, second = batch.operations
    assert first.key_digest == codec.key_digest(b"A", b"k#1")
    assert second.key_digest == codec.key_digest(b"A", b"k#2")
    assert first.command_digest == second.command_digest == batch.command_digest
    other = validator.batch(operations(place(price=0), place(), place(), idempotency_key="k"))
    assert other.command_digest != batch.command_digest
    (alone,) = validator.batch(operations(place()), "k").operations
    assert alone.key_digest == codec.key_digest(b"A", b"k")


def test_an_operations_own_key_excludes_the_batchs(validator: Validator):
    request = operations(place(idempotency_key="own"), place())
    first, second = validator.batch(request).operations
    assert first.key_digest == codec.key_digest(b"A", b"own")
    assert second.key_digest is None
    assert isinstance(validator.batch(request, "k").operations[0], ProblemError)


def test_each_operation_is_charged_to_its_client(validator: Validator):
    listed = [place(), place(client_id="B"), {"op": "cancel", "order_id": "known"},
              {"op": "cancel", "order_id": "nobodys"}]  # fmt: skip
    assert validator.batch(operations(*listed)).charges == {"A": 2, "B": 1, "owner": 1}
