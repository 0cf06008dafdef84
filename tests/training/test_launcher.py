"""Settings of `accelerate launch`: honoured, or refused by name."""

import pytest

from vqa.errors import InputError
from vqa.training.setup import check_launcher, launched_precision


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_USE_FSDP", "true"),
    ],
)
def test_what_our_training_has_not_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_launcher()
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name}={value}"):
        check_launcher()


def test_gradient_accumulation_of_launch_must_be_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    check_launcher(4)
    with pytest.raises(InputError, match=r"ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4.* not --gradient-accumulation 2"):
        check_launcher(2)


def test_the_precision_of_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [launched_precision(each) for each in ("auto", "bf16")] == ["auto", "bf16"]
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert [launched_precision(each) for each in ("auto", "fp16")] == ["fp16", "fp16"]
    with pytest.raises(InputError, match=r"ACCELERATE_MIXED_PRECISION=fp16.*--mixed-precision bf16"):
        launched_precision("bf16")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    with pytest.raises(InputError, match="fp8"):
        launched_precision("auto")
