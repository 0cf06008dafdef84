"""The whole model: what it returns, what it must not depend on, and that it survives saving."""

import pytest
import torch
from transformers import AutoModelForVisualQuestionAnswering, BertConfig, BertModel, PreTrainedTokenizerFast

from vqa.clevr.language.parser import WORDS
from vqa.errors import InputError
from vqa.model import PRESETS, build_config, build_model, build_processor
from vqa.model.processing import word_tokenizer

FILM_TINY = ("width=16", "text_dim=32", "word_dim=8", "image_size=32x48", "head_width=24", "classifier_dim=24")
QUESTIONS = ["What color is the cube?", "How many big balls are left of the small thing?", "Is there a ball?"]


def _model(preset, overrides, **options):
    torch.manual_seed(0)
    return build_model(build_config(preset, overrides, **options))


def _tiny(preset, tiny):
    return FILM_TINY if preset == "film" else tiny


def _batch(model, questions=QUESTIONS, images=2):
    batch = build_processor(model.config)(text=questions, return_tensors="pt")
    generator = torch.Generator().manual_seed(1)
    batch["pixel_values"] = torch.randn(images, 3, *model.config.image_size, generator=generator)
    batch["image_index"] = torch.arange(len(questions)) % images
    return batch


def _train_step(model, batch):
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    loss = model(**batch, labels=torch.arange(len(batch["input_ids"]))).loss
    loss.backward()
    optimizer.step()
    model.eval()
    return loss.item()


@torch.no_grad()
def _logits(model, batch):
    return model.eval()(**batch).logits


def test_every_weight_of_the_explanation_is_returned(tiny):
    model = _model("film-qcse-1", tiny).eval()
    batch = _batch(model)
    with torch.no_grad():
        output = model(**batch, labels=torch.tensor([0, 1, -100]))
    assert output.logits.shape == (3, 28)
    assert output.loss.shape == ()
    for name in ("film_gamma", "film_beta", "channel_weights"):
        assert [x.shape for x in output[name]] == [(3, 16)] * 3
    assert [x.shape for x in output.word_weights] == [(3, 10)] * 3
    assert [x.shape for x in output.spatial_weights] == [(3, 8, 12)] * 3
    for gate, words, places in zip(output.channel_weights, output.word_weights, output.spatial_weights, strict=True):
        assert ((gate > 0) & (gate < 1)).all()
        assert torch.allclose(words.sum(1), torch.ones(3), atol=1e-5)
        assert (words[batch["attention_mask"] == 0] == 0).all()
        assert ((places >= 0) & (places <= 1)).all()
    assert output.scene.attributes.shape == (2, 15, 8, 12)


@pytest.mark.parametrize(
    ("preset", "absent"),
    [
        ("film-base", {"channel_weights"}),
        ("qcse", {"film_gamma", "film_beta", "spatial_weights"}),
        ("film", {"channel_weights", "word_weights", "spatial_weights"}),
    ],
)
def test_what_a_configuration_lacks_is_none(preset, absent, tiny):
    model = _model(preset, _tiny(preset, tiny)).eval()
    with torch.no_grad():
        output = model(**_batch(model))
    names = ("film_gamma", "film_beta", "channel_weights", "word_weights", "spatial_weights")
    assert {name for name in names if getattr(output, name) is None} == absent


@pytest.mark.parametrize("preset", PRESETS)
def test_save_and_load_give_the_same_logits(preset, tiny, tmp_path):
    model = _model(preset, _tiny(preset, tiny))
    batch = _batch(model)
    _train_step(model, batch)
    model.save_pretrained(tmp_path)
    again = AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path)
    assert type(again) is type(model)
    assert torch.equal(_logits(model, batch), _logits(again, batch))
    assert again.config.to_diff_dict() == model.config.to_diff_dict()


@pytest.mark.parametrize("encoder", ["gru", "transformer"])
@pytest.mark.parametrize("preset", ["film-qcse", "film"])
def test_a_question_does_not_depend_on_its_neighbours(preset, encoder, tiny):
    model = _model(preset, (*_tiny(preset, tiny), f"text_encoder={encoder}"))
    together = _logits(model, _batch(model, images=1))
    for i, question in enumerate(QUESTIONS):
        alone = _logits(model, _batch(model, [question], images=1))
        assert torch.allclose(together[i], alone[0], atol=1e-5)


