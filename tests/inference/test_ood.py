"""The domain tells usual readings from others, survives the configuration, and refuses what is broken."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vqa.errors import InputError
from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.inference.checkpoints import load_checkpoint, read_config
from vqa.inference.ood import STATISTICS, OODDetector, question_score
from vqa.model import FilmSEForVisualQuestionAnswering, build_config, build_model, build_processor
from vqa.model.scene import SceneMaps

QUESTION = "What color is the big cube?"


def readings(number, objects=5, sure=6.0, slant=1.0, seed=0):
    """Readings with so many objects at random cells, their positions `slant` times the usual ones."""
    rng = torch.Generator().manual_seed(seed)
    objectness = torch.full((number, 8, 12), -6.0)
    cells = torch.rand(number, 96, generator=rng).argsort(1)[:, :objects]
    objectness.view(number, 96).scatter_(1, cells, sure + torch.rand(cells.shape, generator=rng))
    attributes = 3 * torch.randn(number, 15, 8, 12, generator=rng)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 12), indexing="ij")
    position = torch.stack([1.5 * x - 0.5 * x * y, 2 * y + 0.2]) * slant
    return SceneMaps(objectness, attributes, position + 0.02 * torch.randn(number, 2, 8, 12, generator=rng))


@pytest.fixture(scope="module")
def domain():
    return OODDetector.fit([readings(200, objects, seed=objects) for objects in (3, 5, 8)])


def test_usual_readings_score_about_one(domain):
    scores = domain.image_scores(readings(300, seed=9))
    assert scores.shape == (300,)
    assert 0.3 < scores.mean() < 1.5


@pytest.mark.parametrize("change", [{"objects": 0}, {"objects": 60}, {"sure": 0.3}, {"slant": -1.0}], ids=str)
def test_unusual_readings_score_higher(domain, change):
    usual = domain.image_scores(readings(300, seed=9))
    assert domain.image_scores(readings(50, **change)).min() > np.quantile(usual, 0.99)


def test_the_ground_is_found(domain):
    expected = [[0, 1.5, 0, -0.5, 0, 0], [0.2, 0, 2, 0, 0, 0]]
    np.testing.assert_allclose(domain.ground, expected, atol=0.02)


def test_it_survives_json(domain):
    limited = replace(domain, picture_limit=4.0, question_limit=0.0)
    again = OODDetector.from_config(json.loads(json.dumps(limited.to_config())))
    scene = readings(20, seed=3)
    np.testing.assert_allclose(again.image_scores(scene), limited.image_scores(scene), rtol=1e-4)
    assert (again.picture_limit, again.question_limit) == (4.0, 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.0]},
        {"mean": "many"},
        {"spread": [0.0] * len(STATISTICS)},
        {"ground": [[math.nan] * 6] * 2},
        {"picture_limit": None},
        {"picture_limit": math.inf},
        {"question_limit": [1]},
        {"precision": [[1e300] * len(STATISTICS)] * len(STATISTICS)},
        {"surplus": 1},
    ],
    ids=str,
)
def test_broken_settings_are_refused(domain, change, tmp_path):
    settings = replace(domain, picture_limit=4.0, question_limit=0.0).to_config() | change
    with pytest.raises(InputError, match=r"config\.domain"):
        OODDetector.from_config(settings)
    config = build_config("film-qcse-1", ("image_size=32x48",))
    config.domain = settings
    config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"config\.domain"):
        read_config(tmp_path)


def test_questions_are_judged_by_grammar_and_words():
    read = build_processor(build_config()).read_question
    assert question_score(read(QUESTION)) == 0
    assert question_score(read("whats the color of the big ball")) == 0
    assert question_score(read("What dog is the cube?")) == 1.2


@pytest.mark.parametrize("temperature", [0, -1, 1e9, "hot", None, math.nan])
def test_temperatures_are_checked(temperature):
    with pytest.raises(InputError, match=r"config\.logit_temperature"):
        build_config().__class__(logit_temperature=temperature)


def test_temperature_divides_logits_outside_training(tiny):
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse-1", tiny))
    inputs = {"pixel_values": torch.randn(2, 3, 32, 48), "input_ids": torch.randint(2, 80, (2, 5))}
    model.eval()
    with torch.no_grad():
        plain = model(**inputs).logits
        model.config.logit_temperature = 2.0
        assert torch.allclose(model(**inputs).logits, plain / 2)
        for module in model.modules():
            module.training = isinstance(module, FilmSEForVisualQuestionAnswering)
        assert torch.allclose(model(**inputs).logits, plain)


def test_an_answer_says_what_is_unfamiliar(tiny, tmp_path):
    torch.manual_seed(0)
    config = build_config("film-qcse-1", tiny)
    model, processor = build_model(config).eval(), build_processor(config)
    image = Image.effect_noise((48, 32), 60)
    with torch.no_grad():
        scene = model.scene(model.encode_images(processor(images=image, return_tensors="pt")["pixel_values"]))
    fitted = OODDetector.fit([scene])

    def ask(picture_limit, question):
        model.config.domain = replace(fitted, picture_limit=picture_limit, question_limit=0.0).to_config()
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        return VisualQuestionAnswerer(*load_checkpoint(tmp_path, "cpu")).ask(image, question)

    assert (ask(1e6, QUESTION).in_domain, ask(1e6, QUESTION).unfamiliar) == (True, ())
    assert ask(-1.0, QUESTION).unfamiliar == ("picture",)
    both = ask(-1.0, "How old is the cube?")
    assert both.in_domain is False
    assert both.to_json()["unfamiliar"] == ["picture", "question"]
    model.config.domain = None
    assert VisualQuestionAnswerer(model, processor).ask(image, QUESTION).in_domain is None
