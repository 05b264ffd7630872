"""What a load test is asked to do: every choice, its default and its check, in one place."""

import msgspec

Transport = str
TRANSPORTS = ("http", "ws")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One load test. Times in seconds, rates in requests (messages, batches) a second."""

    host: str = "127.0.0.1"
    port: int = 8000
    transport: Transport = "http"
    connections: int = 64
    window: int = 256
    """WebSocket: messages under way on one connection at a time (closed loop)."""
    rate: float = 0.0
    """Planned requests a second (open loop); 0 = as fast as answers come back (closed loop)."""
    duration_s: float = 10.0
    warmup_s: float = 1.0
    """Load before the measurement, not counted in it."""
    limit: int = 80
    market: int = 20
    cancel: int = 0
    """The mix, in parts: limit orders, market orders, cancels of orders placed before."""
    batch: int = 0
    """Orders in one `POST /orders/batch`; 0 = single orders."""
    read: str = ""
    """A path to GET instead of sending orders, such as `/orderbook?levels=20`."""
    instrument: str = "BTC-USD"
    clients: int = 200
    price_ticks: int = 7_000_000
    """The middle of the price band, in ticks of 0.01."""
    band_ticks: int = 100
    passive: bool = False
    """Limit orders keep to their own side of the middle and rest; else half of them cross it."""
    keys: bool = False
    """Give every order an idempotency key."""
    subscribers: int = 0
    """WebSocket subscribers of the book, in a process of their own, checked at the end."""
    seed: int = 1
    drain_s: float = 10.0
    """How long answers, and the exchange's queue, may take to come after the last request."""
    probe: bool = True
    """Ask the exchange itself (`/metrics`) before and after."""

    def check(self) -> None:
        """Raise ValueError naming the first choice that cannot be run."""
        rules = (
            (self.transport in TRANSPORTS, "transport: http or ws"),
            (1 <= self.connections <= 10_000, "connections: 1 to 10,000"),
            (1 <= self.window <= 100_000, "window: 1 to 100,000"),
            (0 <= self.rate <= 1_000_000, "rate: 0 to 1,000,000 a second"),
            (self.duration_s > 0, "duration: more than 0 seconds"),
            (self.warmup_s >= 0, "warmup: 0 seconds or more"),
            (min(self.limit, self.market, self.cancel) >= 0, "mix: no part below 0"),
            (self.limit + self.market > 0, "mix: some limit or market orders"),
            (self.cancel <= self.limit, "mix: no more cancels than limit orders"),
            (0 <= self.batch <= 1_000, "batch: 0 to 1,000 orders"),
            (not (self.batch and self.cancel), "batch: without cancels"),
            (not (self.batch and self.keys), "batch: without keys"),
            (not (self.batch and self.transport == "ws"), "batch: over http"),
            (not (self.read and self.transport == "ws"), "read: over http"),
            (1 <= self.clients <= 100_000, "clients: 1 to 100,000"),
            (0 < self.band_ticks < self.price_ticks, "band: between 0 and the price"),
            (0 <= self.subscribers <= 100_000, "subscribers: 0 to 100,000"),
        )
        for holds, rule in rules:
            if not holds:
                raise ValueError(rule)
