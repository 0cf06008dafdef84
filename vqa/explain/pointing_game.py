"""The pointing game: does a map peak on an object that the step means?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vqa.explain.explanation import answer_map
from vqa.explain.faithfulness import Experiment, mean_estimate
from vqa.explain.gradcam import grad_cam
from vqa.explain.object_regions import discs_of, find_referents, peak_inside


def measure_pointing(experiment: Experiment, on_progress: Callable[[int], object]) -> dict[str, Any]:
    """How often the highest place of a map lies on an object that is meant: for each block those of its own step, for
    the answer's evidence and for Grad-CAM those that the answer is read from.

    `chance` is how often an object drawn at random would be one. Maps and steps without an object are left out.
    """
    model, processor, material = experiment.model, experiment.processor, experiment.material
    blocks, total = model.config.num_blocks, len(material.questions)
    places = [*(f"block {k + 1}" for k in range(blocks)), "answer", "Grad-CAM"]
    hits, chance = ({name: np.full(total, np.nan) for name in places} for _ in range(2))
    for numbers, inputs in material.batches(processor, 1):
        number = int(numbers[0])
        image = int(material.images[number])
        scene, box = material.scenes[image], material.boxes[image]
        program = material.questions[number].program
        assert program is not None
        found = find_referents(program, scene, blocks)
        on_progress(1)
        if found is None:
            continue
        discs = discs_of(scene)
        features = material.features[image : image + 1]
        tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            output = model(image_features=features, **tokens)
        maps = [] if output.spatial_weights is None else [m[0].float().cpu().numpy() for m in output.spatial_weights]
        heat = grad_cam(model, features, tokens, int(output.logits.argmax()))
        joined = answer_map(output)
        seen = [(f"block {k + 1}", m, found.blocks[k]) for k, m in enumerate(maps)]
        seen += [("Grad-CAM", heat, found.answer), *([("answer", joined, found.answer)] if joined is not None else [])]
        for name, spatial, chosen in seen:
            if chosen and spatial.max() > 0:
                hits[name][number] = peak_inside(spatial, discs, chosen, box)
                chance[name][number] = len(chosen) / len(scene.objects)
    out = {}
    for name in places:
        known = ~np.isnan(hits[name])
        if known.any():
            out[name] = {
                **mean_estimate(hits[name][known], experiment.bootstrap.of(known)),
                "chance": float(chance[name][known].mean()),
                "questions": int(known.sum()),
            }
    return out
