"""`python -m novate.loadtest`: the same as `novate loadtest`."""

import sys

from novate.loadtest.command import main

sys.exit(main(sys.argv[1:]))
