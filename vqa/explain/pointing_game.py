"""The pointing game (Zhang et al. 2018, "Top-down neural attention by excitation backprop"): does a map peak on an
object that the step is about?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from vqa.evaluation.metrics import Contrast
from vqa.explain.attribution import grad_cam
from vqa.explain.explanation import answer_map
from vqa.explain.faithfulness import Experiment
from vqa.explain.object_regions import WHOLE, Box, contains, discs_of, find_referents, grid_points
from vqa.model.modeling import FilmSEOutput
from vqa.utils.records import Count, Share


@dataclass(frozen=True)
class Pointing(Contrast):
    """How often a map peaks on an object that is meant, of how many questions, and how often a random object is one."""

    chance: Share
    questions: Count


def peak_inside(spatial: np.ndarray, discs: np.ndarray, chosen: Sequence[int], box: Box = WHOLE) -> bool:
    """Whether the highest cell of a map (h, w) has its center in the disc of one of the `chosen` objects.

    With half a cell of tolerance, since a small object is about a cell wide.
    """
    row, column = np.unravel_index(int(spatial.argmax()), spatial.shape)
    x, y = grid_points(spatial.shape[0], spatial.shape[1], box)
    wide = discs[list(chosen)].copy()
    wide[:, 2] += 0.5 / spatial.shape[1]
    return bool(contains(wide, x[row, column], y[row, column]).any())


def measure_pointing(experiment: Experiment) -> dict[str, Pointing]:
    """How often a map peaks on a right object: a block's on those of its step; the answer's and Grad-CAM's on those
    that the answer is read from."""
    model, processor, probes = experiment.model, experiment.processor, experiment.probes
    blocks, total = model.config.num_blocks, len(probes.questions)
    names = [*(f"block {k + 1}" for k in range(blocks)), "answer", "Grad-CAM"]
    hits, chance = ({name: np.full(total, np.nan) for name in names} for _ in range(2))
    for (number,), inputs in probes.batches(processor, 1):
        image = int(probes.images[number])
        scene, program = probes.scenes[image], probes.questions[number].program
        assert program is not None
        found = find_referents(program, scene, blocks)
        experiment.on_progress(1)
        if found is None:
            continue
        features = probes.features[image : image + 1]
        tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            output = model(image_features=features, **tokens)
        heat = grad_cam(model, features, tokens, int(output.logits.argmax()))
        targets = dict(zip(names, [*found.blocks, found.answer, found.answer], strict=True))
        for name, spatial in (_maps(output) | {"Grad-CAM": heat}).items():
            # A step without objects ("is there any ...": none) has nothing to point at, and a map that is zero
            # everywhere has no peak: neither is a hit or a miss.
            if (chosen := targets[name]) and spatial.max() > 0:
                hits[name][number] = peak_inside(spatial, discs_of(scene), chosen, probes.boxes[image])
                chance[name][number] = len(chosen) / len(scene.objects)
    out = {}
    for name in names:
        counted = ~np.isnan(hits[name])
        if counted.any():
            hit = asdict(experiment.estimate(hits[name], counted))
            out[name] = Pointing(**hit, chance=float(chance[name][counted].mean()), questions=int(counted.sum()))
    return out


def _maps(output: FilmSEOutput) -> dict[str, np.ndarray]:
    """The object attention of each block, and that under the answer; empty for a model without any."""
    joined = answer_map(output)
    if output.spatial_weights is None or joined is None:
        return {}
    blocks = {f"block {k}": m[0].float().cpu().numpy() for k, m in enumerate(output.spatial_weights, 1)}
    return blocks | {"answer": joined}
