"""The figures of one load test, as a JSON document and as lines for a person."""

from typing import Any

import msgspec

from novate.loadtest.histogram import Histogram
from novate.loadtest.options import Options
from novate.loadtest.probe import Standing
from novate.loadtest.tally import Tally


class Report(msgspec.Struct, kw_only=True):
    """What was asked, what came back, and what the exchange says it did."""

    options: Options
    requests: int
    answered: int
    seconds: float
    requests_per_second: float
    orders_accepted: int
    orders_accepted_per_second: float
    late_cancels: int
    errors: dict[str, int]
    latency_ms: dict[str, float]
    lateness_ms: dict[str, float]
    """How late the generator itself sent, against its plan; part of the latency above."""
    generator_cpu: float
    """Share of one core that the generator used; near 1 it is the bottleneck."""
    megabytes_per_second: float
    orders_received: int
    orders_matched: int
    orders_matched_per_second: float
    trades: int
    answered_in_all: int
    """Answers of the whole run, those of the warm-up among them."""
    commands_cleared: int
    """What the exchange put through in the whole run: on disk, and through the engine where the
    queue is empty at the end."""
    commands_cleared_per_second: float
    queue_at_stop: int
    queue_at_end: int
    subscribers: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        options: Options,
        tally: Tally,
        lateness: Histogram,
        *,
        before: Standing,
        after: Standing,
        depth_at_stop: int,
        cpu_share: float,
    ) -> "Report":
        """The report of a finished run."""
        seconds = max((tally.last_answer_ns - tally.measure_from_ns) / 1e9, options.duration_s)
        whole = options.warmup_s + seconds
        matched = after.orders_matched - before.orders_matched
        cleared = after.commands_journaled - before.commands_journaled - max(after.queue_depth, 0)
        return cls(
            options=options,
            requests=tally.sent,
            answered=tally.answered,
            seconds=round(seconds, 3),
            requests_per_second=round(tally.answered / seconds, 1),
            orders_accepted=0 if options.read else tally.orders_accepted,
            orders_accepted_per_second=_rate(0 if options.read else tally.orders_accepted, seconds),
            late_cancels=tally.late_cancels,
            errors=dict(sorted(tally.errors.items())),
            latency_ms=tally.histogram().summary_ms(),
            lateness_ms=lateness.summary_ms() if lateness.count else {},
            generator_cpu=round(cpu_share, 3),
            megabytes_per_second=round(tally.bytes_received / 1e6 / whole, 2),
            orders_received=after.orders_received - before.orders_received,
            orders_matched=matched,
            orders_matched_per_second=_rate(matched, whole),
            trades=after.trades - before.trades,
            answered_in_all=tally.answered + tally.warmup,
            commands_cleared=cleared,
            commands_cleared_per_second=_rate(cleared, whole),
            queue_at_stop=depth_at_stop,
            queue_at_end=after.queue_depth,
        )

    @property
    def error_count(self) -> int:
        """Errors of every kind."""
        return sum(self.errors.values())

    def document(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    def lines(self) -> list[str]:
        """The report for a person."""
        found = [
            _asked(self.options),
            _answered(self),
            f"latency    {_in_words(self.latency_ms)}",
        ]
        if self.lateness_ms:
            found.append(f"lateness   {_in_words(self.lateness_ms)} (of this generator)")
        if not self.options.read:
            found.append(
                f"accepted   {self.orders_accepted:,} {_accepted_what(self.options)}, "
                f"{self.orders_accepted_per_second:,.0f}/s; late cancels {self.late_cancels:,}"
            )
        if self.options.probe and self.queue_at_end >= 0:
            found.append(
                f"exchange   cleared {self.commands_cleared:,} commands "
                f"({self.commands_cleared_per_second:,.0f}/s, warm-up and all), of "
                f"{self.orders_received:,} orders received {self.orders_matched:,} matched, trades "
                f"{self.trades:,}; queue {self.queue_at_stop} at the stop, "
                f"{self.queue_at_end} at the end"
            )
        if self.subscribers is not None:
            found.append(f"streams    {self.subscribers}")
        errors = ", ".join(f"{what}: {count:,}" for what, count in self.errors.items())
        found.append(f"errors     {errors or 'none'}")
        found.append(f"generator  {self.generator_cpu:.0%} of one core")
        return found


def _asked(options: Options) -> str:
    loop = f"open loop at {options.rate:,.0f}/s" if options.rate else "closed loop"
    what = f"GET {options.read}" if options.read else "orders"
    if options.batch:
        what = f"batches of {options.batch}"
    return (
        f"load       {what} over {options.transport}, {options.connections} connections, "
        f"{loop}, {options.duration_s:g} s after {options.warmup_s:g} s of warm-up"
    )


def _answered(report: Report) -> str:
    return (
        f"answered   {report.answered:,} in {report.seconds:.1f} s: "
        f"{report.requests_per_second:,.0f} requests/s, {report.megabytes_per_second:.1f} MB/s"
    )


def _accepted_what(options: Options) -> str:
    return "orders and cancels" if options.cancel else "orders"


def _in_words(summary: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in summary.items()) + "  ms"


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1)
