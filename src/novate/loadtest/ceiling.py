"""The generator's own ceiling: the same load against a bare echo server that it starts itself."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from novate.loadtest.options import Options

_START_S_MAX = 15.0
_STOP_S_MAX = 5.0
_POLL_S = 0.02


@contextlib.contextmanager
def echo_server(host: str = "127.0.0.1") -> Iterator[int]:
    """A bare echo server in a process of its own; gives its port, ends it on the way out.

    Raises:
        TimeoutError: it did not listen in time.
    """
    with _held_port(host) as port:
        command = [sys.executable, "-m", "novate.loadtest.echo"]
        process = subprocess.Popen([*command, "--host", host, "--port", str(port)])
        try:
            wait_for_port(host, port, _START_S_MAX)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _held_port(host: str) -> Iterator[int]:
    """A port that is bound without listening: nobody else is given it, our child may listen."""
    with socket.socket() as holder:
        holder.bind((host, 0))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield holder.getsockname()[1]


def measure_ceiling(options: Options) -> dict[str, Any]:
    """The report of the same load against the bare echo, run in a process of its own."""
    with echo_server() as port:
        plain = msgspec.structs.replace(
            options, host="127.0.0.1", port=port, rate=0.0, cancel=0, subscribers=0, probe=False
        )
        return run_apart(plain)


def run_apart(options: Options) -> dict[str, Any]:
    """Run a load test in a fresh process and return its document.

    Raises:
        RuntimeError: the process failed; what it said is in the message.
    """
    seconds_max = options.warmup_s + options.duration_s + 2 * options.drain_s + 180.0
    command = [sys.executable, "-m", "novate.loadtest.apart"]
    done = subprocess.run(
        command,
        input=msgspec.json.encode(options),
        capture_output=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()[-2000:]}")
    document: dict[str, Any] = msgspec.json.decode(done.stdout)
    return document


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for_port(host: str, port: int, seconds_max: float) -> None:
    """Return when something listens there; TimeoutError after `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port} after {seconds_max:g} s")
        time.sleep(_POLL_S)
