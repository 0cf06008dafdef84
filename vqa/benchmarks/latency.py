"""How long a model takes to answer one question, from an image file's bytes to the answer with all its weights."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.utils.images import load_image

WARMUP = 5


@dataclass(frozen=True)
class Latency:
    """Wall-clock milliseconds of `runs` calls: the median and the 95th percentile."""

    call: str
    runs: int
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, call: str, seconds: Sequence[float]) -> "Latency":
        """The summary of measured seconds."""
        median, p95 = (1000 * np.quantile(seconds, [0.5, 0.95])).tolist()
        return cls(call, len(seconds), median, p95)


def measure_asking(
    answerer: VisualQuestionAnswerer,
    images: Sequence[tuple[bytes, Sequence[str]]],
    runs: int = 200,
    on_run: Callable[[], object] = lambda: None,
) -> list[Latency]:
    """Time `runs` calls each of: a question about a new image (decoding included), and the next one about it.

    `images` are files' bytes, each with questions about it, taken in turn; nothing is cached from one run to the
    next. The first `WARMUP` runs are not counted.
    """
    first: list[float] = []
    following: list[float] = []
    for run in range(runs + WARMUP):
        data, questions = images[run % len(images)]
        fresh = VisualQuestionAnswerer(answerer.model, answerer.processor)
        start = time.perf_counter()
        image = load_image(data)
        fresh.ask(image, questions[run % len(questions)])
        middle = time.perf_counter()
        fresh.ask(image, questions[(run + 1) % len(questions)])
        end = time.perf_counter()
        if run >= WARMUP:
            first.append(middle - start)
            following.append(end - middle)
            on_run()
    return [Latency.of("new image", first), Latency.of("next question", following)]
