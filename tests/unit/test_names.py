"""Names that stand twice in a JSON object: found wherever, and nothing else taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.model.names import repeated_name


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b' { "a" : 1 , "b" : {} , "a" : 2 } ', "a"),
        (b'{"a":null,"a":null}', "a"),
        (b'{"x":{"a":1,"b":[{}],"a":2}}', "x.a"),
        (b'{"x":[{"a":1},{"a":1,"c":"}","a":2}]}', "x[1].a"),
        (b'{"x":[[1,2],[{"y":{"b":1,"b":1}}]]}', "x[1][0].y.b"),
        (b'[{"a":1},{"a":1,"a":1}]', "[1].a"),
        (b'{"a":"\\"a\\":1","a":2}', "a"),
        (b'{"side":"buy","s\\u0069de":"sell"}', "side"),
        (b'{"x":{"\\u0061":1,"a":2}}', "a"),
        ('{"\u0664":1,"\u0664":2}'.encode(), "\u0664"),
    ],
)
def test_a_name_that_stands_twice_is_found(text: bytes, path: str) -> None:
    assert repeated_name(text) == path


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{}", b"[]", b"1", b'"a"', b'{"a":1}', b'{"a":{"a":{"a":1}},"b":{"a":1}}',
        b'[{"a":1},{"a":1}]', b'{"a":"a","b":"a"}', b'{"a":["a","a","a"],"b":["a"]}',
        b'{"a":1,"A":2}', b'{"a":"{\\"a\\":1,\\"a\\":2}"}', b'{"a\\n":1,"a":2}',
        b'{"a":1,"aa":2,"":3}',
        # No JSON, or none of a request's shape: what it says does not matter, that it ends does.
        b'{"a":1,"a', b"}" * 100, b"[" * 10_000, b'{"a":' * 10_000, b'"\\', b'{"a\\',
        b"{" + b",".join(b'"%d":1' % n for n in range(5000)) + b"}",
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_one(text: bytes) -> None:
    assert repeated_name(text) is None


def test_the_outermost_names_alone() -> None:
    assert repeated_name(b'{"a":{"b":1,"b":1}}', outermost=True) is None
    assert repeated_name(b'{"a":{"b":1,"b":1},"a":1}', outermost=True) == "a"
    assert repeated_name(b'{"a":{"\\u0062":1,"b":1}}', outermost=True) is None
    assert repeated_name(b'{"a":{},"\\u0061":{}}', outermost=True) == "a"


names = st.sampled_from(["a", "b", "side", 'q"', "\u0664", "x\\", ""])
values = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=4).map(tuple)
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    """JSON in which tuples of pairs are objects, with whatever names they have."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{written(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def has_one(value: Any) -> bool:
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(has_one(each) for _, each in value)
    return isinstance(value, list) and any(map(has_one, value))


@pytest.mark.slow
@given(values)
def test_any_value(value: Any) -> None:
    assert (repeated_name(written(value).encode()) is not None) == has_one(value)
