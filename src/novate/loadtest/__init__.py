"""`novate loadtest`: a load generator that measures what a client would feel, and its own ceiling.

    flow        the requests, made beforehand
    pacing      when each is due (open loop), on a clock finer than the event loop's
    http, ws    the bytes on the wire, parsed no further than a measurement needs
    tally       what came back: latencies, statuses, errors by code
    probe       what the exchange says of itself before and after: matched, queued
    report      the figures, as text and JSON

It talks to an exchange only over the network and imports nothing of it, so it can be pointed at any
server, the bare echo (`echo`) among them.
"""

from novate.loadtest.command import main
from novate.loadtest.histogram import Histogram
from novate.loadtest.options import Options
from novate.loadtest.run import run

__all__ = ["Histogram", "Options", "main", "run"]
