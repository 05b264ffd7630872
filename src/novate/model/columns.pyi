from typing import Any

import numpy as np
from numpy.typing import NDArray

def command_columns(packed: bytes) -> tuple[NDArray[np.int64], NDArray[Any]]: ...
def uuids(packed: bytes, offsets: NDArray[np.int64]) -> tuple[list[str], list[int]]: ...
