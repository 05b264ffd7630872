"""fixtures/gen_orders.py: the same options make the same orders, and they are what they claim."""

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from fixtures import gen_orders

SCRIPT = Path(__file__).resolve().parents[2] / "fixtures" / "gen_orders.py"


def generate(path, *arguments):
    gen_orders.main([*arguments, "--output", str(path)])
    return path.read_text(encoding="utf-8")


def rows(text):
    return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in text.splitlines()]


SMALL = ("--size", "2000", "--burst", "150")


def test_the_same_seed_makes_the_same_bytes_and_another_one_others(tmp_path):
    first = generate(tmp_path / "a", *SMALL)
    assert generate(tmp_path / "b", *SMALL) == first
    assert generate(tmp_path / "c", *SMALL, "--seed", "2") != first


def test_limit_orders_rest_in_the_band_and_the_burst_fills(tmp_path):
    made = rows(generate(tmp_path / "a", *SMALL, "--instrument", "ETH-USD", "--clients", "7"))
    limits, markets = made[:2000], made[2000:]
    assert {each["type"] for each in limits} == {"limit"}
    assert {each["type"] for each in markets} == {"market"}
    assert len(markets) == 150
    assert all("price" not in each for each in markets)
    assert {each["instrument"] for each in made} == {"ETH-USD"}
    assert len({each["order_id"] for each in made}) == len(made)
    assert {each["client_id"] for each in made} <= {f"client-{n}" for n in range(1, 8)}
    bids = [each["price"] for each in limits if each["side"] == "buy"]
    asks = [each["price"] for each in limits if each["side"] == "sell"]
    assert Decimal(70000) * Decimal("0.99") <= min(bids) <= max(bids) < min(asks)
    assert max(asks) <= Decimal(70000) * Decimal("1.01")
    for side, other in (("buy", "sell"), ("sell", "buy")):
        taken = sum(each["quantity"] for each in markets if each["side"] == side)
        rests = sum(each["quantity"] for each in limits if each["side"] == other)
        assert 0 < taken <= rests / 2


@pytest.mark.parametrize(
    ("tick", "lot"), [("0.01", "0.001"), ("0.5", "1"), ("25", "0.00000001"), ("0.0001", "100")]
)
def test_prices_and_quantities_lie_on_the_grid(tmp_path, tick, lot):
    made = rows(generate(tmp_path / "a", *SMALL, "--tick", tick, "--lot", lot))
    assert all(each["quantity"] > 0 and each["quantity"] % Decimal(lot) == 0 for each in made)
    prices = [each["price"] for each in made if "price" in each]
    assert all(price > 0 and price % Decimal(tick) == 0 for price in prices)
    assert len(set(prices)) > 20


def test_csv_holds_the_same_orders(tmp_path):
    made = rows(generate(tmp_path / "a", *SMALL))
    generate(tmp_path / "b", *SMALL, "--format", "csv")
    with (tmp_path / "b").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == list(gen_orders.FIELDS)
    assert [row["order_id"] for row in table] == [each["order_id"] for each in made]
    assert [row["price"] or None for row in table] == [
        str(each["price"]) if "price" in each else None for each in made
    ]


def test_a_burst_larger_than_the_book_ends_when_half_is_taken(tmp_path):
    made = rows(generate(tmp_path / "a", "--size", "20", "--burst", "1000"))
    assert 20 < len(made) < 1020


def test_it_runs_alone():
    command = [sys.executable, "-I", str(SCRIPT), "--size", "3", "--burst", "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(run.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "arguments", [["--size", "-1"], ["--clients", "0"], ["--tick", "nan"], ["--band", "2"]]
)
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        gen_orders.main(arguments)
    assert "expected" in capsys.readouterr().err


def test_a_file_that_can_not_be_written_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"away/orders\.jsonl: No such file or directory"):
        generate(tmp_path / "away" / "orders.jsonl", *SMALL)


def test_whoever_reads_a_pipe_may_stop():
    command = [sys.executable, "-I", str(SCRIPT), "--size", "5000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith(b'{"order_id"')
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 0
