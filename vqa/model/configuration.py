"""The configuration of a FiLM + query-conditioned squeeze-and-excitation model for visual question answering."""

import inspect
from typing import Any

from transformers import PretrainedConfig

from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES
from vqa.errors import InputError

OWN_VISION_ENCODERS = ("conv", "mbconv", "film", "two_stream")
"""Encoders of our own; every other name is torchvision's."""

_CHOICES: dict[str, tuple[Any, ...]] = {
    "film_gamma": ("free", "fixed", "sigmoid", "tanh", "exp"),
    "film_beta": ("free", "fixed"),
    "film_placement": ("after_norm", "before_norm", "after_relu"),
    "channel_attention": ("none", "query_se", "se", "eca", "cbam"),
    "squeeze": ("mean", "max"),
    "gate": ("sigmoid", "tanh", "relu", "hard"),
    "gate_placement": ("output", "input"),
    "gate_join": ("concat", "query", "features", "multiply"),
    "pointer": ("learned", "stack"),
    "head": ("evidence", "max", "mean", "attention", "pathways"),
}
_RANGES = {
    "vocab_size": (1, 1_000_000),
    "vision_stride": (1, 32),
    "stem_blocks": (0, 32),
    "color_window": (1, 16),
    "width": (1, 8192),
    "num_blocks": (1, 32),
    "word_dim": (1, 8192),
    "text_dim": (1, 8192),
    "text_layers": (1, 48),
    "reduction": (1, 8192),
    "head_width": (1, 8192),
    "classifier_dim": (1, 8192),
}
_FLAGS = (
    "keep_aspect_ratio",
    "freeze_vision",
    "bidirectional",
    "word_attention",
    "film",
    "gate_shift",
    "random_gray",
    "contrast",
    "second_look",
    "evidence",
    "trunk_features",
    "factored",
    "shared_blocks",
    "head_features",
    "classifier_norm",
)
_KINDS: dict[str, Any] = {
    "vision_encoder": str,
    "vision_weights": (str, type(None)),
    "text_encoder": str,
    "text_config": (dict, type(None)),
    "dropout": (int, float),
    "logit_temperature": (int, float),
    "domain": (dict, type(None)),
}
_EFFECT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "film_gamma": ("film", (True,)),
    "film_beta": ("film", (True,)),
    "film_placement": ("film", (True,)),
    "reduction": ("channel_attention", ("query_se", "se", "cbam")),
    "squeeze": ("channel_attention", ("query_se", "se")),
    "gate": ("channel_attention", ("query_se", "se")),
    "gate_shift": ("channel_attention", ("query_se", "se")),
    "gate_join": ("channel_attention", ("query_se",)),
    "gate_placement": ("channel_attention", ("query_se",)),
    "random_gray": ("vision_encoder", ("two_stream",)),
    "contrast": ("vision_encoder", ("two_stream",)),
    "color_window": ("vision_encoder", ("two_stream",)),
    "second_look": ("vision_encoder", ("two_stream",)),
    "trunk_features": ("evidence", (True,)),
    "factored": ("evidence", (True,)),
    "shared_blocks": ("evidence", (True,)),
    "pointer": ("evidence", (True,)),
    "head_features": ("evidence", (True,)),
}
"""Field -> another field and the values of it with which it has an effect; with others it must keep its default."""