def test_questions_find_their_images(tiny):
    model = _model("film-qcse-1", tiny)
    batch = _batch(model)
    answers = _logits(model, batch)
    features = model.encode_images(batch.pop("pixel_values"))
    assert features.shape == (2, 16, 8, 12)
    assert torch.allclose(_logits(model, {**batch, "image_features": features}), answers, atol=1e-6)
    index = batch.pop("image_index")
    repeated = _logits(model, {**batch, "image_features": features[index]})
    assert torch.allclose(repeated, answers, atol=1e-5)
    swapped = _logits(model, {**batch, "image_features": features.flip(0), "image_index": 1 - index})
    assert torch.allclose(swapped, answers, atol=1e-5)


def test_inputs_that_do_not_fit_are_refused(tiny):
    model = _model("film-qcse", tiny).eval()
    batch = _batch(model)
    with pytest.raises(ValueError, match="need image_index"):
        model(pixel_values=batch["pixel_values"], input_ids=batch["input_ids"])
    with pytest.raises(ValueError, match="give input_ids"):
        model(input_ids=batch["input_ids"])


def test_the_tuple_form_holds_the_same(tiny):
    model = _model("film-base", tiny).eval()
    batch = _batch(model)
    with torch.no_grad():
        assert torch.equal(model(**batch, return_dict=False)[0], model(**batch).logits)


@pytest.mark.parametrize("preset", ["film-qcse", "film", "qcse"])
def test_every_parameter_of_a_preset_is_trained(preset, tiny):
    model = _model(preset, _tiny(preset, tiny))
    output = model(**_batch(model))
    parts = [output.logits.float().square().mean()]
    if output.scene is not None:
        parts += [x.float().square().mean() for x in vars(output.scene).values()]
        parts += [x.float().square().mean() for x in (output.step_logits, output.pointer_logits)]
    sum(parts).backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_a_frozen_torchvision_encoder_stays_as_it_is(name, tiny, tmp_path):
    model = _model("film-qcse", (*tiny, f"vision_encoder={name}", "freeze_vision=true", "num_blocks=1"))
    batch = _batch(model)
    before = {key: value.clone() for key, value in model.vision.state_dict().items()}
    _train_step(model, batch)
    changed = {key for key, value in model.vision.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert all(key.startswith("project") for key in changed)
    assert model.encode_images(batch["pixel_values"]).shape == (2, 16, 4, 6)
    model.save_pretrained(tmp_path)
    again = AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path)
    assert torch.equal(_logits(model, batch), _logits(again, batch))
    assert not any(p.requires_grad for p in again.vision.backbone.parameters())


def test_a_torchvision_encoder_learns_unless_frozen(tiny):
    model = _model("film-qcse", (*tiny, "vision_encoder=resnet18", "num_blocks=1"))
    before = next(model.vision.backbone.parameters()).clone()
    _train_step(model, _batch(model))
    assert not torch.equal(next(model.vision.backbone.parameters()), before)


