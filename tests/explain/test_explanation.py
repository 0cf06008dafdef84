"""One answer's evidence, and the files it goes to."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vqa.clevr.annotations import read_questions, read_scenes
from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import execute
from vqa.cli import main
from vqa.errors import InputError
from vqa.explain.explanation import explain, step_in_words
from vqa.explain.explanation_html import explanation_figures, html_explanation, referents_note
from vqa.explain.explanation_png import png_explanation
from vqa.explain.object_regions import find_referents
from vqa.inference.answer import Step
from vqa.inference.answerer import VisualQuestionAnswerer, load
from vqa.model.presets import build_config, build_model, build_processor
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

NAME = "CLEVR_val_000000.jpg"
IMAGE = shipped(f"data/clevr-mini/images/val/{NAME}")
SCENES = shipped("data/clevr-mini/scenes/CLEVR_val_scenes.json")
QUESTION = "What color is the large cube?"


@pytest.fixture(scope="module")
def scene():
    return read_scenes(SCENES)[NAME]


def test_referents_are_what_the_program_finds(scene):
    program = parse_question("How many spheres are left of the large cube?")
    found = find_referents(program, scene, 5)
    *_, spheres, count = execute(program, scene)
    assert len(found.blocks) == 5
    assert found.blocks[:3] == (None, None, None)
    assert found.blocks[4] == found.answer == spheres
    assert len(found.answer) == count
    (cube,) = found.blocks[3]
    assert (scene.objects[cube].size, scene.objects[cube].shape) == ("large", "cube")


def test_referents_of_all_shipped_questions_fit_five_blocks():
    scenes = read_scenes(SCENES)
    for question in read_questions(shipped("data/clevr-mini/questions/CLEVR_val_questions.json")):
        assert find_referents(question.program, scenes[question.image_filename], 5) is not None


def test_an_ill_posed_or_long_question_has_none(scene):
    assert find_referents(parse_question("What color is the sphere?"), scene, 5) is None
    assert find_referents(parse_question("How many things are left of the large cube?"), scene, 1) is None


def test_the_evidence_of_a_trained_model_lies_on_the_object(scene):
    answerer = load(device="cpu")
    found = explain(answerer, load_image(IMAGE), "What color is the large cube?", scene)
    item = scene.objects[found.referents.answer[0]]
    assert found.answer.answer == item.color
    row, column = np.unravel_index(found.answer_map.argmax(), found.answer_map.shape)
    x, y = (column + 0.5) / 24 * 480, (row + 0.5) / 16 * 320
    assert np.hypot(x - item.pixel_coords[0], y - item.pixel_coords[1]) < 40
    assert found.grad_cam.shape == found.answer_map.shape
    assert found.grad_cam.min() >= 0
    assert found.grad_cam.max() in (0, pytest.approx(1))


def test_grad_cam_is_its_formula(answerer):
    """Channels' mean gradients times the last block's features, rectified (Selvaraju et al. 2017, section 3)."""
    import torch

    from vqa.explain.attribution import grad_cam
    from vqa.explain.explanation import model_inputs

    model = answerer.model
    inputs = {name: x.clone() for name, x in model_inputs(answerer, load_image(IMAGE), QUESTION).items()}
    kept = []
    hook = model.blocks[-1].register_forward_hook(lambda module, given, out: kept.append(out[0]))
    logits = model(**inputs).logits[0]
    hook.remove()
    answer = int(logits.argmax())
    (slope,) = torch.autograd.grad(logits[answer], kept[0])
    expected = torch.relu((slope.mean((2, 3), keepdim=True) * kept[0]).sum(1))[0].detach().numpy()
    features = inputs.pop("image_features")
    np.testing.assert_allclose(grad_cam(model, features, inputs, answer), expected / expected.max(), atol=1e-5)


def test_a_model_without_evidence_or_words_is_explained_too(tiny, tmp_path):
    overrides = [item for item in tiny if not item.startswith("image_size")]
    config = build_config("film-qcse-1", [*overrides, "image_size=32x48", "evidence=false", "head=max"])
    found = explain(VisualQuestionAnswerer(build_model(config), build_processor(config)), load_image(IMAGE), QUESTION)
    assert found.answer_map is None
    whole, blocks = explanation_figures(found)
    assert len(whole) == 2
    assert blocks == []
    assert Image.open(io.BytesIO(png_explanation(found))).size[0] > 800


@pytest.mark.parametrize(
    ("operation", "filters", "reads", "expected"),
    [
        ("scene", {}, (), "all things"),
        ("scene", {"size": "large", "color": "red", "material": "metal", "shape": "cube"}, (), "large red metal cubes"),
        ("left", {}, (0.0,), "things left of what block 2 selected"),
        ("front", {"shape": "sphere"}, (), "spheres in front of what block 2 selected"),
        ("same_color", {"size": "small"}, (), "other small things of the same color as what block 2 selected"),
        ("union", {}, (0.9, 0.1), "things that block 2 or block 1 selected"),
        ("intersect", {"shape": "cube"}, (1.0,), "cubes that block 2 and block 1 both selected"),
        ("none", {}, (), "has no step of this question to do"),
    ],
)
def test_steps_in_words(operation, filters, reads, expected):
    assert step_in_words(Step(operation, 1.0, filters, reads), 3) == expected


@pytest.mark.parametrize(
    ("question", "known", "note"),
    [
        (QUESTION, False, "objects are not known"),
        ("Why is the cube sad?", True, "not in CLEVR's wording"),
        ("What color is the sphere?", True, "does not fit this image"),
        ("Are there any yellow cylinders?", True, "refers to no object"),
        ("What color is the large cube?", True, ""),
    ],
)
def test_why_nothing_is_ringed_is_said(answerer, scene, question, known, note):
    found = explain(answerer, load_image(IMAGE), question, scene if known else None)
    assert note in referents_note(found)
    assert bool(note) == bool(referents_note(found))


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_html_stands_alone_and_keeps_text_as_text(answerer, scene):
    question = "<script>alert(1)</script> What color is the large cube?"
    reader = Reader()
    reader.feed(html_explanation(explain(answerer, load_image(IMAGE), question, scene)))
    assert "script" not in reader.tags
    assert question in reader.text
    assert reader.tags.count("img") == 3 + 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)


def test_on_the_command_line(tiny_checkpoint, tmp_path, capsys):
    command = ["explain", "ask", str(IMAGE), QUESTION, "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    for kind in ("png", "html", "json"):
        assert main([*command, "--scenes", str(SCENES), "--out", str(tmp_path / f"why.{kind}")]) == 0
    assert Image.open(tmp_path / "why.png").format == "PNG"
    found = json.loads((tmp_path / "why.json").read_text())
    assert found["question"] == QUESTION
    assert np.array(found["grad_cam"]).shape == np.array(found["answer_map"]).shape
    assert found["referents"]["answer"]
    assert len(found["objects"]) == 5
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([IMAGE, QUESTION, "--out", "why.gif"], "must end in .png, .html or .json"),
        ([SCENES, QUESTION, "--out", "why.png"], "not an image"),
        ([IMAGE, "", "--out", "why.png"], "no words"),
        ([IMAGE, QUESTION, "--out", "why.png", "--scenes", IMAGE], "CLEVR_val_000000.jpg"),
        (
            [
                IMAGE,
                QUESTION,
                "--out",
                "why.png",
                "--scenes",
                shipped("data/clevr-mini/scenes/CLEVR_train_scenes.json"),
            ],
            "has no scene of",
        ),
    ],
)
def test_mistakes_are_told(tiny_checkpoint, tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    command = ["explain", "ask", *map(str, arguments), "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    assert main(command) == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_cannot_be_asked_is_refused(answerer):
    with pytest.raises(InputError, match="no words"):
        explain(answerer, load_image(IMAGE), "?!")
