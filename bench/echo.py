"""The bare echo of the benches: the same one that `novate loadtest --ceiling` measures itself by.

python -m bench.echo --port 9000
"""

from novate.loadtest.ceiling import echo_server
from novate.loadtest.echo import main

__all__ = ["echo_server"]

if __name__ == "__main__":
    main()
