"""Training data: which images and questions make a batch is decided by seed, epoch and batch number alone.

A row is an image. Any process can compute what any batch of any epoch holds, so resuming needs only a batch's number,
and processes share an epoch without communication.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.annotations import image_path
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.errors import InputError
from vqa.model.processing import FilmSEImageProcessor
from vqa.training.online_questions import OnlineQuestions, QuestionMaker, epoch_order
from vqa.training.targets import SceneTargets, StepTarget, StepTargets, scene_target, step_target
from vqa.training.tensors import Encode, Images, Questions, upload
from vqa.utils.images import load_image

_CPU = torch.device("cpu")
_CHUNK = 4096  # questions held as objects before they become arrays


@dataclass
class Batch:
    """N images (N, 3, H, W) as uint8, B questions (B, L) right-padded, and their targets.

    `answered` is the number of questions with a label in the global batch, of all processes together.
    """

    images: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    image_index: Tensor
    labels: Tensor
    scenes: SceneTargets
    steps: StepTargets
    answered: int


def held_out_rows(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows held out of training, sorted, of those with answered questions; one at least is trained on."""
    return np.sort(np.random.default_rng((seed, 1)).permutation(rows)[: min(round(share * len(rows)), len(rows) - 1)])


@dataclass(eq=False, repr=False)
class TrainingData:
    """One split of a dataset, divided into rows to train on and rows held out; see `load_training_data`.

    `stored` are the dataset's questions, `numbers` those of each row; `unknown_answers` counts answers that the model
    cannot give.
    """

    pack: PackedDataset
    encode: Encode
    answers: dict[str, int]
    seed: int
    generated: float
    device: torch.device
    images: Images
    scenes: SceneTargets
    stored: Questions
    numbers: list[np.ndarray]
    unknown_answers: Counter[str]
    held_out: np.ndarray
    rows: np.ndarray
    online: OnlineQuestions | None = None

    @property
    def supervision(self) -> str:
        """The strongest supervision that these images have: "answers", "scenes" too, or "programs" too."""
        if self.generated or self.stored.targets.known.any():
            return "programs"
        return "scenes" if (self.scenes.number >= 0).any() else "answers"

    def batches_per_epoch(self, images: int) -> int:
        """Batches of `images` rows that cover the training rows once."""
        return -(-len(self.rows) // images)

    def epoch(self, epoch: int) -> "Epoch":
        """The rows of an epoch in their order, with the questions generated for it."""
        return Epoch(self, epoch, epoch_order(self.rows, self.seed, epoch))

    def close(self) -> None:
        """Stop the processes that generate questions, even while they do."""
        if self.online:
            self.online.close()

    def batch(self, questions: Questions, rows: np.ndarray, numbers: Sequence[np.ndarray], answered: int = 0) -> Batch:
        """The images of some rows, each with the questions that have these numbers."""
        asked = np.concatenate(numbers)
        input_ids, attention_mask = questions.padded(asked)
        owners = np.repeat(np.arange(len(rows)), [len(some) for some in numbers])
        shown, chosen, image_index = (upload(indices, self.device) for indices in (rows, asked, owners))
        return Batch(
            self.images.at(rows),
            input_ids,
            attention_mask,
            image_index,
            questions.labels[chosen].long(),
            SceneTargets(*(values[shown] for values in self.scenes)),
            StepTargets(*(values[chosen] for values in questions.targets)),
            answered,
        )

    def held_out_batches(self, images: int) -> Iterator[tuple[Batch, np.ndarray]]:
        """Batches that hold every question of the held-out rows once, with the questions' types."""
        for start in range(0, len(self.held_out), images):
            rows = self.held_out[start : start + images]
            numbers = [self.numbers[row] for row in rows]
            yield self.batch(self.stored, rows, numbers), self.stored.types[np.concatenate(numbers)]


Asked = tuple[Questions, np.ndarray]
"""Some questions of many, by their numbers."""


@dataclass(eq=False, repr=False)
class Epoch:
    """The training rows in the `order` of one epoch, and its questions: the dataset's, and those generated for it."""

    data: TrainingData
    number: int
    order: np.ndarray

    def batch(
        self, index: int, images: int, per_image: int, rank: int = 0, world: int = 1, longest: int | None = None
    ) -> Batch:
        """This process's share of global batch `index`: every `world`-th row, each with up to `per_image` questions.

        Questions of more than `longest` reasoning steps are admitted only where a row has no shorter ones. A process
        without a question of its own gets one without targets, since all processes must take part in a step.
        """
        rows = self.order[index * images : (index + 1) * images]
        questions, numbers = _together(self.asked(rows, per_image, longest))
        answered = int(questions.answered.sum())
        rows, numbers = rows[rank::world], numbers[rank::world]
        if any(map(len, numbers)):
            return self.data.batch(questions, rows, numbers, answered)
        stored = self.data.stored
        batch = self.data.batch(stored, stored.rows[:1].astype(np.int64), [np.array([0])], answered)
        batch.labels.fill_(-100)
        batch.scenes.number.fill_(-1)
        batch.steps.known.fill_(False)
        return batch

    def asked(self, rows: np.ndarray, per_image: int, longest: int | None = None) -> list[list[Asked]]:
        """What each row is asked: some of the dataset's questions and of those generated for it; see `batch`."""
        data = self.data
        none = (data.stored, np.zeros(0, int))
        generated = data.online.about(self.number, rows) if data.online else [none] * len(rows)
        found: list[list[Asked]] = []
        for row, (source, new) in zip(rows.tolist(), generated, strict=True):
            rng = np.random.default_rng((data.seed, 3, self.number, row))
            stored = rng.permutation(_admitted(data.stored, data.numbers[row], longest))
            new = rng.permutation(_admitted(source, new, longest)) if data.online else new
            wanted = min(len(new), int(rng.binomial(per_image, data.generated)) if len(stored) else per_image)
            found.append([(data.stored, stored[: per_image - wanted]), (source, new[:wanted])])
        return found


def _admitted(questions: Questions, numbers: np.ndarray, longest: int | None) -> np.ndarray:
    if longest is None or not len(numbers):
        return numbers
    steps = questions.steps[numbers]
    return numbers[steps <= max(longest, steps.min())]


def _together(asked: list[list[Asked]]) -> tuple[Questions, list[np.ndarray]]:
    """All that rows are asked as questions of their own, and each row's numbers in these."""
    sources = list({id(source): source for some in asked for source, _ in some}.values())
    parts = [[(i, numbers) for i, some in enumerate(asked) for each, numbers in some if each is one] for one in sources]
    joined = Questions.join(
        [one.take(np.concatenate([numbers for _, numbers in part])) for one, part in zip(sources, parts, strict=True)]
    )
    owners = np.concatenate([np.repeat(i, len(numbers)) for part in parts for i, numbers in part])
    order = np.argsort(owners, kind="stable")
    return joined, np.split(order, np.searchsorted(owners[order], np.arange(1, len(asked))))


def load_training_data(
    pack: PackedDataset,
    encode: Encode,
    answers: dict[str, int],
    blocks: int,
    *,
    holdout: float,
    seed: int,
    training_images: int | None = None,
    generated: float = 0.0,
    compositions: float = 0.0,
    composed_families: Sequence[str] = (),
    workers: int = 1,
    question_epochs: int = 1,
    protocol: str | None = None,
    device: torch.device = _CPU,
    progress: Callable[[range], Sequence[int]] = lambda rows: rows,
    encode_clevr: Encode | None = None,
) -> TrainingData:
    """Read one split of a dataset and divide its rows; one row at least is trained on.

    Args:
        pack: the images at the model's size, with questions and scenes.
        encode: texts -> token ids, without padding.
        answers: answer -> label.
        blocks: blocks of the model, for the targets of programs.
        holdout: share of the images that is held out, drawn by `seed`.
        training_images: how many of the others to train on, drawn by `seed`; all if None. Fewer are among more.
        generated: share of online questions, generated in every epoch from the scenes; scenes without a question in
            the dataset then join the training rows.
        compositions: share of those from families that CLEVR lacks, see `question_generation.composed_families`.
        composed_families: the sets of these families, "composition" if empty.
        workers: processes that generate them.
        question_epochs: epochs that share what was generated.
        protocol: one of `split_protocols.TRAINING_PARTS`, whose training part alone is trained on and held out:
            images, questions, and online questions.
        encode_clevr: as `encode` for online questions, which are known to be in CLEVR's language; `encode` if None.
        device: where batches are made, and questions, targets and, if they fit, images stay.

    Raises InputError for a split without images, without an answer that the model has, or, where questions are to be
    generated, without scenes; and if nothing is in the protocol's training part, or it cannot be told what is.
    """
    if pack.images is None:
        raise InputError(f"{pack.path}: holds no images; pack it with `vqa data pack`")
    stored, unknown = _read_questions(pack, encode, answers, blocks, protocol, progress)
    if (stored.labels < 0).all():
        raise InputError(_no_answer(pack.split, unknown, answers))
    generating = _generating_rows(pack, protocol) if generated else []
    rows, held_out = _divided(np.unique(stored.rows), generating, holdout, training_images, seed)
    per_image = max(1, round(12 * generated))  # of 8 questions an image, some images get more than their share
    families = tuple(composed_families) or ("composition",)
    make = QuestionMaker(pack.path, per_image, compositions, blocks, protocol, families)
    making = (make, rows, encode_clevr or encode, answers, seed, device, workers, question_epochs)
    return TrainingData(
        pack=pack,
        encode=encode,
        answers=answers,
        seed=seed,
        generated=generated,
        device=device,
        images=Images(pack, device),
        scenes=SceneTargets.of([scene_target(pack.scene(row)) for row in range(len(pack))], device),
        stored=stored.to(device),
        numbers=stored.of_rows(len(pack)),
        unknown_answers=unknown,
        held_out=held_out,
        rows=rows,
        online=OnlineQuestions(*making) if generated else None,
    )


def _no_answer(split: str, unknown: Counter[str], answers: Iterable[str]) -> str:
    commonest = ", ".join(f"{text!r:.40}" for text, _ in unknown.most_common(3))
    return (
        f"--split {split}: none of its answers is one that the model can give: {commonest} are not "
        f"among {', '.join(answers)}"
    )


def _divided(
    asked: np.ndarray, generating: list[int], holdout: float, training_images: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those held out, of rows with questions and rows to generate some for."""
    held_out = held_out_rows(asked, holdout, seed)
    rows = np.setdiff1d(np.union1d(asked, np.array(generating, int)), held_out)
    return np.sort(np.random.default_rng((seed, 2)).permutation(rows)[:training_images]), held_out


def _generating_rows(pack: PackedDataset, protocol: str | None) -> list[int]:
    """The rows whose scenes questions can be generated from, in the training part of `protocol`. Raises InputError."""
    part = TRAINING_PARTS.get(protocol or "")
    rows = [row for row in range(len(pack)) if pack.scene_json(row) is not None]
    if part:
        rows = [row for row in rows if (scene := pack.scene(row)) is not None and part.train_images(scene)]
    if not rows:
        raise InputError(
            f"--generated: questions are generated from scenes, and --split {pack.split} has none; leave it out"
        )
    return rows


def _read_questions(
    pack: PackedDataset,
    encode: Encode,
    answers: dict[str, int],
    blocks: int,
    protocol: str | None,
    progress: Callable[[range], Sequence[int]],
) -> tuple[Questions, Counter[str]]:
    """The answered questions of a pack that are in the training part of `protocol`, and the answers without a label."""
    part, left_out = TRAINING_PARTS.get(protocol or ""), 0
    unknown: Counter[str] = Counter()
    parts: list[Questions] = []
    chunk: list[tuple[str, int, StepTarget, int, int]] = []  # text, label, target, row, type
    for row in progress(range(len(pack))):
        scene = pack.scene(row)
        for number in pack.question_numbers(row):
            question = pack.question(number)
            if question.answer is None:
                continue
            try:
                if part and not part.train(scene, question):
                    left_out += 1
                    continue
            except InputError as error:
                raise InputError(f"--split-protocol {protocol}: {error}") from error
            label, target = answers.get(question.answer, -100), step_target(question.program, scene, blocks)
            unknown.update([question.answer] if label < 0 else [])
            chunk.append((question.question, label, target, row, int(pack.types[number])))
        if chunk and (len(chunk) >= _CHUNK or row == len(pack) - 1):
            texts, *rest = zip(*chunk, strict=True)
            parts.append(Questions.of(encode(texts), *rest))
            chunk = []
    if left_out and not parts:
        raise InputError(
            f"--split-protocol {protocol}: none of the {left_out:,} questions of split {pack.split} is in its "
            "training part; choose another --split"
        )
    if not parts:
        raise InputError(
            f"--split {pack.split}: none of its questions has an answer; give a --split or --questions with answers"
        )
    return Questions.join(parts), unknown


def check_aspect_ratio(data: str, pack: PackedDataset, images: FilmSEImageProcessor) -> None:
    """Raises InputError if a model would see images squashed in training and with a border in use.

    Packs hold images in the model's size; their original size is that of the first file, or CLEVR's if there is none.
    """
    path = image_path(Path(data), pack.split, pack.filenames[0])
    width, height = load_image(path).size if path.is_file() else (480, 320)
    left, top, right, bottom = images.placement(width, height)
    if right - left < 0.97 * images.size["width"] or bottom - top < 0.97 * images.size["height"]:
        raise InputError(
            f"--set image_size={images.size['height']}x{images.size['width']}: images {height} high and {width} wide "
            "would be squashed in training, but get a border when questions are asked; choose an image_size of their "
            "ratio, or add keep_aspect_ratio=false"
        )
