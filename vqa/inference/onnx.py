"""Models in ONNX: a checkpoint's export, and what runs one with onnxruntime in the place of torch.

An export is a folder with two graphs, the stem (`encode_images`) and all that comes after it for each question, the
checkpoint's configuration and processor, and onnx.json, which names the outputs in order and the files' SHA-256.
"""

import hashlib
import json
import logging
import os
import re
import warnings
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.export import Dim
from torch.utils import _pytree as pytree

from vqa.errors import InputError
from vqa.inference.checkpoints import checkpoint_folder, load_checkpoint, load_processor, read_config, weights_sha256
from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.processing import FilmSEProcessor
from vqa.utils.files import first_line, read_limited, read_object, write_file

_STEM, _QUESTION, _CONFIG, _RECORD = "stem.onnx", "question.onnx", "config.json", "onnx.json"
_INPUTS = ("image_features", "input_ids", "attention_mask", "image_index")
_MAX_BYTES = 2**31 - 1  # as protobuf has it
_REMEDY = "export the checkpoint again"


def export_onnx(checkpoint: str | os.PathLike | None, out: str | os.PathLike) -> None:
    """Write a checkpoint (the shipped one by default) as ONNX to the folder `out`.

    The numbers of images, of questions and of words are free. Raises InputError for a checkpoint that cannot be
    loaded, a folder that holds one or cannot be written, and where a package is missing.
    """
    _package("onnx"), _package("onnxscript")
    folder = Path(out)
    if (folder / "model.safetensors").exists():
        raise InputError(f"{folder}: holds a checkpoint; give --out a folder of its own")
    model, processor = load_checkpoint(checkpoint, "cpu")
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        inputs = _example(model)
        images, questions, length = Dim("images", max=65536), Dim("questions", max=65536), Dim("length", max=65536)
        free: dict[str, Any] = {"image_features": {0: images}, "image_index": {0: questions}}
        free |= {name: {0: questions, 1: length} for name in ("input_ids", "attention_mask")}
        pixels = torch.zeros(2, 3, *model.config.image_size)
        stem = _graph(_Stem(model), {"pixel_values": pixels}, {"pixel_values": {0: images}}, ["image_features"])
        names = list(_named(model(**inputs)))
        files = {_STEM: stem, _QUESTION: _graph(_Question(model), inputs, free, names)}
    with TemporaryDirectory() as temporary:
        model.config.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        files |= {path.name: path.read_bytes() for path in sorted(Path(temporary).iterdir())}
    record = {"weights_sha256": weights_sha256(checkpoint), "outputs": names}
    record |= {name: hashlib.sha256(files[name]).hexdigest() for name in (_STEM, _QUESTION, _CONFIG)}
    for name, data in (files | {_RECORD: json.dumps(record, indent=1).encode()}).items():
        write_file(folder / name, data)


