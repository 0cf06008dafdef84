"""Options of a training run."""

from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.errors import InputError
from vqa.training.losses import WEIGHTS

SUPERVISION = ("answers", "scenes", "programs")
"""What teaches the model: answers alone; scenes too (objects, attributes, places); and the steps of programs too."""

_RECIPE: dict[str, Any] = {
    "batch_size": 128,
    "questions_per_image": 8,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "warmup_steps": 200,
    "clip_norm": 5.0,
    "ema": 0.998,
    "augment": 1.0,
    "supervision": "programs",
}
"""How a preset is trained unless an option says otherwise."""

_FILM_RECIPE = {
    "batch_size": 64,
    "questions_per_image": 1,
    "learning_rate": 3e-4,
    "weight_decay": 1e-5,
    "warmup_steps": 0,
    "clip_norm": 0.0,
    "ema": 0.0,
    "augment": 0.0,
    "supervision": "answers",
}
"""Perez et al. 2018, section 4.1: Adam at a constant rate with an L2 penalty, every question beside its own image."""

_RANGES: dict[str, tuple[float, float]] = {
    "holdout": (0.0, 0.9),
    "epochs": (1, 1_000_000),
    "max_minutes": (0.001, 1_000_000),
    "max_presentations": (1, 1_000_000_000),
    "batch_size": (1, 1_000_000),
    "questions_per_image": (1, 1_000),
    "learning_rate": (0.0, 10.0),
    "weight_decay": (0.0, 10.0),
    "warmup_steps": (0, 1_000_000),
    "clip_norm": (0.0, 1e9),
    "ema": (0.0, 0.999999),
    "augment": (0.0, 1.0),
    "seed": (0, 2**63 - 1),
    "generated": (0.0, 1.0),
    "compositions": (0.0, 1.0),
    "hide_colors": (0.0, 1.0),
    "hide_shapes": (0.0, 1.0),
    "curriculum": (0.0, 1.0),
    "pretrain_epochs": (0, 1_000_000),
    "save_minutes": (0.0, 1_000_000),
    "evaluate_minutes": (0.0, 1_000_000),
    "evaluate_presentations": (1, 1_000_000_000),
}

_FREE = {
    *("data", "output", "resume", "trackers"),
    *("epochs", "max_minutes", "max_presentations"),
    *("save_minutes", "evaluate_minutes", "evaluate_presentations"),
}

_LATER = {"curriculum", "hide_colors", "hide_shapes"}


@dataclass
class TrainingOptions:
    """What `vqa train` can be told; see `vqa train --help` for each. What is None comes from the preset's recipe.

    Raises InputError for a value out of range.
    """

    data: str
    output: str
    split: str = "train"
    questions: str | None = None
    split_protocol: str | None = None
    holdout: float = 0.05
    preset: str = "film-qcse"
    overrides: list[str] = field(default_factory=list)
    init: str | None = None
    encoders: str | None = None
    resume: bool = False
    epochs: int | None = None
    max_minutes: float | None = None
    max_presentations: int | None = None
    batch_size: int = None  # type: ignore[assignment]
    questions_per_image: int = None  # type: ignore[assignment]
    learning_rate: float = None  # type: ignore[assignment]
    weight_decay: float = None  # type: ignore[assignment]
    warmup_steps: int = None  # type: ignore[assignment]
    clip_norm: float = None  # type: ignore[assignment]
    ema: float = None  # type: ignore[assignment]
    augment: float = None  # type: ignore[assignment]
    supervision: str = None  # type: ignore[assignment]
    generated: float = 0.0
    compositions: float = 0.0
    hide_colors: float = 0.0
    hide_shapes: float = 0.0
    pretrain_epochs: int = 0
    curriculum: float = 0.0
    loss_weights: dict[str, float] = field(default_factory=dict)
    freeze_norm: bool = False
    mixed_precision: str = "auto"
    seed: int = 0
    save_minutes: float = 5.0
    evaluate_minutes: float = 5.0
    evaluate_presentations: int | None = None
    trackers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, value in (_FILM_RECIPE if self.faithful else _RECIPE).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {value:g}: must lie from {low:g} to {high:g}")
        if self.supervision not in SUPERVISION:
            raise InputError(f"--supervision {self.supervision}: must be one of {', '.join(SUPERVISION)}")
        if self.split_protocol is not None and self.split_protocol not in TRAINING_PARTS:
            raise InputError(f"--split-protocol {self.split_protocol:.80}: must be one of {', '.join(TRAINING_PARTS)}")
        for name, value in self.loss_weights.items():
            if name not in WEIGHTS:
                raise InputError(f"--loss-weight {name}: no such loss; there are {', '.join(WEIGHTS)}")
            if not 0 <= value <= 1e6:
                raise InputError(f"--loss-weight {name}={value:g}: must lie from 0 to 1e+06")
        for name in self.trackers:
            if find_spec(name) is None:
                raise InputError(f"--tracker {name}: not installed; add it with `uv sync --extra trackers`")
        if self.init and self.encoders:
            raise InputError("--encoders: the model of --init has its own; give one of them")
        if self.resume and self.init:
            raise InputError("--resume goes on with the run in --output, --init begins a new one: give one of them")
        if self.compositions and not self.generated:
            raise InputError("--compositions: a share of the questions made anew; give --generated too, such as 0.5")
        if self.hide_colors + self.hide_shapes > 1:
            raise InputError("--hide-colors, --hide-shapes: no image hides both, so that they are at most 1 together")
        if self.batch_size < self.questions_per_image:
            self.questions_per_image = self.batch_size
        if self.epochs is None and self.max_minutes is None and self.max_presentations is None:
            self.epochs = 10

    @property
    def faithful(self) -> bool:
        """Train as the FiLM paper does: Adam with an L2 penalty, at a constant rate."""
        return self.preset == "film"

    @property
    def images_per_batch(self) -> int:
        """Images of a global batch."""
        return max(1, self.batch_size // self.questions_per_image)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every loss in the total."""
        return WEIGHTS | self.loss_weights

    def run_identity(self) -> dict[str, Any]:
        """What must not change when a run is resumed: all that decides the weights, but how long it lasts.

        Options of `_LATER` are in it where they are on, so that runs from before they were there keep their identity.
        """
        return {
            name: value for name, value in asdict(self).items() if name not in _FREE and (value or name not in _LATER)
        }

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output)

    @classmethod
    def names(cls) -> list[str]:
        """The options' names."""
        return [item.name for item in fields(cls)]
