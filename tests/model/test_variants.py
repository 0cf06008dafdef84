"""Every mechanism switched on by overrides: what it puts out, saved and loaded, exported; and that defaults stay."""

import hashlib
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from vqa.errors import InputError
from vqa.model import FilmSEConfig, FilmSEForVisualQuestionAnswering, build_config, build_model
from vqa.model.configuration import _CHOICES
from vqa.model.gates import build_gate
from vqa.model.heads import HEADS

TINY = ("width=16", "text_dim=32", "word_dim=8", "num_blocks=3", "stem_widths=8,16", "image_size=32x48")
TRUNK_ONLY = ("evidence=false", "head=pathways", "head_width=24", "classifier_dim=16")
VARIANTS = {
    "product": (),
    "none": ("channel_attention=none",),
    "se": ("channel_attention=se", "gate=tanh"),
    "eca": ("channel_attention=eca",),
    "cbam": ("channel_attention=cbam", "reduction=4"),
    "gate options": ("squeeze=max", "gate=relu", "reduction=4", "gate_join=multiply", "gate_shift=true"),
    "gate alone": ("film=false",),
    "film before norm": ("film_placement=before_norm",),
    "film after relu": ("film_placement=after_relu", "film_gamma=sigmoid"),
    "mbconv": ("vision_encoder=mbconv", "stem_blocks=1"),
    "from the scene alone": ("trunk_features=false",),
    "pathways": ("head=pathways", "classifier_dim=16"),
    "pathways over the trunk": TRUNK_ONLY,
    "two streams": ("vision_encoder=two_stream",),
    "input gate": (
        *("vision_encoder=two_stream", "trunk_features=false", "gate=hard", "gate_join=query"),
        *("gate_placement=input", "reduction=1"),
    ),
}


def build(*overrides: str) -> FilmSEForVisualQuestionAnswering:
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse-1", [*TINY, *overrides]))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.05, 0.5)
    return model.eval()


def inputs(images: int = 2, questions: int = 3, words: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(images + questions + words)
    mask = torch.ones(questions, words, dtype=torch.long)
    mask[0, words - 2 :] = 0
    return {
        "pixel_values": torch.randn(images, 3, 32, 48, generator=generator),
        "input_ids": torch.randint(2, 60, (questions, words), generator=generator),
        "attention_mask": mask,
        "image_index": torch.arange(questions) % images,
    }


@torch.no_grad()
def test_from_the_scene_alone_nothing_else_of_the_image_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    for overrides, same in ((VARIANTS["from the scene alone"], True), ((), False)):
        model, given = build(*overrides), inputs()
        features = model.encode_images(given.pop("pixel_values"))
        monkeypatch.setattr(model.scene, "forward", partial(lambda read, _: read, model.scene(features)))
        one, other = (model(image_features=some, **given).logits for some in (features, torch.rand_like(features)))
        assert torch.allclose(one, other, atol=1e-5) == same


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_saved_and_loaded_it_answers_the_same(name: str, tmp_path: Path) -> None:
    model = build(*VARIANTS[name])
    model.save_pretrained(tmp_path)
    again = FilmSEForVisualQuestionAnswering.from_pretrained(tmp_path).eval()
    one, other = model(**inputs()), again(**inputs())
    torch.testing.assert_close(other.logits, one.logits, rtol=0, atol=1e-6)
    blocks = model.config.num_blocks
    width = model.config.width if model.input_gate is None else 15
    if name == "none":
        assert one.channel_weights is None
    else:
        assert [tuple(weights.shape) for weights in one.channel_weights] == [(3, width)] * blocks
    if model.config.head == "pathways":
        assert one.pathway_weights.shape == (3, 9)
        torch.testing.assert_close(one.pathway_weights.sum(1), torch.ones(3))
    else:
        assert one.pathway_weights is None


@pytest.mark.parametrize("name", VARIANTS)
def test_the_loss_reaches_every_parameter(name: str) -> None:
    model = build(*VARIANTS[name]).train()
    output = model(**inputs(), labels=torch.tensor([0, 5, 27]))
    auxiliary = [
        part
        for part in (
            *(output.step_logits, output.pointer_logits, output.scene and output.scene.center),
            *(output.evidence_logits or ()),
        )
        if part is not None
    ]
    (output.loss + sum(part.sigmoid().mean() for part in auxiliary)).backward()
    missing = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.isfinite().all()]
    assert not missing


@pytest.mark.parametrize("name", ["se", "cbam", "gate options", "mbconv", "pathways", "input gate"])
@torch.no_grad()
def test_export_with_free_numbers_of_images_and_questions(name: str) -> None:
    model = build(*VARIANTS[name], "num_blocks=2")
    example, others = inputs(words=3), inputs(3, 7, words=3)
    free = {key: {0: torch.export.Dim.AUTO} for key in example}
    program = torch.export.export(model, (), example, dynamic_shapes=free)
    torch.testing.assert_close(program.module()(**others).logits, model(**others).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_each_mechanism_changes_the_answer_and_hears_what_it_should() -> None:
    logits = {name: build(*VARIANTS[name])(**inputs()).logits for name in VARIANTS}
    for name, value in logits.items():
        assert name == "product" or not torch.equal(value, logits["product"]), name
    for kind, hears in (("query_se", True), ("se", False), ("eca", False), ("cbam", False)):
        model = build(f"channel_attention={kind}")
        features = torch.randn(2, 16, 4, 6, generator=torch.Generator().manual_seed(0))
        block = model.blocks[0]
        weights = [block.gate.weights(features, torch.full((2, 32), value)) for value in (-1.0, 1.0)]
        assert torch.equal(*weights) != hears, kind


def test_every_choice_has_its_module() -> None:
    for kind in _CHOICES["channel_attention"]:
        gate = build_gate(build_config("film-qcse-1", (f"channel_attention={kind}",)), 16)
        assert (gate is None) == (kind == "none")
    assert set(_CHOICES["head"]) == set(HEADS)


@pytest.mark.parametrize(
    "overrides",
    [
        ("channel_attention=eca", "gate=tanh"),
        ("channel_attention=none", "reduction=4"),
        ("channel_attention=se", "gate_join=query"),
        ("channel_attention=cbam", "gate_shift=true"),
        ("film=false", "film_placement=after_relu"),
    ],
)
def test_an_option_without_effect_is_refused(overrides: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=overrides[1].partition("=")[0]):
        build_config("film-qcse-1", overrides)


def test_mbconv_reads_the_grid_of_the_product() -> None:
    with torch.device("meta"):
        for encoder in ("conv", "mbconv"):
            model = build_model(build_config("film-qcse-1", [f"vision_encoder={encoder}"]))
            assert model.encode_images(torch.empty(2, 3, 128, 192)).shape == (2, 64, 16, 24)


def test_published_checkpoints_still_load() -> None:
    """The names, shapes and order of the default model's parameters are those that checkpoints were saved with."""
    with torch.device("meta"):
        model = FilmSEForVisualQuestionAnswering(FilmSEConfig(vocab_size=build_config().vocab_size))
    shapes = sorted((name, list(value.shape)) for name, value in model.state_dict().items())
    assert len(shapes) == 193
    assert _digest(shapes) == "4e80b7ef7444add0"
    assert _digest([name for name, _ in model.named_parameters()]) == "64f9c7d9bf0db8df"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