class OnnxModel:
    """Has what `VisualQuestionAnswerer` asks of a model, on the CPU; its weights are in the sessions alone.

    Args:
        folder: of the export.
        config: the checkpoint's.
        stem, question: onnxruntime's sessions.
        form: an output with every part in its place, of any shape.
    """

    device = torch.device("cpu")

    def __init__(self, folder: Path, config: FilmSEConfig, stem: Any, question: Any, form: FilmSEOutput) -> None:
        self.folder, self.config, self.stem, self.question = folder, config, stem, question
        self.scene = form.scene
        self._leaves, self._spec = pytree.tree_flatten(form)

    def __getattr__(self, name: str) -> Any:
        raise _NotInOnnxError(f"backend onnx answers questions only, and has no {name}; load the checkpoint with torch")

    def __reduce__(self) -> tuple:
        return _open, (self.folder,)

    def eval(self) -> "OnnxModel":
        """Itself: it is never in training."""
        return self

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> features (N, C, h, w)."""
        return torch.from_numpy(self.stem.run(None, {"pixel_values": pixel_values.numpy()})[0])

    def __call__(
        self, image_features: Tensor, input_ids: Tensor, attention_mask: Tensor, image_index: Tensor | None = None
    ) -> FilmSEOutput:
        """What `FilmSEForVisualQuestionAnswering.forward` gives for the same."""
        index = torch.arange(len(input_ids)) if image_index is None else image_index
        given = zip(_INPUTS, (image_features, input_ids, attention_mask, index), strict=True)
        found = iter(self.question.run(None, {name: value.numpy() for name, value in given}))
        parts = [leaf if leaf is None else torch.from_numpy(next(found)) for leaf in self._leaves]
        return pytree.tree_unflatten(parts, self._spec)


class _NotInOnnxError(InputError, AttributeError):
    """Of an attribute, so that `hasattr` is False."""


def load_onnx(
    source: str | os.PathLike | None, device: str | torch.device | None = None
) -> tuple[OnnxModel, FilmSEProcessor]:
    """The model and the processor of an export's folder.

    Raises InputError for a folder without an export or with a broken one, for a device other than the CPU, and where
    onnxruntime is missing.
    """
    if device is not None and str(device) != "cpu":
        raise InputError(f"device: {str(device)!r:.40} is not available with the backend onnx; leave it out")
    folder = checkpoint_folder(source)
    model = _open(folder)
    return model, load_processor(folder, model.config)


def _open(folder: Path) -> OnnxModel:
    try:
        record = read_object(folder / _RECORD, 1_000_000, _REMEDY)
        files = {name: read_limited(folder / name, _MAX_BYTES, _REMEDY) for name in (_STEM, _QUESTION, _CONFIG)}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InputError(
            f"{folder}: no ONNX export, for {missing} is missing; make one with `vqa export onnx CHECKPOINT --out DIR`"
        ) from error
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != record.get(name):
            raise InputError(f"{folder / name}: not the file that {_RECORD} names; {_REMEDY}")
    config = read_config(folder)
    with FakeTensorMode(), torch.no_grad():  # shapes alone; autocast knows no device "meta"
        network = FilmSEForVisualQuestionAnswering(config).eval()
        inputs = _example(network)
        form = network(**inputs)
    if record.get("outputs") != list(_named(form)):
        raise InputError(f"{folder / _RECORD}: the outputs are not those of config.json's model; {_REMEDY}")
    stem, question = (_session(folder / name, files[name]) for name in (_STEM, _QUESTION))
    model = OnnxModel(folder, config, stem, question, form)
    try:
        features = model.encode_images(torch.zeros(2, 3, *config.image_size))
        given = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in inputs.items()}
        found = model(**given | {"image_features": features, "attention_mask": torch.ones(3, 5, dtype=torch.long)})
    except Exception as error:
        raise InputError(f"{folder}: onnxruntime cannot run it ({first_line(error)}); {_REMEDY}") from error
    kinds = [{name: (part.shape, part.dtype) for name, part in _named(output).items()} for output in (form, found)]
    if kinds[0] != kinds[1]:
        raise InputError(f"{folder}: the graphs' outputs are not those of config.json's model; {_REMEDY}")
    return model


def _example(model: FilmSEForVisualQuestionAnswering) -> dict[str, Tensor]:
    """Inputs of the question half: three questions of five words about two images. No two sizes are equal."""
    tokens, mask = (torch.ones(3, 5, dtype=torch.long) for _ in range(2))  # one tensor for both would become one input
    index = torch.zeros(3, dtype=torch.long)
    features = model.encode_images(torch.zeros(2, 3, *model.config.image_size))
    return dict(zip(_INPUTS, (features, tokens, mask, index), strict=True))


def _named(output: FilmSEOutput) -> dict[str, Tensor]:
    """An output's tensors by name, as `film_gamma.0` and `scene.center`, in the graph's order."""
    parts = pytree.tree_flatten_with_path(output)[0]
    return {".".join(re.findall(r"\w+", pytree.keystr(path))): part for path, part in parts if part is not None}


class _Stem(nn.Module):
    def __init__(self, model: FilmSEForVisualQuestionAnswering) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.model.encode_images(*inputs),)


class _Question(_Stem):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_named(self.model(**dict(zip(_INPUTS, inputs, strict=True)))).values())


def _graph(half: nn.Module, inputs: dict[str, Tensor], free: dict[str, Any], outputs: list[str]) -> bytes:
    """One half as an ONNX file's bytes. torch.export refuses a free size that became fixed; torch.onnx would not."""
    shapes = tuple(free[name] for name in inputs)
    program = torch.export.export(half, tuple(inputs.values()), dynamic_shapes=(shapes,), strict=False)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    table: dict[Any, Any] = {torch.ops.vqa.gru.default: _gru}
    exported = torch.onnx.export(
        program, input_names=list(inputs), output_names=outputs, custom_translation_table=table, verbose=False
    )
    assert exported is not None
    proto = exported.model_proto
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # traces with this machine's paths
    return proto.SerializeToString(deterministic=True)


def _gru(words: Any, weights: list[Any], layers: int) -> Any:
    """`vqa.model.text.run_gru` in ONNX, whose gates stand in the order update, reset, new; torch has reset first."""
    op = import_module("onnxscript").opset18
    size, first = weights[1].shape[1], op.Constant(value_ints=[0])
    order = op.Constant(value_ints=[*range(size, 2 * size), *range(size), *range(2 * size, 3 * size)])
    out = op.Transpose(words, perm=[1, 0, 2])
    for layer in range(layers):
        *matrices, bias, recurrent_bias = (op.Gather(x, order, axis=0) for x in weights[4 * layer : 4 * layer + 4])
        into, recurrent = (op.Unsqueeze(x, first) for x in matrices)
        biases = op.Unsqueeze(op.Concat(bias, recurrent_bias, axis=0), first)
        states, _ = op.GRU(out, into, recurrent, biases, hidden_size=size, linear_before_reset=1)
        out = op.Squeeze(states, op.Constant(value_ints=[1]))
    return op.Transpose(out, perm=[1, 0, 2])


def _session(path: Path, graph: bytes) -> Any:
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    try:
        return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{path}: onnxruntime cannot read it ({first_line(error)}); {_REMEDY}") from error


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed; `pip install 'film-se-vqa[onnx]'`") from error
