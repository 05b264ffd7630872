"""Write `.env.example`: every setting as a variable, with its default, limits and meaning."""

import textwrap
from pathlib import Path

from novate import config
from novate.setting_kinds import Setting

HEADER = """\
# Every setting of Novate with its default. Copy to `.env` and uncomment what you change.
# A flag (--port) goes before a variable (NOVATE_PORT), a variable before a --config TOML file
# (port = 8000), the file before the default. Made by `make env-example`.

# TOML file of settings, as --config
# NOVATE_CONFIG=
"""


def example() -> str:
    """The whole file's text."""
    return HEADER + "".join(map(entry, config.TABLE))


def entry(row: Setting) -> str:
    """One setting: what it means, what it may be, and its default."""
    words = f"{row.rule.doc} ({row.rule.expected})"
    lines = textwrap.wrap(words, 96, initial_indent="# ", subsequent_indent="# ")
    return "\n" + "\n".join([*lines, f"# {row.variable}={row.default_text}", ""])


if __name__ == "__main__":
    path = Path(__file__).resolve().parent.parent / ".env.example"
    path.write_text(example(), encoding="utf-8")
    print(path.name)