class FilmSEConfig(PretrainedConfig):
    """Configuration of `FilmSEForVisualQuestionAnswering`.

    Args:
        vocab_size: number of words, special tokens included.
        image_size: (height, width) in pixels to which images are resized; CLEVR's ratio is 2:3.
        keep_aspect_ratio: border images of another ratio instead of squashing them.
        vision_encoder: `conv` (our stem), `mbconv` (a stem of MBConv blocks with squeeze-and-excitation), `two_stream`
            (form from luminance, color from pixels; `vqa.model.two_stream`), `film` (Perez et al. 2018, section 4.1,
            from raw pixels), or the name of a torchvision classification model, such as
            `resnet18` or `efficientnet_b0`.
        vision_stride: pixels per grid cell that a torchvision encoder is cut at.
        vision_weights: torchvision weights to begin with (`DEFAULT` or an entry's name); None is from scratch.
        freeze_vision: keep a torchvision encoder's weights and statistics as they are.
        stem_widths: channels after each halving of the grid by a `conv` or `mbconv` stem.
        stem_blocks: residual blocks at that stem's end.
        random_gray: in training, the luminance stream of `two_stream` mixes red, green and blue by random weights.
        contrast: that stream sees local contrast at two scales; otherwise the gray image.
        color_window: patches on a side of the window in which the color stream of `two_stream` looks for an object.
        second_look: size, material and shape are read again from crops around the objects (`two_stream`, `evidence`).
        width: channels of the image features (of a `two_stream` encoder's form, and half as many of color), and of the
            trunk; in a `factored` trunk a quarter of it in each of five groups.
        num_blocks: residual blocks K of the trunk.
        text_encoder: `gru`, `transformer` (small BERT from scratch), or the name or folder of a Hugging Face encoder.
        text_config: configuration of a Hugging Face encoder, filled in by `vqa.model.presets.build_config`.
        word_dim, text_dim: features of a word's embedding and of the encoded question.
        text_layers: layers of the text encoder.
        bidirectional: read the question in both directions (`gru`).
        word_attention: each block attends to the words; otherwise all are conditioned on the last state.
        film: modulate each block by FiLM (Perez et al. 2018).
        film_gamma, film_beta: `free`, or one of the paper's ablations (section 5.3).
        film_placement: `after_norm` (the paper's), `before_norm`, or `after_relu`.
        channel_attention: `query_se` (squeeze joined with the question), `se` (Hu et al. 2018), `eca` (Wang et al.
            2020), `cbam` (Woo et al. 2018) or `none`.
        reduction, squeeze, gate, gate_join, gate_shift: options of the channel attention; see `vqa.layers`.
        gate_placement: `output`, the gate scales what a block adds to its skip connection; or `input`, it scales the
            attribute channels that a block and the head read of the scene, from that block's view of the question. A
            block then begins from nothing but these, so that no feature carries a shut attribute past the gate.
        evidence: each block marks the objects it found in a spatial map, which later blocks and the head read.
        trunk_features: the blocks begin from the encoder's features; otherwise from nothing, and all that they know of
            the image is what `evidence` reads of it: objects, their attributes and places.
        factored: the channels of a block are in groups that never mix, one of places and one of each attribute, and all
            that the head knows of the question is its kind; see `vqa.model.factored_attention`.
        shared_blocks: one set of weights for all blocks, so that what one learns, all can do (compare Universal
            Transformers, Dehghani et al. 2019). Each keeps its pointer and its normalization's statistics.
        pointer: how a union, an intersection or a comparison finds the earlier of its two sets: `learned`, read off the
            question, or `stack`, which follows from the operations that the steps are read as; see
            `vqa.model.pointers`.
        head_features: a head that reads object attention also reads the last block's features of the attended objects,
            which know by what the step selected them; otherwise only their positions, attributes and number.
        head: what the classifier pools: `evidence` (features and counts under the blocks' maps), `max`, `mean` or
            `attention` over the trunk's last features; or `pathways`, nine ways mixed by the question to see the
            evidence, or the maxima of the trunk's features where there is none.
        head_width: channels of the projection before a pool over the trunk's features.
        classifier_dim: hidden features of the classifier.
        classifier_norm: batch normalisation in the classifier, as in the FiLM paper.
        dropout: probability of dropping word features, in training.
        logit_temperature: what the answers' logits are divided by when the model is not in training (Guo et al. 2017);
            `vqa calibrate` fits it.
        domain: `vqa.inference.ood.OODDetector` in plain numbers, of the images and questions trained on;
            `vqa calibrate` fits it.
    """

    model_type = "film_se"

    def __init__(
        self,
        vocab_size: int = 100,
        image_size: tuple[int, int] = (128, 192),
        keep_aspect_ratio: bool = True,
        vision_encoder: str = "conv",
        vision_stride: int = 8,
        vision_weights: str | None = None,
        freeze_vision: bool = False,
        stem_widths: tuple[int, ...] = (32, 64, 96),
        stem_blocks: int = 2,
        random_gray: bool = True,
        contrast: bool = True,
        color_window: int = 6,
        second_look: bool = True,
        width: int = 64,
        num_blocks: int = 5,
        text_encoder: str = "gru",
        text_config: dict[str, Any] | None = None,
        word_dim: int = 96,
        text_dim: int = 192,
        text_layers: int = 1,
        bidirectional: bool = True,
        word_attention: bool = True,
        film: bool = True,
        film_gamma: str = "free",
        film_beta: str = "free",
        film_placement: str = "after_norm",
        channel_attention: str = "query_se",
        reduction: int = 8,
        squeeze: str = "mean",
        gate: str = "sigmoid",
        gate_join: str = "concat",
        gate_placement: str = "output",
        gate_shift: bool = False,
        evidence: bool = True,
        trunk_features: bool = True,
        factored: bool = False,
        shared_blocks: bool = False,
        pointer: str = "learned",
        head_features: bool = True,
        head: str = "evidence",
        head_width: int = 512,
        classifier_dim: int = 256,
        classifier_norm: bool = False,
        dropout: float = 0.1,
        logit_temperature: float = 1.0,
        domain: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Every argument is a field; tuples are lists, as JSON gives them back.
        given = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        for name, value in given.items():
            setattr(self, name, list(value) if isinstance(value, tuple) else value)
        if "id2label" not in kwargs and "num_labels" not in kwargs:
            kwargs["id2label"] = dict(enumerate(ANSWERS))
            kwargs["label2id"] = {answer: i for i, answer in enumerate(ANSWERS)}
        super().__init__(**kwargs)
        self._check()

    @property
    def answers(self) -> list[str]:
        """The answers in the order of the logits."""
        labels: dict[Any, str] = self.id2label or {}
        return [labels[i] for i in range(len(labels))]

    @property
    def trunk_width(self) -> int:
        """Channels C of the trunk."""
        return (1 + len(ATTRIBUTES)) * (self.width // 4) if self.factored else self.width

    def _check(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"config.{name}: {getattr(self, name)!r} is not one of {', '.join(map(str, choices))}")
        for name, (low, high) in _RANGES.items():
            if not _whole(getattr(self, name), low, high):
                raise InputError(f"config.{name}: {getattr(self, name)!r} must be a whole number, {low} to {high}")
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"config.{name}: {getattr(self, name)!r} must be true or false")
        for name, kinds in _KINDS.items():
            if not isinstance(getattr(self, name), kinds):
                raise InputError(f"config.{name}: {getattr(self, name)!r:.80} is of the wrong kind")
        if len(self.image_size) != 2 or not all(_whole(n, 16, 2048) for n in self.image_size):
            raise InputError(f"config.image_size: {self.image_size!r} must be two numbers (height, width), 16 to 2048")
        if not 1 <= len(self.stem_widths) <= 6 or not all(_whole(n, 1, 8192) for n in self.stem_widths):
            raise InputError(f"config.stem_widths: {self.stem_widths!r:.80} must be 1 to 6 numbers of channels")
        if not 0 <= self.dropout < 1:
            raise InputError(f"config.dropout: {self.dropout!r} must lie in [0, 1)")
        if not 0.01 <= self.logit_temperature <= 100:
            raise InputError(f"config.logit_temperature: {self.logit_temperature!r} must lie in [0.01, 100]")
        if self.domain is not None and not self.evidence:
            raise InputError("config.domain: images are judged by the scene that models with evidence=true read")
        if self.text_dim % (4 if self.word_attention else 1 + self.bidirectional):
            raise InputError(
                f"config.text_dim: {self.text_dim} must be a multiple of 4 with word_attention, of 2 with bidirectional"
            )
        if self.head == "evidence" and not self.evidence:
            raise InputError("config.head: the evidence head needs evidence=true")
        if self.vision_encoder == "two_stream" and not 2 <= len(self.stem_widths) <= 4:
            raise InputError(f"config.stem_widths: {self.stem_widths!r:.80}: two_stream needs 2 to 4 of them")
        if self.gate_placement == "input" and (not self.evidence or self.trunk_features or self.gate_join != "query"):
            raise InputError(
                "config.gate_placement: input needs evidence=true, trunk_features=false and gate_join=query"
            )
        if self.factored and (self.trunk_features or self.head_features or self.head != "evidence" or not self.film):
            raise InputError(
                "config.factored: needs film=true, head=evidence, trunk_features=false and head_features=false"
            )
        if self.factored and self.channel_attention != "none" and self.gate_placement != "input":
            raise InputError("config.factored: needs gate_placement=input, or channel_attention=none")
        if self.shared_blocks and self.vision_encoder == "two_stream" and self.trunk_features:
            raise InputError("config.shared_blocks: the first block reads more channels; needs trunk_features=false")
        if self.factored and self.width < 4:
            raise InputError(f"config.width: {self.width} must be at least 4 with factored=true")
        if not self.film and self.channel_attention == "none":
            raise InputError("config.film: without FiLM and without channel attention the question reaches no block")
        if self.film_gamma == self.film_beta == "fixed":
            raise InputError("config.film_gamma: with film_beta fixed too nothing is left of FiLM; say film=false")
        for name, (other, needed) in _EFFECT.items():
            if getattr(self, other) not in needed and getattr(self, name) != _default(name):
                raise InputError(
                    f"config.{name}: {getattr(self, name)!r} has no effect with {other}={getattr(self, other)}; "
                    f"it is for {other}={' or '.join(map(str, needed))}"
                )
        if self.vision_encoder in OWN_VISION_ENCODERS and (self.vision_weights or self.freeze_vision):
            raise InputError("config.vision_weights and freeze_vision: for a torchvision vision_encoder only")


def _default(name: str) -> Any:
    return inspect.signature(FilmSEConfig.__init__).parameters[name].default


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
