"""From options to a `Trainer`: state, model, data and optimizer, in the order in which a run needs them."""

import os

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, broadcast_object_list
from torch import manual_seed
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from vqa.clevr.dataset.loading import open_images, require_complete
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import normalize_answer
from vqa.errors import InputError
from vqa.evaluation.breakdowns import count_words
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.training.checkpointing import FILE, begin_run, restore_module, restore_optimizer
from vqa.training.data import TrainingData, check_aspect_ratio, load_training_data
from vqa.training.initial_model import initial_model
from vqa.training.optim import Schedule, build_optimizer
from vqa.training.options import SUPERVISION, TrainingOptions
from vqa.training.runtime import NO_ACCELERATOR, choose_precision, processes, warn
from vqa.training.trainer import Trainer, forward, keep_norm_statistics


def build_trainer(options: TrainingOptions, command: str = "vqa train") -> Trainer:
    """A new run, or with `options.resume` the one in its folder; `command` goes into the checkpoint's record.

    Raises InputError if options, data and saved state do not fit each other.
    """
    check_launcher(options.gradient_accumulation)
    run = begin_run(options)
    manual_seed(options.seed)
    model, processor, earlier = initial_model(options, run.identity["init"])
    record = earlier if run.record is None else run.record
    record["commands"] = [*record.get("commands", []), command]
    if options.weights["entropy"] and model.config.channel_attention == "none":
        raise InputError(
            "--loss-weight entropy: regularizes channel gates, and this model has none (channel_attention=none)"
        )
    data = _open_data(options, model, processor)
    supervision = _available_supervision(options, model, data)
    schedule = Schedule(options, run.progress, data.batches_per_epoch(options.images_per_step), model.config.num_blocks)
    if options.resume:
        launched_precision(run.progress.precision)
    else:
        run.progress.precision = _select_precision(options, model, processor, data)
    accelerator = _build_accelerator(options, run.progress.precision)
    average = AveragedModel(model, use_buffers=True)
    optimizer = build_optimizer(model, options)
    if options.resume:
        path = options.folder / FILE
        restore_module(model, run.tensors["model"], path)
        restore_module(average, run.tensors["average"], path)
        restore_optimizer(optimizer, run.tensors.get("optimizer", {}), path)
    average.to(accelerator.device)
    average.n_averaged = average.n_averaged.cpu()  # see `update_average`
    prepared, optimizer = accelerator.prepare(model, optimizer)
    return Trainer(
        options,
        model,
        processor,
        data,
        schedule,
        accelerator,
        prepared,
        optimizer,
        average,
        run.progress,
        run.identity,
        record,
        supervision,
    )


def _open_data(
    options: TrainingOptions, model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor
) -> TrainingData:
    # The first process of a machine may have to pack the images; the others then find the pack.
    with processes().local_main_process_first():
        source = {"questions": options.questions, "columns": options.columns}
        pack = open_images(options.data, tuple(model.config.image_size), options.split, **source)
    if options.strict:
        require_complete(pack)
    check_aspect_ratio(options.data, pack, processor.image_processor)
    _check_words(pack, processor)
    data = load_training_data(
        pack,
        processor.encode_questions,
        {normalize_answer(answer) or "": label for label, answer in enumerate(model.config.answers)},
        model.config.num_blocks,
        holdout=options.holdout,
        training_images=options.training_images,
        seed=options.seed,
        generated=options.generated,
        compositions=options.compositions,
        composed_families=options.composed_families,
        workers=options.question_workers,
        question_epochs=options.question_epochs,
        protocol=options.split_protocol,
        device=processes().device,
        encode_clevr=processor.encode_clevr,
        progress=lambda rows: tqdm(rows, desc="questions", unit=" images", delay=2, leave=False),
    )
    if unknown := data.unknown_answers:
        warn(
            f"{unknown.total():,} of {len(data.stored.labels):,} questions are not trained on, for the model has not "
            f"their answers, such as {unknown.most_common(1)[0][0]!r:.40}"
        )
    if options.training_images and options.training_images > len(data.rows):
        warn(f"--training-images {options.training_images:,}: here are {len(data.rows):,}, beside those held out")
    if pack.left_out:
        warn(f"{pack.left_out:,} questions about missing images are left out")
    return data


