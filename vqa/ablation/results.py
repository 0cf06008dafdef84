"""What an ablation's files hold: the result of a cell (result.json), and the report (ablation.json)."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vqa.evaluation.metrics import Estimate
from vqa.evaluation.report import GroupEstimate, Intervals
from vqa.utils.files import read_limited
from vqa.utils.records import Change, Count, Number, Share, from_json

_MAX_BYTES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A measurement of held-out accuracy during training."""

    step: Count
    questions_seen: Annotated[Count, Field(alias="presentations")]
    minutes: Number
    held_out_accuracy: Share
    by_type: dict[str, Share] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GateSummary:
    """A block's channel gate at the end of training, and how often the entropy regularizer was active (`fired`)."""

    entropy: Number
    effective_channels: Number
    spread: Number
    fired: Share


@dataclass(frozen=True, kw_only=True)
class CellTraining:
    """How one cell was trained; `gates` by block, empty if none."""

    channels: Count
    minutes: Number
    questions_seen: Annotated[Count, Field(alias="presentations")]
    precision: str
    supervision: str
    held_out: Count
    curve: list[CurvePoint]
    gates: dict[str, GateSummary]


@dataclass(frozen=True, kw_only=True)
class CellResult(CellTraining):
    """What result.json says of a cell's training."""

    parameters: Count


@dataclass(frozen=True, kw_only=True)
class SeedResult(CellTraining):
    """One seed of a variant; `passed_at` is how many training questions it took to pass the report's threshold."""

    seed: int
    folder: str
    accuracy: Share
    passed_at: Count | None


@dataclass(frozen=True, kw_only=True)
class MeanAccuracy(Estimate):
    """The mean accuracy over seeds, and their standard deviation, None for a single one."""

    deviation: Number | None


@dataclass(frozen=True, kw_only=True)
class SeedDifference:
    """How much more accurate a variant is than the baseline, over the seeds that both have."""

    value: Change
    low: Change
    high: Change
    p: Share
    seeds: list[int]


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """A variant, its accuracy over all seeds, and what each seed did."""

    name: str
    preset: str
    overrides: list[str]
    training: dict[str, Any]
    parameters: Count
    minutes: Number
    accuracy: MeanAccuracy
    by_type: list[GroupEstimate]
    seeds: list[SeedResult]
    difference: SeedDifference | None


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """The set that variants are compared on."""

    name: str
    data: str
    split: str
    questions: Count
    perturbation: None = None


@dataclass(frozen=True, kw_only=True)
class AblationReport:
    """What `vqa ablate` writes to ablation.json."""

    format: Literal["vqa-ablation-1"] = "vqa-ablation-1"
    version: str = version("film-se-vqa")
    command: str
    budget: Count
    threshold: Share
    baseline: str
    test: TestSet
    intervals: Intervals
    variants: list[VariantResult]
    unfinished: list[str]


def read_ablation(path: Path) -> AblationReport:
    """The report in a file. Raises FileNotFoundError, and InputError that names the field that is wrong."""
    return from_json(AblationReport, read_limited(path, _MAX_BYTES, "make it with `vqa ablate`"), path)
