"""Runs README's curl commands, in order, on a fresh exchange and writes the replies into it.

    python scripts/fill_readme.py            rewrites README.md
A ```sh block's curl commands are run; where a ```json block follows it, that becomes the reply of
the last one. `# 409` at a command's end is the status it must answer, without it any 2xx.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
ADDRESS = "localhost:8000"

_BLOCK = re.compile(r"```sh\n(?P<commands>.*?)```\n(?P<reply>```json\n.*?```\n)?", re.DOTALL)
_COMMAND = re.compile(r"^(curl .*?)(?:\s+# ([0-9]{3}))?$", re.MULTILINE)
_LINE_MAX = 150
_FOLLOWER_SECONDS_MAX = 60.0
_HISTORY = re.compile(r"/events|/trades/stats|/market/analytics|/market/positions")


@dataclass(frozen=True)
class Request:
    """One curl command of the document."""

    command: str
    status: int | None

    def answered_as_said(self, status: int) -> bool:
        """Whether this status is what the document says."""
        return 200 <= status < 300 if self.status is None else status == self.status


def requests_of(commands: str) -> list[Request]:
    """The curl commands of a block, continued lines joined."""
    joined = re.sub(r" *\\\n *", " ", commands)
    return [
        Request(found[1], int(found[2]) if found[2] else None)
        for found in _COMMAND.finditer(joined)
    ]


def all_requests(text: str) -> list[Request]:
    """Every curl command of the document, in order."""
    return [
        request for block in _BLOCK.finditer(text) for request in requests_of(block["commands"])
    ]


def run(request: Request, address: str) -> tuple[int, str]:
    """The status and body that a server at this address answers with."""
    if _HISTORY.search(request.command):
        _wait_for(r'"ledger":\{"status":"up","lag_sequences":0,', address)
    return _run(request, address)


def _run(request: Request, address: str) -> tuple[int, str]:
    words = shlex.split(request.command.replace(ADDRESS, address))
    words[1:1] = ["--max-time", "30", "--write-out", "\n%{http_code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def fill(text: str, address: str) -> str:
    """The document with the replies of a fresh exchange at this address.

    Raises:
        RuntimeError: a command was answered with another status than the document says.
    """

    def replace(block: re.Match[str]) -> str:
        body = ""
        for request in requests_of(block["commands"]):
            status, body = run(request, address)
            if not request.answered_as_said(status):
                raise RuntimeError(f"{status} from {request.command}: {body}")
        if block["reply"] is None:
            return block[0]
        return f"```sh\n{block['commands']}```\n```json\n{shown(body)}\n```\n"

    return _BLOCK.sub(replace, text)


def shown(body: str) -> str:
    """A JSON body as a person reads it: on one line if it is short, a member a line if not."""
    numbers = {"parse_float": _Verbatim, "parse_int": _Verbatim}
    return _laid_out(json.loads(body, **numbers), "")


class _Verbatim(str):
    """A JSON number, as it was written."""


def _laid_out(value: object, indent: str) -> str:
    flat = _flat(value)
    if len(indent) + len(flat) <= _LINE_MAX or not isinstance(value, (dict, list)):
        return flat
    deeper = indent + " "
    if isinstance(value, list):
        parts = [_laid_out(each, deeper) for each in value]
        return "[" + f",\n{deeper}".join(parts) + "]"
    members = [f"{json.dumps(key)}: {_laid_out(each, deeper)}" for key, each in value.items()]
    lines = [members[0]]
    for member in members[1:]:
        whole = f"{indent}{lines[-1]}, {member}"
        if "\n" in member or "\n" in lines[-1] or len(whole) > _LINE_MAX:
            lines.append(member)
        else:
            lines[-1] += f", {member}"
    return "{" + f",\n{deeper}".join(lines) + "}"


def _flat(value: object) -> str:
    if isinstance(value, _Verbatim):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return json.dumps(value)


def wait_for_follower(address: str) -> None:
    """Wait until the exchange is whole, as it is a moment after its start."""
    _wait_for(r'"running".*"ledger":\{"status":"up"', address)


def _wait_for(pattern: str, address: str) -> None:
    """Wait until `/healthz` says this."""
    health = Request(f"curl -s {ADDRESS}/healthz", None)
    deadline = time.monotonic() + _FOLLOWER_SECONDS_MAX
    while not re.search(pattern, _run(health, address)[1]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected {pattern} of /healthz")
        time.sleep(0.05)


def main() -> int:
    """Start an exchange, fill the document, end the exchange."""
    sys.path.insert(0, str(ROOT))
    from bench.servers import Exchange

    with tempfile.TemporaryDirectory() as folder:
        exchange = Exchange(Path(folder) / "data")
        try:
            exchange.start()
            address = f"127.0.0.1:{exchange.port}"
            wait_for_follower(address)
            filled = fill(README.read_text(), address)
            README.write_text(filled.replace(f"{folder}/", ""))
        finally:
            exchange.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
