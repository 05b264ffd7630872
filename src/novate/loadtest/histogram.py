"""Latency histogram in logarithmic buckets: constant memory, 1% exact at every scale.

Owns the buckets and the percentiles. Never interpolates: a percentile is the upper bound of the
bucket that holds it, so it is never better than what was measured.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SUB_BUCKET_BITS = 7
"""128 buckets for each power of two: a reported value is at most 1/128 above the measured one."""

_SUB_BUCKETS = 1 << SUB_BUCKET_BITS
_VALUE_NS_MAX = (1 << 43) - 1  # about 2.4 hours
_BUCKETS = (43 - SUB_BUCKET_BITS + 1) * _SUB_BUCKETS

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)


class Histogram:
    """Counts of nanosecond values."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(_BUCKETS, dtype=np.int64)
        self.count = 0
        self.total_ns = 0
        self.minimum_ns = 0
        self.maximum_ns = 0

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Count every value of an int64 array; what is outside 0 to 2.4 hours is clipped to it."""
        if len(values_ns) == 0:
            return
        values = np.clip(values_ns, 0, _VALUE_NS_MAX)
        self.counts += np.bincount(_bucket_of(values), minlength=_BUCKETS)
        smallest = int(values.min())
        self.minimum_ns = min(self.minimum_ns, smallest) if self.count else smallest
        self.maximum_ns = max(self.maximum_ns, int(values.max()))
        self.count += len(values)
        self.total_ns += int(values.sum())

    def percentile_ns(self, percent: float) -> int:
        """The value that `percent` of the counted values do not exceed, in ns; 0 when empty."""
        if self.count == 0:
            return 0
        rank = max(1, int(np.ceil(self.count * percent / 100.0)))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(_upper_bound_ns(bucket), self.maximum_ns)

    def summary_ms(self, percentiles: Sequence[float] = PERCENTILES) -> dict[str, float]:
        """`{"p50": ..., "p99.99": ..., "min": ..., "mean": ..., "max": ...}` in milliseconds."""
        found = {f"p{percent:g}": self.percentile_ns(percent) / 1e6 for percent in percentiles}
        mean_ns = self.total_ns / self.count if self.count else 0.0
        found.update(min=self.minimum_ns / 1e6, mean=mean_ns / 1e6, max=self.maximum_ns / 1e6)
        return {name: round(value, 4) for name, value in found.items()}


def _bucket_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each value: exact below 256, then 128 equal steps in each power of two."""
    _, exponents = np.frexp(values.astype(np.float64))
    shifts: NDArray[np.int64] = np.maximum(exponents.astype(np.int64) - 1 - SUB_BUCKET_BITS, 0)
    buckets: NDArray[np.int64] = shifts * _SUB_BUCKETS + (values >> shifts)
    return buckets


def _upper_bound_ns(bucket: int) -> int:
    shift = max(0, bucket // _SUB_BUCKETS - 1)
    return ((bucket - shift * _SUB_BUCKETS + 1) << shift) - 1
