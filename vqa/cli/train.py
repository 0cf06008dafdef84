"""`vqa train`."""

import argparse
import shlex
import sys


def register(commands: argparse._SubParsersAction) -> None:
    """Add `train`."""
    parser = commands.add_parser(
        "train",
        help="train a model on a CLEVR folder, a packed file or an exported dataset",
        description="Train on CLEVR. Ctrl-C saves the run; --resume goes on with it. Defaults in brackets are those of "
        "our presets; film has the paper's. On several GPUs or hosts: `accelerate launch -m vqa train ...`.",
    )
    add_data(parser)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", default="film-qcse", help="film-qcse, film-base, film or qcse (default: film-qcse)")
    model.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="change the preset, as in reduction=4",
    )
    model.add_argument("--init", metavar="CHECKPOINT", help="begin with these weights and a fresh schedule")
    run = parser.add_argument_group("run")
    run.add_argument(
        "--output",
        default="runs/film-qcse",
        metavar="DIR",
        help="folder of the run and its checkpoint (default: runs/film-qcse)",
    )
    run.add_argument("--resume", action="store_true", help="go on with the run in --output")
    run.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the images (default: 10, or until another end)"
    )
    run.add_argument(
        "--max-minutes", type=float, metavar="M", help="end after M minutes of steps; the schedule fits them"
    )
    run.add_argument(
        "--max-presentations", type=int, metavar="N", help="end after N questions, repeats counted; the schedule fits"
    )
    run.add_argument("--seed", type=int, default=0, help="decides weights, order and augmentation (default: 0)")
    run.add_argument(
        "--save-minutes", type=float, default=5.0, metavar="M", help="save the run every M minutes (default: 5)"
    )
    run.add_argument(
        "--evaluate-minutes",
        type=float,
        default=5.0,
        metavar="M",
        help="measure held-out accuracy every M minutes (default: 5)",
    )
    run.add_argument(
        "--evaluate-presentations", type=int, metavar="N", help="measure it after every N question presentations too"
    )
    run.add_argument(
        "--tracker",
        dest="trackers",
        nargs="+",
        action="extend",
        default=[],
        choices=["tensorboard", "trackio"],
        help="log there too (extra `trackers`)",
    )
    add_learning(parser)
    parser.set_defaults(run=_train)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is trained on."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", required=True, metavar="DIR", help="CLEVR folder, packed file, exported folder or hub name"
    )
    data.add_argument("--split", default="train", help="CLEVR_SPLIT_questions.json (default: train)")
    data.add_argument("--questions", metavar="FILE", help="another question file over the same images")
    data.add_argument(
        "--split-protocol",
        choices=["cogent-a", "size-depth", "attribute-pairs", "families"],
        help="train on this protocol's training part only, questions and images, those made anew too; `vqa evaluate "
        "--suite compositional` tests the rest. cogent-a selects images that keep condition A, as of CLEVR's own "
        "train split; the published data for it is --split trainA, without this option (default: everything)",
    )
    data.add_argument(
        "--holdout",
        type=float,
        default=0.05,
        metavar="X",
        help="share of the images that chooses the best checkpoint (default: 0.05)",
    )
    data.add_argument(
        "--generated",
        type=float,
        default=0.0,
        metavar="X",
        help="share of questions made anew each epoch from the scenes (default: 0)",
    )
    data.add_argument(
        "--compositions",
        type=float,
        default=0.0,
        metavar="X",
        help="share of the new questions that combine relations as CLEVR's never do (default: 0)",
    )
    data.add_argument(
        "--encoders", metavar="CHECKPOINT", help="begin with this model's image and text encoders, the trunk anew"
    )
    data.add_argument(
        "--pretrain-epochs",
        type=int,
        default=0,
        metavar="N",
        help="epochs first spent on the encoders alone, taught by scenes and programs, before the trunk joins them: "
        "five times faster than the whole (default: 0)",
    )
    data.add_argument(
        "--hide-colors",
        type=float,
        default=0.0,
        metavar="X",
        help="share of the images shown in other colors, asking nothing about them; the dense head then learns "
        "shapes there alone, so that none hangs on a color (default: 0)",
    )
    data.add_argument(
        "--hide-shapes",
        type=float,
        default=0.0,
        metavar="X",
        help="share whose objects are shown as blobs of their color, asking about no other attribute (default: 0)",
    )
    data.add_argument("--augment", type=float, metavar="X", help="strength of image augmentation, 0 to 1 (default: 1)")


