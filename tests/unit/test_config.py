"""The settings: where each comes from, what is refused and how it is said."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from novate import config, setting_kinds
from novate.model.errors import ConfigurationError
from novate.model.instrument import Limits

ROOT = Path(__file__).resolve().parents[2]
GOLD = {
    "name": "XAU-EUR",
    "tick_size": "0.05",
    "lot_size": "0.001",
    "base_asset": "XAU",
    "quote_asset": "EUR",
    "quote_scale": 6,
}


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "novate.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_what_a_newcomer_meets():
    settings = config.load()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8000, Path("data"))
    assert settings.relaxed_ms == 0
    assert [each.name for each in settings.instruments] == ["BTC-USD", "ETH-USD"]


def test_a_flag_goes_before_a_variable_before_the_file_before_the_default(tmp_path):
    path = toml(tmp_path, "port = 1\npartition = 1\nsnapshots_kept = 5\n")
    environ = {"NOVATE_PORT": "2", "NOVATE_PARTITION": "2"}
    settings = config.load({"port": "3", "partition": None}, environ, path)
    assert (settings.port, settings.partition, settings.snapshots_kept) == (3, 2, 5)
    assert settings.queue_commands_max == 65536


def test_a_variable_names_the_file_and_an_empty_one_sets_nothing(tmp_path):
    path = toml(tmp_path, "port = 4\n")
    settings = config.load({}, {"NOVATE_CONFIG": str(path), "NOVATE_PORT": ""})
    assert settings.port == 4


@pytest.mark.parametrize("row", config.TABLE, ids=lambda row: row.name)
def test_every_default_is_within_its_own_limits(row):
    assert row.rule.parse(setting_kinds.to_text(row.default)) == row.default
    assert row.rule.doc
    assert row.rule.expected


def test_all_settings_pass_through_variables_unchanged(tmp_path):
    written = 'durability = "relaxed=5"\nheartbeat_seconds = 0.25\nfollower = false\n'
    settings = config.load(config=toml(tmp_path, written))
    assert config.load(environ=config.to_environ(settings)) == settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("journal_segment_bytes", "64MiB", 64 * 1024**2),
        ("journal_segment_bytes", "1 GiB", 1024**3),
        ("journal_segment_bytes", "2097152", 2 * 1024**2),
        ("follower", "no", False),
        ("follower", "TRUE", True),
        ("request_timeout_seconds", "2.5", 2.5),
        ("durability", "relaxed=20", "relaxed=20"),
        ("rate_limit_per_second", "0", 0),
        ("instruments", json.dumps([GOLD]), (setting_kinds.InstrumentSettings(**GOLD),)),
    ],
)
def test_text_is_read_by_the_settings_own_rule(name, text, value):
    assert getattr(config.load({name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "8_000"),
        ("port", "٨٠٠٠"),
        ("port", "1e3"),
        ("port", "9" * 5000),
        ("port", True),
        ("host", "two words"),
        ("data_dir", "a\0b"),
        ("durability", "relaxed"),
        ("durability", "relaxed=0"),
        ("durability", "relaxed=100000"),
        ("body_bytes_max", "1 MB"),
        ("body_bytes_max", "65MiB"),
        ("heartbeat_seconds", "nan"),
        ("heartbeat_seconds", "1e1"),
        ("heartbeat_seconds", "0"),
        ("follower", "perhaps"),
        ("log_level", "loud"),
        ("instruments", "BTC-USD"),
        ("instruments", "[" * 100_000),
        ("instruments", json.dumps([GOLD, GOLD])),
        ("instruments", json.dumps([GOLD | {"colour": "red"}])),
        ("instruments", json.dumps([GOLD | {"tick_size": "0"}])),
        ("instruments", json.dumps([GOLD | {"tick_size": "1e-2"}])),
        ("instruments", json.dumps([GOLD | {"quote_scale": 4}])),
        ("instruments", json.dumps([{"name": "XAU-EUR"}])),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_what_was_expected(name, text):
    with pytest.raises(ConfigurationError, match=rf"^--{name.replace('_', '-')}: expected .*found"):
        config.load({name: text})


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"websocket_buffer_bytes": "16MiB"}, "websocket_buffer_bytes_max"),
        ({"publish_interval_ms": "2000"}, "publish_interval_ms_max"),
        ({"queue_commands_max": "2000"}, "batch_commands_max"),
        ({"idempotency_window_hours": 1, "idempotency_window_minutes_min": 61}, "window"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags, named):
    with pytest.raises(ConfigurationError, match=named):
        config.load(flags)


def test_a_file_with_an_unknown_key_is_refused_by_name(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"novate\.toml: found 'prot' \(is it port\?\), exp"
    ):
        config.load(config=toml(tmp_path, "prot = 8000\n"))


def test_a_file_that_is_no_toml_or_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="expected TOML"):
        config.load(config=toml(tmp_path, "port 8000"))
    with pytest.raises(ConfigurationError, match="expected a readable TOML file"):
        config.load(config=tmp_path / "absent.toml")


def test_a_misspelt_variable_is_found():
    environ = {"NOVATE_PROT": "1", "NOVATE_PORT": "1", "NOVATE_SOAK": "1", "HOME": "/"}
    assert config.unknown_variables(environ) == ["NOVATE_PROT"]


def test_an_instrument_in_the_file_is_exact_even_where_toml_has_a_float(tmp_path):
    text = "[[instruments]]\n" + "\n".join(
        f"{name} = {json.dumps(value)}" for name, value in GOLD.items()
    )
    text = text.replace('"0.05"', "0.05").replace('"0.001"', "0.001")
    (gold,) = config.load(config=toml(tmp_path, text)).instruments
    instrument = gold.to_instrument()
    assert (instrument.tick_coefficient, instrument.tick_exponent) == (5, 2)
    assert (instrument.lot_coefficient, instrument.lot_exponent) == (1, 3)
    assert instrument.quote_units == 50


def test_a_tick_above_one_has_no_negative_exponent():
    gold = setting_kinds.InstrumentSettings(**GOLD | {"tick_size": "250"})
    assert gold.to_instrument().tick_coefficient == 250
    assert gold.to_instrument().tick_exponent == 0


def test_the_engines_limits_come_from_the_settings():
    limits = config.load({"idempotency_window_hours": "2", "clients_max": "7"}).limits
    assert (limits.idempotency_window_ns, limits.clients_max) == (7200 * 10**9, 7)


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_every_limit_follows_its_setting(name):
    setting, unit = {
        "idempotency_window_ns": ("idempotency_window_hours", 3600 * 10**9),
        "idempotency_window_ns_min": ("idempotency_window_minutes_min", 60 * 10**9),
    }.get(name, (name, 1))
    assert getattr(config.load({setting: "77"}).limits, name) == 77 * unit


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.load().port = 1


def test_the_example_file_is_made_from_the_table():
    made = runpy.run_path(str(ROOT / "scripts" / "make_env_example.py"))["example"]()
    assert (ROOT / ".env.example").read_text() == made, "run `make env-example`"


@pytest.mark.slow
def test_the_command_line_has_every_setting_and_refuses_in_one_line(tmp_path):
    def novate(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "novate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)

    shown = novate("serve", "--help").stdout
    assert [row.flag for row in config.TABLE if row.flag not in shown] == []
    refused = novate("serve", "--port", "eighty")
    assert refused.returncode == 2
    assert refused.stderr == (
        "novate: --port: expected a whole number from 0 to 65535, found 'eighty'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_no_setting_is_read_by_nobody():
    package = ROOT / "src" / "novate"
    others = [path for path in package.rglob("*.py") if path.name != "config.py"]
    read = set(re.findall(r"\.([a-z_]+)", "\n".join(path.read_text("utf-8") for path in others)))
    read |= set(re.findall(r"\bself\.([a-z_]+)", (package / "config.py").read_text("utf-8")))
    assert sorted({row.name for row in config.TABLE} - read) == []
