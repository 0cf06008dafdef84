"""`vqa ask`: answer one question about one image.

Answer one question about one image, and say which channels, words and places it used.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from vqa.cli.arguments import add_model, add_question

if TYPE_CHECKING:
    from vqa import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_question(parser)
    add_model(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object with all weights, the scene and the check"
    )


def run(args: argparse.Namespace) -> None:
    from vqa.utils.images import load_image

    image = load_image(args.image)  # what is wrong with it is said before torch is loaded

    from vqa import load

    answer = load(args.checkpoint, args.device).ask(image, args.question)
    for text in _remarks(answer):
        print(f"vqa: {text}", file=sys.stderr)
    print(json.dumps(answer.to_json()) if args.json else _answer_text(answer))


def _remarks(answer: "Answer") -> list[str]:
    found = []
    if answer.read_as:
        found.append(f"read as: {answer.read_as}")
    if answer.unknown_words:
        shown = ", ".join(repr(word[:30]) for word in answer.unknown_words)
        found.append(f"warning: the model does not know {shown}")
    for name in answer.unfamiliar if answer.program is None else ():
        found.append(f"warning: the {name} looks unlike those that the model was trained on; do not trust the answer")
    decided = answer.program is not None and answer.check is not None and answer.check.answer is not None
    if decided:
        found.append(
            "note: the network has no such form of questions; the answer is by program, from the scene it sees"
        )
    elif answer.program is not None:
        found.append("warning: the scene that the network sees has no answer to it; the answer is a guess")
    if answer.premise.phrase:
        found.append(f"warning: {answer.premise.text} The answer is about something else.")
    return found


def _answer_text(answer: "Answer") -> str:
    from vqa.explain.channel_weights import reads_in_words

    lines = [f"{name:10}{p:7.1%}" for name, p in answer.top_answers]
    lines += [f"\n{text}" for text in (answer.two_readings, answer.because) if text]
    if answer.pathway_weights is not None:
        lines.append("\npathways    " + ", ".join(f"{i}: {p:.2f}" for i, p in enumerate(answer.pathway_weights, 1)))
    for k, (block, weights) in enumerate(answer.weights.items()):
        lines.append(f"\n{block.replace('_', ' ')}")
        if answer.steps is not None:
            step = answer.steps[k]
            does = " ".join([step["operation"], *step["filters"].values()])
            lines.append(f"  step      {'not needed' if does == 'none' else does} ({step['probability']:.0%})")
        words, gate, gamma = weights["word_weights"], weights["channel_weights"], weights["film_gamma"]
        if words is not None:
            most = sorted(zip(words, answer.words, strict=True), reverse=True)[:3]
            lines.append("  words     " + ", ".join(f"{word} {weight:.2f}" for weight, word in most))
        if gamma is not None:
            lines.append(f"  gamma     {gamma.min():.2f} to {gamma.max():.2f}, {(gamma < 0).mean():.0%} negative")
        if read := reads_in_words(answer.blocks[k]):
            lines.append(f"  gate      {read}")
        elif gate is not None:
            widest = gate.argsort()[::-1][:5]
            lines.append("  channels  " + ", ".join(f"{channel}: {gate[channel]:.2f}" for channel in widest))
    return "\n".join(lines)