def _check_words(pack: PackedDataset, processor: FilmSEProcessor) -> None:
    """Warn of words that the model does not know. Raises InputError if they are more than half of all."""
    unread = {word for word in pack.words if processor.read_question(word).unknown_words}
    if not unread:
        return
    numbers = range(len(pack.answers))
    questions, counts = count_words(pack, numbers, unread)
    shown = ", ".join(list(counts)[:12]) + ", ..." * (len(counts) > 12)
    message = f"{questions:,} of {len(numbers):,} questions have words that the model does not know: {shown}"
    if 2 * sum(counts.values()) > sum(len(pack.tokens(number)) for number in numbers):
        raise InputError(
            f"--split {pack.split}: {message}; they are more than half of all words: give --vocabulary data, which "
            "adds the words and answers of the data to the model's"
        )
    if questions:
        warn(message)


def _available_supervision(
    options: TrainingOptions, model: FilmSEForVisualQuestionAnswering, data: TrainingData
) -> str:
    """The strongest supervision that options, data and model allow; a warning if it is not the options'."""
    most = data.supervision if model.scene is not None else "answers"
    found = min(most, options.supervision, key=SUPERVISION.index)
    if found != options.supervision:
        lacking = "model has no object attention" if model.scene is None else "data has no more"
        warn(f"--supervision: {found} instead of {options.supervision}, for the {lacking}")
    if options.pretrain_epochs and found == "answers":
        raise InputError("--pretrain-epochs: the encoders need scenes and programs, and here are answers only")
    return found


def _select_precision(
    options: TrainingOptions, model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor, data: TrainingData
) -> str:
    """The precision of `--mixed-precision`; auto is measured on the first batch, and the same for all processes."""
    if (precision := launched_precision(options.mixed_precision)) != "auto":
        return precision
    batch = data.epoch(0).batch(0, options.images_per_batch, options.questions_per_image)
    keep_norm_statistics(model, len(batch.labels), options.freeze_norm)
    chosen = choose_precision(
        model.to(processes().device),
        lambda model: forward(model, processor, batch, batch.images.float() / 255).logits.float().sum(),
    )
    return broadcast_object_list([chosen])[0]


_UNSUPPORTED = {
    "ACCELERATE_DYNAMO_BACKEND": "no",
    "ACCELERATE_USE_DEEPSPEED": "false",
    "ACCELERATE_USE_FSDP": "false",
    "ACCELERATE_USE_MEGATRON_LM": "false",
}
"""Settings of accelerate that would change a run, and the value that leaves it as our options say."""


def check_launcher(gradient_accumulation: int = 1) -> None:
    """Raises InputError for a setting of accelerate that our training has not, or that says other than our options."""
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps not in ("1", str(gradient_accumulation)):
        raise InputError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS={steps}: accelerate's setting (launch "
            f"--gradient_accumulation_steps) is not --gradient-accumulation {gradient_accumulation}; unset it, and "
            "give ours instead"
        )
    for name, neutral in _UNSUPPORTED.items():
        if (value := os.environ.get(name, neutral)).lower() != neutral:
            raise InputError(
                f"{name}={value}: accelerate's setting is not supported here; unset it, or change your accelerate "
                "config. --batch-size counts the questions of a step over all processes"
            )


def launched_precision(precision: str) -> str:
    """Our precision, or for auto that of `accelerate launch --mixed_precision`. Raises InputError if both differ."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()  # "no" is what launch sets by itself
    if asked in ("no", precision):
        return precision
    if precision != "auto" or asked not in ("bf16", "fp16"):
        raise InputError(
            f"ACCELERATE_MIXED_PRECISION={asked}: accelerate's setting (launch --mixed_precision) does not fit "
            f"--mixed-precision {precision}; give one of them, no, bf16 or fp16"
        )
    return asked


def _build_accelerator(options: TrainingOptions, precision: str) -> Accelerator:
    AcceleratorState._reset_state()  # another run of this process may have had another precision
    accelerator = Accelerator(
        cpu=NO_ACCELERATOR,
        mixed_precision=precision,
        log_with=options.trackers or None,
        project_dir=options.out,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=options.gradient_accumulation, sync_with_dataloader=False
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if options.trackers:
        flat = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
        accelerator.init_trackers("vqa", config=flat)
    return accelerator
