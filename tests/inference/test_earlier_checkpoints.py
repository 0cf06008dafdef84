"""A checkpoint that version 0.1 wrote loads and gives the logits that version 0.1 gave."""

import json
from pathlib import Path

import torch

from vqa.inference.checkpoints import load_checkpoint

FOLDER = Path(__file__).parents[1] / "recorded" / "film-qcse-0.1"


def test_a_checkpoint_of_version_0_1_gives_the_same_logits() -> None:
    model, _ = load_checkpoint(FOLDER, "cpu")
    pixels = torch.linspace(-1, 1, 2 * 3 * 32 * 48).sin().view(2, 3, 32, 48)
    with torch.inference_mode():
        logits = model(pixel_values=pixels, input_ids=torch.arange(5, 23).view(2, 9)).logits
    expected = torch.tensor(json.loads((FOLDER / "logits.json").read_text()))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
