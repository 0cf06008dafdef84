"""Options of a training run: each is declared here once, and `vqa train`, `finetune` and `ablate` share its flag.

Loads neither torch nor numpy, so that `vqa --help` is quick.
"""

from dataclasses import Field, asdict, dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.errors import InputError
from vqa.utils.options import check_options, option

SUPERVISION = ("answers", "scenes", "programs")
"""What supervises the model: answers only; scenes too (objects, attributes, places); and the steps of programs too."""

FINETUNING: dict[str, Any] = {"learning_rate": 3e-4, "warmup_steps": 10, "ema": 0.98}
"""The recipe of a fine-tuning run of a few hundred steps from trained weights; preset film keeps its paper's."""

REMOVED = {"hide_colors": "--mask-colors", "hide_shapes": "--mask-shapes"}
"""Options that no longer exist, by saved names: a run with one of them on cannot be resumed."""

SHIPPED: dict[str, Any] = {
    "generated": 0.5,
    "compositions": 0.4,
    "composed_families": ["composition-2", "composition-long"],
    "mixed_precision": "bf16",
    "pretrain_epochs": 20,
    "max_minutes": 8.2,
    "batch_size": 1024,
    "learning_rate": 2.5e-3,
    "question_epochs": 4,
}
"""The recipe of the shipped weights on one H100; a slower machine needs more minutes, which the schedule fits."""

_SHARE = (0.0, 1.0)
_COUNT = (1, 1_000_000_000)
_MINUTES = (0.0, 1_000_000)

_data, _model, _learning, _run = (partial(option, group=name) for name in ("data", "model", "learning", "run"))


