"""The two-stream encoder: what each stream can and cannot see, and the second look at objects."""

import pytest
import torch

from vqa.errors import InputError
from vqa.model.configuration import FilmSEConfig
from vqa.model.presets import build_config, build_model
from vqa.model.scene import SceneMaps
from vqa.model.second_look import REREAD_SIZES, SecondLook, crop_around
from vqa.model.two_stream import TwoStreamEncoder

GATED = (
    *("vision_encoder=two_stream", "trunk_features=false", "gate=hard", "gate_join=query", "gate_placement=input"),
    *("reduction=1", "width=16", "text_dim=32", "word_dim=8", "num_blocks=3", "stem_widths=8,16,16"),
)


def encoder(**settings) -> TwoStreamEncoder:
    torch.manual_seed(0)
    return TwoStreamEncoder(FilmSEConfig(vision_encoder="two_stream", width=32, stem_widths=(8, 16, 24), **settings))


@pytest.mark.parametrize("size", [(96, 144), (128, 192), (160, 240)])
def test_form_and_color_are_groups_of_channels_at_an_eighth_of_every_size(size) -> None:
    features = encoder()(torch.randn(2, 3, *size))
    assert features.shape == (2, 32 + 16, size[0] // 8, size[1] // 8)


def test_the_form_stream_cannot_tell_hues_of_equal_luminance_apart() -> None:
    model = encoder().eval()
    image = torch.randn(1, 3, 64, 96)
    turned = image[:, [1, 2, 0]]  # the same gray, other hues
    one, other = model(image), model(turned)
    torch.testing.assert_close(one[:, :32], other[:, :32])
    assert not torch.allclose(one[:, 32:], other[:, 32:])


def test_the_color_stream_looks_where_the_form_stream_says_and_sees_no_form_beyond_a_patch() -> None:
    """The color features of a window are a mean of its patches: they stay as they are when patches change places."""
    model = encoder().eval()
    patches = torch.randn(1, 16, 8, 12)
    even = torch.full((1, 36, 4, 6), 1 / 36)
    mixed = patches.flatten(2)[:, :, torch.randperm(96)].view_as(patches)
    one = model._look(patches, even)
    assert one.shape == (1, 16, 4, 6)
    torch.testing.assert_close(one[..., 1, 1], patches[:, :, 0:6, 0:6].mean((2, 3)))
    assert not torch.allclose(one, model._look(mixed, even))


def test_gray_is_mixed_by_random_weights_in_training_alone_and_can_be_switched_off() -> None:
    image = torch.randn(2, 3, 64, 96)
    model = encoder()
    assert not torch.allclose(model.luminance(image), model.luminance(image))
    assert torch.equal(model.eval().luminance(image), model.luminance(image))
    plain = encoder(random_gray=False)
    assert torch.equal(plain.luminance(image), plain.luminance(image))


def test_without_contrast_it_sees_the_gray_image_and_with_one_patch_the_color_of_a_cell_is_its_own() -> None:
    image = torch.randn(2, 3, 64, 96)
    model = encoder(contrast=False).eval()
    torch.testing.assert_close(model.luminance(image), image.mean(1, keepdim=True).expand(-1, 2, -1, -1))
    model = encoder(color_window=1).eval()
    features, other = model(image), image.clone()
    other[..., :8, :8] += 1
    changed = (model(other) != features)[:, model.form_channels :].any(1)
    assert changed[..., 0, 0].all()
    assert changed.sum() == len(image), "only the cell above the changed pixels"


def test_contrast_normalization_does_not_depend_on_brightness_and_hardly_on_contrast() -> None:
    model = encoder().eval()
    image = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(model.luminance(image + 0.7), model.luminance(image), atol=1e-4, rtol=1e-4)
    assert (model.luminance(3 * image) - model.luminance(image)).abs().max() < 0.5 * model.luminance(image).abs().max()


def test_a_crop_is_centred_on_its_object() -> None:
    image = torch.zeros(2, 1, 128, 192)
    image[0, 0, 40, 100] = image[1, 0, 7, 3] = 1.0
    centers = torch.tensor([[[100.5 / 192, 40.5 / 128], [0.2, 0.9]], [[3.5 / 192, 7.5 / 128], [0.5, 0.5]]])
    crops = crop_around(image, centers)
    assert crops.shape == (4, 1, 32, 32)
    heavy = crops.flatten(1).sum(1) > 0
    assert heavy.tolist() == [True, False, True, False]
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for crop in crops[[0, 2], 0]:
        assert (crop * rows).sum() / crop.sum() == pytest.approx(15.5, abs=0.6)
        assert (crop * columns).sum() / crop.sum() == pytest.approx(15.5, abs=0.6)


def test_the_second_look_changes_the_most_probable_cells_alone() -> None:
    torch.manual_seed(0)
    objectness = torch.randn(2, 16, 24)
    found = SecondLook()(torch.randn(2, 2, 128, 192), objectness, torch.rand(2, 2, 16, 24))
    assert found.shape == (2, sum(REREAD_SIZES), 16, 24)
    changed = (found != 0).any(1).flatten(1)
    expected = torch.zeros_like(changed).scatter(1, objectness.flatten(1).topk(16).indices, True)
    assert torch.equal(changed, expected)


def test_a_gated_model_reads_nothing_of_shut_attributes() -> None:
    """With every gate shut the answer is the same whatever the attributes are; with the gates open it is not."""
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse", GATED)).eval()
    ids = torch.randint(5, 60, (1, 9))
    features = model.encode_images(torch.randn(1, 3, 128, 192))
    scene = model.scene(features)
    other = SceneMaps(**{name: value.clone() for name, value in vars(scene).items()})
    other.attributes = torch.randn_like(scene.attributes)
    logits = {}
    for bias in (-50.0, 50.0):
        torch.nn.init.constant_(model.input_gate.expand.bias, bias)
        for name, read in (("one", scene), ("other", other)):
            model.scene.forward = lambda _, read=read: read
            with torch.inference_mode():
                output = model(image_features=features, input_ids=ids)
            logits[bias, name] = output.logits
            weights = torch.stack([*output.channel_weights, output.head_channel_weights])
            assert (weights == (bias > 0)).all()
    assert torch.equal(logits[-50.0, "one"], logits[-50.0, "other"])
    assert not torch.equal(logits[50.0, "one"], logits[50.0, "other"])


def test_a_gated_model_is_saved_and_loaded_with_the_same_logits_and_trains_from_answers_alone(tmp_path) -> None:
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse", GATED))
    batch = {"pixel_values": torch.randn(2, 3, 128, 192), "input_ids": torch.randint(5, 60, (2, 9))}
    model(**batch, labels=torch.tensor([1, 2])).loss.backward()
    assert all(item.grad is not None for name, item in model.vision.named_parameters()), "answers train the encoder"
    assert model.second_look.classify.weight.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, again(**batch).logits)


@pytest.mark.parametrize(
    "settings", [{"trunk_features": True}, {"gate_join": "concat"}, {"evidence": False, "head": "max"}]
)
def test_an_input_gate_needs_maps_to_gate(settings) -> None:
    given = {"gate_placement": "input", "gate": "hard", "gate_join": "query", "trunk_features": False} | settings
    with pytest.raises(InputError, match=r"gate_placement|trunk_features"):
        FilmSEConfig(**given)


def test_the_luminance_of_an_image_is_computed_once_and_drawn_twice_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse", [*GATED, "second_look=true"]))
    seen = []
    luminance = model.vision.luminance
    monkeypatch.setattr(model.vision, "luminance", lambda image: seen.append(luminance(image)) or seen[-1])
    model.encode_images(torch.randn(2, 3, *model.config.image_size))
    assert len(seen) == 2
    assert not torch.allclose(*seen)
    model.eval().encode_images(torch.randn(2, 3, *model.config.image_size))
    assert len(seen) == 3
