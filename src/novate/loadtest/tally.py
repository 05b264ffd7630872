"""What came back: latencies, statuses, and errors by status and code.

Owns the counts of one run. The good answer is the cheap path; anything else is decoded and counted
by what it says.
"""

import array

import msgspec
import numpy as np

from novate.loadtest.histogram import Histogram

LATE_CANCEL = "409 already_closed"
"""A cancel that came after its order was filled: an answer of the market, not an error."""

_GOOD = frozenset((b"200", b"201"))


class Tally:
    """Counts answers; those of requests planned before `measure_from_ns` only as warm-up."""

    def __init__(self) -> None:
        self.measure_from_ns = 0
        self.sent = 0
        self.warmup = 0
        self.good = 0
        self.orders_accepted = 0
        self.late_cancels = 0
        self.errors: dict[str, int] = {}
        self.bytes_received = 0
        self.last_answer_ns = 0
        self.orders_of_good = 1
        self._latencies_ns: array.array[int] = array.array("q")

    def http(self, response: bytes, body_at: int, planned_ns: int, now_ns: int) -> None:
        """Count one whole HTTP response."""
        if planned_ns < self.measure_from_ns:
            self.warmup += 1
            return
        self._latencies_ns.append(now_ns - planned_ns)
        self.last_answer_ns = now_ns
        status = response[9:12]
        if status in _GOOD:
            self._count_good(response, body_at)
        else:
            self._count_other(f"{status.decode()} {_problem_code(response[body_at:])}")

    def message(self, payload: bytes, planned_ns: int, now_ns: int) -> None:
        """Count one WebSocket answer to a request."""
        if planned_ns < self.measure_from_ns:
            self.warmup += 1
            return
        self._latencies_ns.append(now_ns - planned_ns)
        self.last_answer_ns = now_ns
        # An echo answers with the request itself.
        if payload.startswith((b'{"type":"order_accepted"', b'{"op":')):
            self.good += 1
            self.orders_accepted += 1
        else:
            self._count_other(_message_problem(payload))

    def lost(self, reason: str, count: int = 1) -> None:
        """Count requests that got no answer."""
        if count:
            self.errors[reason] = self.errors.get(reason, 0) + count

    @property
    def answered(self) -> int:
        """Answers counted in the measurement, good or not."""
        return len(self._latencies_ns)

    @property
    def error_count(self) -> int:
        """Answers that are neither good nor the market's own, and requests without any."""
        return sum(self.errors.values())

    def histogram(self) -> Histogram:
        """The latencies measured, from the planned send time to the whole answer."""
        histogram = Histogram()
        histogram.add(np.frombuffer(self._latencies_ns, dtype=np.int64))
        return histogram

    def _count_good(self, response: bytes, body_at: int) -> None:
        self.good += 1
        if self.orders_of_good == 1:
            self.orders_accepted += 1
            return
        accepted = response.count(b'"status":201', body_at)
        self.orders_accepted += accepted
        if accepted < self.orders_of_good:
            self._count_refused_operations(response[body_at:])

    def _count_refused_operations(self, body: bytes) -> None:
        try:
            outcomes = msgspec.json.decode(body)["outcomes"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return  # a bare echo has no outcomes
        for outcome in outcomes:
            if outcome["status"] != 201:
                code = outcome.get("problem", {}).get("code", "rejected")
                self._count_other(f"{outcome['status']} {code}")

    def _count_other(self, what: str) -> None:
        if what == LATE_CANCEL:
            self.late_cancels += 1
        else:
            self.errors[what] = self.errors.get(what, 0) + 1


def _problem_code(body: bytes) -> str:
    """The `code` of a problem document, the `reason` of a refused order, or `?`."""
    try:
        document = msgspec.json.decode(body)
        return str(document.get("code") or document.get("reason") or "?")
    except (msgspec.DecodeError, AttributeError):
        return "?"


def _message_problem(payload: bytes) -> str:
    try:
        message = msgspec.json.decode(payload)
        problem = message.get("problem") or {}
        order = message.get("order") or {}
        code = problem.get("code") or order.get("reason") or "?"
        return f"{problem.get('status', message.get('type', '?'))} {code}"
    except (msgspec.DecodeError, AttributeError):
        return "?"
