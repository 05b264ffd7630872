"""`python -m novate` is the `novate` command."""

from novate.cli import main

main()
