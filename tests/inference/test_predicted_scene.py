"""The scene that a model sees in an image."""

import pytest
import torch
from scene_maps import maps_of

import vqa
from vqa.clevr.annotations import image_path, read_scenes, scenes_path
from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.inference.predicted_scene import decode, predict_scene
from vqa.model.scene import SceneMaps
from vqa.utils.resources import shipped


@pytest.mark.parametrize("index", range(4))
def test_readings_without_doubt_give_the_scene_back(index):
    scene = sample_layout(0, "val", index).scene
    seen = decode(maps_of(scene, 160, 240)).scene
    places = [min(scene.objects, key=lambda item: abs(item.coords[0] - one.coords[0])) for one in seen.objects]
    order = [scene.objects.index(item) for item in places]
    assert sorted(order) == list(range(len(scene.objects)))
    for one, item in zip(seen.objects, places, strict=True):
        assert all(getattr(one, name) == getattr(item, name) for name in ATTRIBUTES)
        assert one.coords[:2] == pytest.approx(item.coords[:2], abs=1e-4)
    for relation, rows in seen.relationships.items():
        for i, row in enumerate(rows):
            assert {order[j] for j in row} == set(scene.relationships[relation][order[i]])


def test_nothing_is_seen_where_nothing_is():
    maps = SceneMaps(torch.full((1, 8, 12), -9.0), torch.zeros(1, 15, 8, 12), torch.zeros(1, 2, 8, 12))
    assert decode(maps).scene.objects == ()


def test_the_shipped_model_sees_most_objects_of_images_it_was_not_trained_on():
    answerer, root = vqa.load(device="cpu"), shipped("data/clevr-mini")
    right = wrong = 0
    for name, scene in list(read_scenes(scenes_path(root, "val")).items())[:6]:
        seen = predict_scene(answerer, image_path(root, "val", name)).scene
        left = [tuple(getattr(item, key) for key in ATTRIBUTES) for item in scene.objects]
        for item in seen.objects:
            values = tuple(getattr(item, key) for key in ATTRIBUTES)
            if values in left:
                left.remove(values)
                right += 1
            else:
                wrong += 1
        wrong += len(left)
    assert right > 5 * wrong


def test_a_model_without_evidence_sees_no_scene(tiny, tmp_path):
    from vqa.model.presets import build_config, build_model, build_processor

    config = build_config("film-qcse-1", (*tiny, "evidence=false", "head=max"))
    answerer = vqa.VisualQuestionAnswerer(build_model(config), build_processor(config))
    assert predict_scene(answerer, shipped("data/clevr-mini") / "images/val/CLEVR_val_000000.jpg") is None
