"""One load test in a process of its own: options as JSON on stdin, the report as JSON on stdout."""

import sys

import msgspec

from novate.loadtest.options import Options
from novate.loadtest.run import run


def main() -> None:
    """Run as the generator process of a bench or of `--ceiling`."""
    options = msgspec.json.decode(sys.stdin.buffer.read(), type=Options)
    sys.stdout.buffer.write(msgspec.json.encode(run(options)))


if __name__ == "__main__":
    main()
