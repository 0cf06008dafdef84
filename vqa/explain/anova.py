"""How much of the variance of channel weights comes from the type of question, the question, and the image.

A balanced two-way analysis of variance without replication (Fisher 1925): every one of Q questions is asked about every
one of P images, so that the sums of squares add up, and their shares are eta squared. Questions are nested in types.
"""

import numpy as np

SOURCES = ("type", "question", "picture", "both")
"""Type of the question; the question within its type; the image; image and question together (their
interaction)."""


def variance_shares(values: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Shares of the variance of values (P, Q, C), summed over channels, that each of `SOURCES` explains.

    `types` (Q,) are those of the questions. The shares add up to 1, or are all 0 if nothing varies.
    """
    values = values.astype(np.float64)
    images = values.shape[0]
    mean = values.mean((0, 1))
    by_question, by_image = values.mean(0) - mean, values.mean(1) - mean
    kinds, places = np.unique(types, return_inverse=True)
    by_type = np.stack([by_question[places == i].mean(0) for i in range(len(kinds))])[places]
    total = float(((values - mean) ** 2).sum())
    squares = {
        "type": float((by_type**2).sum()) * images,
        "question": float(((by_question - by_type) ** 2).sum()) * images,
        "picture": float((by_image**2).sum()) * values.shape[1],
    }
    squares["both"] = max(0.0, total - sum(squares.values()))
    return {name: squares[name] / total if total > 1e-12 * values.size else 0.0 for name in SOURCES}
