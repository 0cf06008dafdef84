"""The forward and backward pass of a training step as one CUDA graph, which the host launches at once.

A step of film-qcse is some 4,700 small kernels. Launching them one by one takes the host three times as long as they
take the GPU, so that it waits; a graph of them is recorded once and launched as one (CUDA C++ Programming Guide,
section "CUDA Graphs"). Its shapes are fixed: batches are padded to one of a few, with questions that have no targets.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.training.data import Batch
from vqa.training.runtime import warn
from vqa.training.targets import SceneTargets, StepTargets

Terms = dict[str, Tensor]
"""The number of terms of each loss in the global batch."""
Pass = Callable[[Batch, Tensor, Terms], Any]
"""A batch with its images (N, 3, H, W), forward and backward: leaves gradients, returns tensors that it measured."""

_WARMUP = 2
"""Passes of each shape before its graph is recorded, in which libraries choose and load their kernels. The last one
raises where the host would wait."""
_MOST = 16
"""Graphs that are kept; batches of yet another shape go without."""
_WORDS = 8
"""Questions are padded to a multiple of so many words."""
_SIZES = 8
"""Numbers of questions that batches are padded to."""


@dataclass
class _Graph:
    """A recorded pass: where it reads its inputs, and where it leaves what it measured and the gradients."""

    graph: Any
    inputs: list[Tensor]
    measured: Any
    gradients: list[Tensor | None]


class StepGraphs:
    """Runs passes of full batches, of `images` images and up to `questions` questions, as CUDA graphs.

    Batches of fewer images, the first ones of every shape, and all where `images` is None run as they are. If a pass
    cannot be recorded, such as that of an encoder which waits for the device, there is a warning, and all go on without
    graphs.
    """

    def __init__(
        self,
        run: Pass,
        parameters: Sequence[nn.Parameter],
        images: int | None,
        questions: int | None,
        longest: int = 1_000_000,
    ) -> None:
        """`longest` is the most words that a question can be padded to."""
        self.run, self.parameters, self.images, self.questions = run, parameters, images, questions or 0
        self.longest, self.kind, self.usable = longest, object(), True
        self._graphs: dict[tuple, _Graph] = {}
        self._seen: Counter[tuple] = Counter()
        self._pool: Any = None

    def __call__(self, batch: Batch, images: Tensor, terms: Terms, kind: object = None) -> Any:
        """What `run` gives for the batch. Passes of another `kind` than the last take other ways through the model."""
        if not self.usable or len(images) != self.images:
            return self.run(batch, images, terms)
        if kind != self.kind:
            self._forget()
            self.kind = kind
        batch = pad_batch(batch, *self._size(batch))
        key = tuple(batch.input_ids.shape)
        self._seen[key] += 1
        if key not in self._graphs:
            if self._seen[key] < _WARMUP or len(self._graphs) == _MOST:
                return self.run(batch, images, terms)
            try:
                if self._seen[key] == _WARMUP:
                    with _refusing_waits(images.device):
                        return self.run(batch, images, terms)
                self._graphs[key] = self.record(batch, images, terms)
            except RuntimeError as error:
                self._give_up(error)
                return self.run(batch, images, terms)
        return self._replay(self._graphs[key], batch, images, terms)

    def _give_up(self, error: RuntimeError) -> None:
        warn(f"training goes on without CUDA graphs, for a step cannot be recorded: {error}"[:300])
        self.usable = False
        self._forget()
        for parameter in self.parameters:
            parameter.grad = None

    def _forget(self) -> None:
        self._graphs, self._pool = {}, None
        self._seen.clear()

    def record(self, batch: Batch, images: Tensor, terms: Terms) -> _Graph:
        """Record the pass for batches of this shape; gradients must be None."""
        inputs = [value.clone() for value in _flat(batch, images, terms)]
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        with torch.cuda.graph(graph, self._pool, torch.cuda.current_stream()):
            measured = self.run(*_rebuilt(batch, inputs, terms))
        return _Graph(graph, inputs, measured, [parameter.grad for parameter in self.parameters])

    def _replay(self, graph: _Graph, batch: Batch, images: Tensor, terms: Terms) -> Any:
        torch._foreach_copy_(graph.inputs, _flat(batch, images, terms))
        graph.graph.replay()
        for parameter, gradient in zip(self.parameters, graph.gradients, strict=True):
            parameter.grad = gradient
        return graph.measured

    def _size(self, batch: Batch) -> tuple[int, int]:
        questions, words = batch.input_ids.shape
        unit = -(-self.questions // _SIZES)
        padded = max(words, min(self.longest, -(-words // _WORDS) * _WORDS))
        return min(self.questions, -(-questions // unit) * unit), padded


@contextmanager
def beside_default_stream(device: torch.device) -> Iterator[None]:
    """Work in a stream of its own, as recording a graph demands; on another device than CUDA's nothing changes."""
    if device.type != "cuda":
        yield
        return
    before, stream = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)  # an interrupted run saves what its last step leaves


@contextmanager
def _refusing_waits(device: torch.device) -> Iterator[None]:
    """CUDA raises RuntimeError where the host would wait for it, which would spoil a recording beyond repair."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def pad_batch(batch: Batch, questions: int, words: int) -> Batch:
    """The batch with this many questions, of this many words, none fewer than it has.

    Those that are added repeat its first ones, so that statistics over questions hardly move, but have no targets.
    """
    number, length = batch.input_ids.shape
    if (questions, words) == (number, length):
        return batch
    places = torch.arange(questions, device=batch.labels.device)
    again, real = places % number, places < number
    steps = StepTargets(*(values[again] for values in batch.steps))
    return replace(
        batch,
        input_ids=F.pad(batch.input_ids, (0, words - length))[again],
        attention_mask=F.pad(batch.attention_mask, (0, words - length))[again],
        image_index=batch.image_index[again],
        labels=batch.labels[again].where(real, -100),
        steps=steps._replace(known=steps.known[again] & real),
    )


def _flat(batch: Batch, images: Tensor, terms: Terms) -> list[Tensor]:
    questions = [batch.input_ids, batch.attention_mask, batch.image_index, batch.labels]
    return [images, *questions, *batch.scenes, *batch.steps, *terms.values()]


def _rebuilt(batch: Batch, flat: Sequence[Tensor], terms: Terms) -> tuple[Batch, Tensor, Terms]:
    values = iter(flat)
    images, ids, mask, index, labels = (next(values) for _ in range(5))
    scenes = SceneTargets(*(next(values) for _ in batch.scenes))
    steps = StepTargets(*(next(values) for _ in batch.steps))
    rebuilt = replace(
        batch, input_ids=ids, attention_mask=mask, image_index=index, labels=labels, scenes=scenes, steps=steps
    )
    return rebuilt, images, dict(zip(terms, values, strict=True))