def add_learning(
    parser: argparse.ArgumentParser, learning_rate: float = 0.001, warmup_steps: int = 200, ema: float = 0.998
) -> None:
    """Add the options that say how; the help gives these as defaults."""
    learning = parser.add_argument_group("learning")
    learning.add_argument(
        "--supervision",
        choices=["answers", "scenes", "programs"],
        help="what teaches the model, where the data has it (default: programs)",
    )
    learning.add_argument(
        "--loss-weight",
        dest="loss_weights",
        nargs="+",
        action="extend",
        default=[],
        metavar="name=value",
        help="weight of a loss, as in evidence=2; 0 leaves it out",
    )
    learning.add_argument(
        "--curriculum",
        type=float,
        default=0.0,
        metavar="X",
        help="begin with questions of one reasoning step, admit longer ones step by step over this share of the run "
        "(default: 0, all at once)",
    )
    learning.add_argument(
        "--learning-rate", type=float, metavar="X", help=f"peak of AdamW's rate (default: {learning_rate})"
    )
    learning.add_argument("--weight-decay", type=float, metavar="X", help="of matrices and kernels (default: 0.0001)")
    learning.add_argument(
        "--warmup-steps",
        type=int,
        metavar="N",
        help=f"steps of linear warm-up before the cosine (default: {warmup_steps})",
    )
    learning.add_argument(
        "--clip-norm", type=float, metavar="X", help="largest norm of the gradient, 0 for any (default: 5)"
    )
    learning.add_argument(
        "--ema", type=float, metavar="X", help=f"decay of the weights' moving average (default: {ema})"
    )
    learning.add_argument("--freeze-norm", action="store_true", help="keep normalisation in evaluation mode")
    learning.add_argument(
        "--batch-size", type=int, metavar="N", help="questions a step, over all processes (default: 128)"
    )
    learning.add_argument(
        "--questions-per-image",
        type=int,
        metavar="N",
        help="questions about each image of a batch (default: 8)",
    )
    learning.add_argument(
        "--mixed-precision",
        choices=["auto", "no", "bf16", "fp16"],
        default="auto",
        help="auto is bf16 where it measures faster (default: auto)",
    )


def _train(args: argparse.Namespace) -> None:
    from transformers.utils.logging import disable_progress_bar

    from vqa.training.options import TrainingOptions
    from vqa.training.setup import build_trainer

    given = {name: value for name, value in vars(args).items() if name in TrainingOptions.names()}
    given["loss_weights"] = parse_weights(args.loss_weights)
    disable_progress_bar()
    trainer = build_trainer(TrainingOptions(**given), shlex.join(["vqa", *sys.argv[1:]]))
    try:
        folder = trainer.run()
    except KeyboardInterrupt:
        if trainer.accelerator.is_main_process:
            print(f"vqa: saved; go on with: {_resuming(sys.argv[1:])}", file=sys.stderr)
        raise
    if trainer.accelerator.is_main_process:
        held = f"held-out accuracy {trainer.progress.best:.2%}" if len(trainer.data.held_out) else "trained"
        print(f"{folder}: {held} after {trainer.progress.questions_seen:,} question presentations")


def _resuming(argv: list[str]) -> str:
    """The command that goes on with the run that a command began."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--init")
    parser.add_argument("--resume", action="store_true")
    return shlex.join(["vqa", *parser.parse_known_args(argv)[1], "--resume"])


def parse_weights(pairs: list[str]) -> dict[str, float]:
    """The values of --loss-weight. Raises InputError."""
    from vqa.errors import InputError

    weights = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise InputError(f"--loss-weight {pair}: expected name=number") from None
    return weights
