"""Arguments that several commands share, and what is made of them."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqa.training.options import TrainingOptions
from vqa.utils.options import add_options, check_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vqa.evaluation.evaluate import EvaluationSet, Running


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU if there is one)")


def add_list(parser: "argparse._ActionsContainer", flag: str, metavar: str, help: str, **more: Any) -> None:
    """Add an option that takes several values, and may be given several times."""
    parser.add_argument(flag, nargs="+", action="extend", metavar=metavar, help=help, **more)


class _InRange(argparse.Action):
    """Stores numbers; parsing raises InputError for one out of range."""

    def __init__(self, *, low: float, high: float, **more: Any) -> None:
        super().__init__(type=type(low), **more)
        self.low, self.high = low, high

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        for value in values if isinstance(values, list) else [values]:
            check_range(self.option_strings[0], value, self.low, self.high)
        setattr(namespace, self.dest, values)


def add_number(parser: argparse.ArgumentParser, flag: str, low: float, high: float, help: str, **more: Any) -> None:
    """Add an option that is a number from `low` to `high`, of their type; the help gets its default."""
    if more.get("default") is not None and "(default:" not in help:
        help += f" (default: {more['default']})"
    parser.add_argument(flag, action=_InRange, low=low, high=high, help=help, **{"metavar": "N"} | more)


def add_seed(parser: argparse.ArgumentParser, help: str) -> None:
    """Add --seed."""
    add_number(parser, "--seed", 0, 2**32 - 1, help, default=0)


def add_model(parser: argparse.ArgumentParser, help: str = "model (default: the shipped one)") -> None:
    """Add --checkpoint and --device."""
    parser.add_argument("--checkpoint", metavar="FOLDER|HUB_ID", help=help)
    add_device(parser)


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add IMAGE and QUESTION."""
    parser.add_argument("image", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help='for example "What color is the cube left of the sphere?"')


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add the options of a model and of images to study it on."""
    parser.add_argument("--data", metavar="DIR", required=True, help="CLEVR folder with scenes and programs")
    parser.add_argument("--split", default="val", metavar="NAME", help="held-out images (default: val)")
    add_model(parser)
    add_seed(parser, "of the sample")


def add_example(parser: argparse.ArgumentParser, split: str) -> None:
    """Add --data and --split, by default of the shipped example data."""
    parser.add_argument("--data", metavar="DIR", help="CLEVR folder (default: the shipped clevr-mini)")
    parser.add_argument("--split", default=split, metavar="NAME", help=f"of it (default: {split})")


def example_data(args: argparse.Namespace) -> str:
    """The folder that `add_example`'s --data says."""
    from vqa.utils.resources import shipped

    return args.data or str(shipped("data/clevr-mini"))


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    add_number(parser, "--threads", 1, 1024, "CPU threads (default: torch's choice)")


def use_threads(args: argparse.Namespace) -> None:
    """Let torch use as many threads as --threads says."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a model is run on many questions."""
    add_device(parser)
    add_number(parser, "--batch-size", 1, 65536, "questions at a time (default: chosen for the device)")
    parser.add_argument(
        "--mixed-precision", choices=["no", "bf16"], default="no", help="bf16 is faster on most machines (default: no)"
    )


def running_options(args: argparse.Namespace) -> "Running":
    """What `add_running`'s arguments say."""
    from vqa.evaluation.evaluate import Running

    return Running(args.device, args.batch_size, args.mixed_precision == "bf16")


def add_reading(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add those of `vqa train`'s options that say how data is read: questions, columns, strict."""
    add_options(parser, TrainingOptions, only=names)


def check_strict(args: argparse.Namespace, sets: "Sequence[EvaluationSet]") -> None:
    """Raises InputError if --strict is given and images of a set are missing."""
    from vqa.clevr.dataset.loading import require_complete

    for item in sets if args.strict else ():
        require_complete(item.open())


def command_line(args: argparse.Namespace, command: str, **flags: object) -> str:
    """The command that does the same again: its `flags`, by field, that are not what a field has here."""
    words = ["vqa", *command.split()]
    for name, usual in flags.items():
        value = getattr(args, name)
        if value != usual and value is not None and value is not False and value != []:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)


def report_source(args: argparse.Namespace, *flags: str) -> dict[str, str]:
    """Where an explain report comes from: the command with these flags, data, split, and the weights' SHA-256."""
    from vqa.inference.checkpoints import weights_sha256

    flags = ("data", "split", *flags, "checkpoint", "seed")
    return {
        "command": command_line(args, f"explain {args.action}", **dict.fromkeys(flags)),
        "data": Path(args.data).resolve().name,
        "split": args.split,
        "weights_sha256": weights_sha256(args.checkpoint),
    }