@dataclass
class TrainingOptions:
    """What `vqa train` can be told; an option with a `recipe` that is None comes from the preset's.

    The first of a `recipe` is for our presets, the second for preset film, which trains as Perez et al. 2018 do
    (section 4.1): Adam at a constant rate with an L2 penalty, every question beside its own image. `saved` is an
    option's name in saved runs, from before it was renamed; what is `free` may change when a run is resumed; what is
    `later` is saved where it is not the default, so that runs from before it existed can be resumed.

    Raises InputError for values out of range or that contradict each other.
    """

    data: str = _data(help="CLEVR folder, packed file, exported folder or hub name", metavar="DIR", free=True)
    out: str = _run(help="folder of the run and its checkpoint", metavar="DIR", free=True, saved="output")
    split: str = _data("train", "CLEVR_SPLIT_questions.json", metavar="NAME")
    questions: str | None = _data(None, "another question file over the same images", metavar="FILE")
    columns: str | None = _data(
        None,
        "which columns of parquet, a hub dataset or a tar to read (default: found by their usual names)",
        metavar="image=X,question=Y,answer=Z",
        free=True,
    )
    vocabulary: str = _data(
        "clevr",
        "data adds the words and answers of the data to CLEVR's, for other languages and things (default: clevr)",
        choices=("clevr", "data"),
        later=True,
    )
    strict: bool = _data(False, "fail if images are missing, instead of leaving their questions out", free=True)
    split_protocol: str | None = _data(
        None,
        "train on this protocol's training part only, questions and images, online questions too; `vqa evaluate "
        "--suite compositional` tests the rest. cogent-a selects images that keep condition A, as of CLEVR's own train "
        "split; the published data for it is --split trainA, without this option (default: everything)",
        choices=tuple(TRAINING_PARTS),
    )
    holdout: float = _data(0.05, "share of the images that chooses the best checkpoint", range=(0.0, 0.9))
    training_images: int | None = _data(
        None, "train on N images, drawn by --seed, for curves of few images (default: all)", range=_COUNT, later=True
    )
    generated: float = _data(
        0.0, "share of online questions, generated from the scenes in every epoch (default: 0)", range=_SHARE
    )
    question_workers: int = _data(1, "processes that generate online questions", range=(1, 256), later=True)
    question_epochs: int = _data(
        1,
        "epochs that share their online questions; more where the processes are slower than the training",
        range=(1, 1000),
        later=True,
    )
    compositions: float = _data(
        0.0, "share of the online questions that combine relations as CLEVR's never do (default: 0)", range=_SHARE
    )
    composed_families: list[str] = _data(  # noqa: RUF009 - it makes a field
        [],
        'sets of families that --compositions draws from: composition (default), composition-2 (also "and" of a '
        'relation and a "same ... as"), composition-long (the same in six steps); several get equal shares',
        choices=("composition", "composition-2", "composition-long"),
        metavar="NAME",
        later=True,
    )
    augment: float = _data(None, "strength of image augmentation, 0 to 1", recipe=(1.0, 0.0), range=_SHARE)
    preset: str = _model("film-qcse", "film-qcse, film-base, film or qcse", metavar="NAME")
    overrides: list[str] = _model(  # noqa: RUF009 - it makes a field
        [], "change the preset, as in reduction=4", flag="--set", metavar="key=value"
    )
    init: str | None = _model(None, "start from these weights, with a fresh schedule", metavar="CHECKPOINT")
    encoders: str | None = _model(
        None, "start from this model's image and text encoders, with the trunk from scratch", metavar="CHECKPOINT"
    )
    text_encoders: str | None = _model(
        None,
        "start from this model's text encoder instead; with --init also from all else in it that reads the question",
        metavar="CHECKPOINT",
        later=True,
    )
    freeze_encoders: str | None = _model(
        None,
        "keep the image or text encoders, or both, as they are; with those of images kept a step is twice as fast",
        choices=("image", "text", "all"),
        later=True,
    )
    resume: bool = _run(False, "continue the run in --out", free=True)
    epochs: int | None = _run(
        None, "passes over the images (default: 10, or until another end)", range=(1, 1_000_000), free=True
    )
    max_minutes: float | None = _run(
        None,
        "end after M minutes of training steps; the schedule fits them",
        range=(0.001, 1_000_000),
        metavar="M",
        free=True,
    )
    training_questions: int | None = _run(
        None,
        "end after N training questions, repeats counted; the schedule fits them",
        range=_COUNT,
        free=True,
        saved="max_presentations",
    )
    pretrain_epochs: int = _run(
        0,
        "epochs spent first on the encoders only, supervised by scenes and programs, before the trunk joins them: five "
        "times faster than the whole model (default: 0)",
        range=(0, 1_000_000),
    )
    seed: int = _run(0, "of weights, order and augmentation (default: 0)", range=(0, 2**63 - 1))
    save_minutes: float = _run(5.0, "save the run every M minutes", range=_MINUTES, metavar="M", free=True)
    evaluate_minutes: float = _run(
        5.0, "measure held-out accuracy every M minutes", range=_MINUTES, metavar="M", free=True
    )
    evaluate_every: int | None = _run(
        None,
        "measure held-out accuracy every N training questions too",
        range=_COUNT,
        free=True,
        saved="evaluate_presentations",
    )
    log_every: int = _run(20, "log the losses every N steps", range=(1, 1_000_000), free=True)
    trackers: list[str] = _run(  # noqa: RUF009 - it makes a field
        [], "log there too (extra `trackers`)", flag="--tracker", choices=("tensorboard", "trackio"), free=True
    )
    supervision: str = _learning(
        None, "what supervises the model, where the data has it", recipe=("programs", "answers"), choices=SUPERVISION
    )
    loss_weights: dict[str, float] = _learning(  # noqa: RUF009 - it makes a field
        {}, "weight of a loss, as in evidence=2; 0 leaves it out", flag="--loss-weight", metavar="name=value"
    )
    curriculum: float = _learning(
        0.0,
        "start with questions of one reasoning step and admit longer ones step by step over this share of the run "
        "(default: 0, all at once)",
        range=_SHARE,
        later=True,
    )
    learning_rate: float = _learning(None, "peak of AdamW's learning rate", recipe=(1e-3, 3e-4), range=(0.0, 10.0))
    weight_decay: float = _learning(
        None, "weight decay of matrices and kernels", recipe=(1e-4, 1e-5), range=(0.0, 10.0)
    )
    warmup_steps: int = _learning(
        None, "steps of linear warm-up before the cosine", recipe=(200, 0), range=(0, 1_000_000)
    )
    clip_norm: float = _learning(None, "largest norm of the gradient, 0 for any", recipe=(5.0, 0.0), range=(0.0, 1e9))
    ema: float = _learning(None, "decay of the weights' moving average", recipe=(0.998, 0.0), range=(0.0, 0.999999))
    freeze_norm: bool = _learning(False, "keep normalization layers in evaluation mode")
    batch_size: int = _learning(None, "questions at a time, over all processes", recipe=(128, 64), range=(1, 1_000_000))
    gradient_accumulation: int = _learning(
        1,
        "batches whose gradients make one step, as if they were one that does not fit the memory (default: 1)",
        range=(1, 10_000),
        later=True,
    )
    questions_per_image: int = _learning(None, "questions about each image of a batch", recipe=(8, 1), range=(1, 1_000))
    mixed_precision: str = _learning(
        "auto", "auto is bf16 where it measures faster (default: auto)", choices=("auto", "no", "bf16", "fp16")
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) is None and "recipe" in item.metadata:
                setattr(self, item.name, item.metadata["recipe"][self.faithful])
        check_options(self)
        for name, value in self.loss_weights.items():
            if name not in _loss_weights():
                raise InputError(f"--loss-weight {name}: no such loss; there are {', '.join(_loss_weights())}")
            if not 0 <= value <= 1e6:
                raise InputError(f"--loss-weight {name}={value:g}: must lie from 0 to 1e+06")
        for name in self.trackers:
            if find_spec(name) is None:
                raise InputError(f"--tracker {name}: not installed; add it with `uv sync --extra trackers`")
        if self.init and self.encoders:
            raise InputError("--encoders: the model of --init has its own; give one of them")
        if (self.text_encoders or self.freeze_encoders) and not (self.encoders or self.init or self.resume):
            raise InputError(
                "--text-encoders, --freeze-encoders: give --encoders or --init too, the model that all else comes from"
            )
        if self.resume and self.init:
            raise InputError("--resume continues the run in --out, --init starts a new one: give one of them")
        if self.compositions and not self.generated:
            raise InputError("--compositions: a share of the online questions; give --generated too, such as 0.5")
        self.questions_per_image = min(self.questions_per_image, self.batch_size)
        if self.epochs is None and self.max_minutes is None and self.training_questions is None:
            self.epochs = 10

    @property
    def faithful(self) -> bool:
        """Whether to train as the FiLM paper does: Adam with an L2 penalty, at a constant rate."""
        return self.preset == "film"

    @property
    def images_per_batch(self) -> int:
        """Images of a global batch."""
        return max(1, self.batch_size // self.questions_per_image)

    @property
    def images_per_step(self) -> int:
        """Images of all batches whose gradients make one step."""
        return self.images_per_batch * self.gradient_accumulation

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every loss in the total."""
        return _loss_weights() | self.loss_weights

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.out)

    @classmethod
    def names(cls) -> list[str]:
        """The options' names."""
        return [item.name for item in fields(cls)]

    def run_identity(self) -> dict[str, Any]:
        """What must not change when a run is resumed, by saved names: all that decides the weights, but the length."""
        values = asdict(self)
        return {
            saved_name(item): values[item.name]
            for item in fields(self)
            if not item.metadata.get("free") and not (item.metadata.get("later") and values[item.name] == item.default)
        }

    def to_json(self) -> dict[str, Any]:
        """All options by their saved names."""
        return {saved_name(item): value for item, value in zip(fields(self), asdict(self).values(), strict=True)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainingOptions":
        """Inverse of `to_json`. Raises TypeError for an unknown name, and InputError for one of `REMOVED`."""
        for name in REMOVED.keys() & values.keys():
            if values[name]:
                raise InputError(f"{REMOVED[name]}: no longer exists, and this run was begun with it; begin another")
        values = {name: value for name, value in values.items() if name not in REMOVED}
        names = {saved_name(item): item.name for item in fields(cls)}
        return cls(**{names.get(name, name): value for name, value in values.items()})

    @classmethod
    def saved(cls, name: str) -> Field | None:
        """The option of a saved name; None if there is none any more."""
        return next((item for item in fields(cls) if saved_name(item) == name), None)


def saved_name(item: Field) -> str:
    """An option's name in saved runs."""
    return item.metadata.get("saved", item.name)


def _loss_weights() -> dict[str, float]:
    from vqa.training.losses import WEIGHTS  # here, for it imports torch

    return WEIGHTS
