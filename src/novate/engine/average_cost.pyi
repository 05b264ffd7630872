from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD: np.dtype[Any]

def hold(
    price_ticks: NDArray[np.int64],
    quantity_lots: NDArray[np.int64],
    buyer: NDArray[np.int64],
    seller: NDArray[np.int64],
    count: int,
    before: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
