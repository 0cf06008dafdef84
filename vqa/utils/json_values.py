"""Values as JSON has them: arrays as nested lists, tuples as lists, numbers rounded."""

from typing import Any

import numpy as np


def plain(value: Any, digits: int) -> Any:
    """Nested dicts, sequences and arrays as plain dicts and lists, with floats rounded to `digits`."""
    if isinstance(value, dict):
        return {key: plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, np.ndarray):
        return np.round(value.astype(float), digits).tolist()
    return round(value, digits) if isinstance(value, float) else value