def test_torchvision_weights_come_from_its_cache(tiny, tmp_path, monkeypatch):
    from torchvision.models import ResNet18_Weights, resnet18

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(5)
    source = resnet18()
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(source.state_dict(), cache / ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    overrides = (*tiny, "vision_encoder=resnet18", "vision_weights=DEFAULT", "num_blocks=1")
    model = _model("film-qcse", overrides)
    assert torch.equal(model.vision.backbone[0].weight, source.conv1.weight)
    assert build_processor(model.config).image_processor.image_mean == [0.485, 0.456, 0.406]
    with pytest.raises(InputError, match=r"config\.vision_weights.*NO_SUCH"):
        _model("film-qcse", (*overrides, "vision_weights=NO_SUCH"))


@pytest.fixture
def bert(tmp_path):
    """A folder with a small random BERT and its tokenizer, with [CLS] and [SEP] as BERT has them."""
    from tokenizers import processors

    words = word_tokenizer(("[CLS]", "[SEP]", *WORDS)).backend_tokenizer
    words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    folder = tmp_path / "bert"
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS) + 4,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_a_bert_in_a_folder_is_the_text_encoder(bert, tiny, tmp_path):
    model = _model("film-qcse", (*tiny, f"text_encoder={bert}"))
    source = BertModel.from_pretrained(bert)
    for name, value in source.state_dict().items():
        assert torch.equal(model.text.encoder.state_dict()[name], value)
    processor = build_processor(model.config)
    batch = processor(text=QUESTIONS, return_tensors="pt")
    assert batch["input_ids"][0, 0] == 2
    assert processor.read_question("The cube").words[0] == "[CLS]"
    assert processor.read_question("The dog's cube").unknown_words == ["dog's"]
    assert len(processor.encode_questions(["cube " * 90])[0]) == 38

    batch = _batch(model)
    before = _logits(model, batch)
    assert _train_step(model, batch) > 0
    assert not torch.equal(
        model.text.encoder.embeddings.word_embeddings.weight, source.embeddings.word_embeddings.weight
    )
    after = _logits(model, batch)
    assert not torch.equal(before, after)
    folder = tmp_path / "trained"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for file in bert.iterdir():
        file.unlink()
    from vqa.inference.checkpoints import load_checkpoint

    again, reloaded = load_checkpoint(folder, "cpu")
    assert torch.equal(_logits(again, batch), after)
    assert reloaded.encode_questions(QUESTIONS) == processor.encode_questions(QUESTIONS)
    assert reloaded.tokenizer.model_max_length == 38


def test_what_is_no_text_encoder_is_refused(tmp_path, tiny):
    with pytest.raises(InputError, match=r"config\.text_encoder"):
        build_config(overrides=[f"text_encoder={tmp_path}"])
    from transformers import T5Config

    T5Config(d_model=16, num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no plain text encoder"):
        build_config(overrides=[f"text_encoder={tmp_path}"])


def test_a_text_encoder_with_pickled_weights_is_refused(bert, tiny):
    weights = BertModel.from_pretrained(bert).state_dict()
    (bert / "model.safetensors").unlink()
    torch.save(weights, bert / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"config\.text_encoder"):
        _model("film-qcse", (*tiny, f"text_encoder={bert}"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs(dtype, tiny_checkpoint):
    full, half = (
        AutoModelForVisualQuestionAnswering.from_pretrained(tiny_checkpoint, dtype=d).eval() for d in (None, dtype)
    )
    pixels, tokens = torch.randn(2, 3, 32, 48), torch.tensor([[3, 4, 5], [6, 7, 8]])
    with torch.no_grad():
        expected = full(pixels, tokens).logits
        for given in (pixels, pixels.to(dtype)):
            torch.testing.assert_close(half(given, tokens).logits.float(), expected, atol=0.05, rtol=0.05)
    assert half.dtype == dtype


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [(), ("text_encoder=transformer",), ("vision_encoder=resnet18",), ("evidence=false", "head=attention")]
)
def test_it_exports_whole(overrides, tiny):
    model = _model("film-qcse", (*tiny, *overrides)).eval()
    batch = dict(_batch(model, [QUESTIONS[1], QUESTIONS[0], QUESTIONS[1]]))
    images, questions = torch.export.Dim("pictures", max=64), torch.export.Dim("questions", max=512)
    length = torch.export.Dim("length", min=2, max=100)
    shapes = {name: {0: images} if name == "pixel_values" else {0: questions, 1: length} for name in batch}
    exported = torch.export.export(model, (), batch, dynamic_shapes=shapes).module()
    batch = {name: value[:2] for name, value in batch.items()}
    batch |= {name: value.repeat(1, 2) for name, value in batch.items() if name != "pixel_values"}
    with torch.no_grad():
        expected, output = model(**batch), exported(**batch)
    assert torch.allclose(output.logits, expected.logits, atol=1e-5)
    assert torch.allclose(output.film_gamma[0], expected.film_gamma[0], atol=1e-5)
