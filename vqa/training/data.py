"""Training data: which images and questions make a batch, decided by seed, epoch and number alone.

A row is an image. Any process can say what any batch of any epoch holds, so that resuming needs only a batch's number,
and processes share an epoch without talking.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from vqa.training.online_questions import OnlineQuestions
from vqa.training.targets import SceneTarget, SceneTargets, StepTarget, StepTargets, scene_target, step_target
from vqa.training.tensors import Encode, Images, Questions
from vqa.utils.images import load_image

_CPU = torch.device("cpu")
_AT_A_TIME = 4096  # questions that are held as objects before they become arrays


@dataclass
class Batch:
    """N images (N, 3, H, W) as uint8, B questions (B, L) right-padded, and what they should give."""

    images: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    image_index: Tensor
    labels: Tensor
    scenes: SceneTargets
    steps: StepTargets


def held_out_rows(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows with answered questions that are held out of training, in order; one at least is trained on."""
    return np.sort(np.random.default_rng((seed, 1)).permutation(rows)[: min(round(share * len(rows)), len(rows) - 1)])


class TrainingData:
    """One split of a dataset, divided into rows to train on and rows held out; one row at least is trained on.

    Args:
        pack: the images at the model's size, with questions and scenes.
        encode: texts -> token ids, without padding.
        answers: answer -> label.
        blocks: blocks of the model, for the targets of programs.
        holdout: share of the images that is held out, drawn by `seed`.
        generated: share of questions made anew in every epoch from the scenes; scenes that nothing is asked about yet
            then join the training rows.
        compositions: share of those from families that CLEVR lacks, see `question_generation.composed_families`.
        protocol: one of `split_protocols.TRAINING_PARTS`, whose training part alone is trained on and held out:
            images, questions, and those made anew.
        device: where batches are made, and questions, targets and, if they fit, images stay.

    Raises InputError for a split without images, without an answer that the model has, or, where questions shall be
    made, without scenes; and where nothing is in the protocol's training part, or it cannot be told what is.
    """

    def __init__(
        self,
        pack: PackedDataset,
        encode: Encode,
        answers: dict[str, int],
        blocks: int,
        *,
        holdout: float,
        seed: int,
        generated: float = 0.0,
        compositions: float = 0.0,
        protocol: str | None = None,
        device: torch.device = _CPU,
        progress: Callable[[range], Sequence[int]] = lambda rows: rows,
    ) -> None:
        if pack.images is None:
            raise InputError(f"{pack.path}: holds no images; pack it with `vqa data pack`")
        self.pack, self.encode, self.answers, self.blocks, self.seed = pack, encode, answers, blocks, seed
        self.device, self.images = device, Images(pack, device)
        parts: list[Questions] = []
        texts: list[str] = []
        labels: list[int] = []
        rows: list[int] = []
        types: list[int] = []
        targets: list[StepTarget] = []
        unknown: Counter[str] = Counter()
        scenes: list[SceneTarget] = []
        known = []
        part = TRAINING_PARTS.get(protocol or "")
        left_out = 0
        for row in progress(range(len(pack))):
            scene = pack.scene(row)
            scenes.append(scene_target(scene))
            if generated and scene is not None and (part is None or part.train_images(scene)):
                known.append(row)
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
                texts.append(question.question)
                labels.append(answers.get(question.answer, -100))
                unknown.update([question.answer] if labels[-1] < 0 else [])
                rows.append(row)
                types.append(int(pack.types[number]))
                targets.append(step_target(question.program, scene, blocks))
            if texts and (len(texts) >= _AT_A_TIME or row == len(pack) - 1):
                parts.append(Questions.of(encode(texts), labels, targets, rows, types))
                texts, labels, rows, types, targets = [], [], [], [], []
        if left_out and not parts:
            raise InputError(
                f"--split-protocol {protocol}: none of the {left_out:,} questions of split {pack.split} is in its "
                "training part; choose another --split"
            )
        if not parts:
            raise InputError(
                f"--split {pack.split}: none of its questions has an answer; give a --split or --questions with answers"
            )
        self.stored = Questions.join(parts).to(device)
        if (self.stored.labels < 0).all():
            raise InputError(
                f"--split {pack.split}: none of its answers is one that the model can give: {_some(unknown)} are not "
                f"among {', '.join(answers)}"
            )
        self.unknown_answers, self.scenes = unknown, SceneTargets.of(scenes, device)
        asked = np.unique(self.stored.rows)
        self.held_out = held_out_rows(asked, holdout, seed)
        self.rows = np.setdiff1d(np.union1d(asked, np.array(known, int)), self.held_out)
        if generated and not known:
            raise InputError(
                f"--generated: questions are made from scenes, and --split {pack.split} has none; leave it out"
            )
        self._numbers = self.stored.of_rows(len(pack))
        self.generated = generated
        self._online = (
            OnlineQuestions(
                pack.path,
                self.rows,
                encode,
                answers,
                blocks,
                seed=seed,
                per_image=max(1, round(12 * generated)),
                compositions=compositions,
                protocol=protocol,
                device=device,
            )
            if generated
            else None
        )

    @property
    def teaches(self) -> str:
        """The most that these images can teach: "answers", "scenes" too, or "programs" too."""
        if self.generated or self.stored.targets.known.any():
            return "programs"
        return "scenes" if (self.scenes.number >= 0).any() else "answers"

    def batches_per_epoch(self, images: int) -> int:
        """Batches of `images` rows that cover the training rows once."""
        return -(-len(self.rows) // images)

    def epoch(self, epoch: int) -> "Epoch":
        """The rows of an epoch in their order, with the questions made for it."""
        made = self._online.take(epoch) if self._online else None
        return Epoch(self, epoch, made)

    def close(self) -> None:
        """Stop the process that makes questions, in the midst of it too."""
        if self._online:
            self._online.close()

    def batch(self, questions: Questions, rows: np.ndarray, numbers: Sequence[np.ndarray]) -> Batch:
        """The images of some rows, each with the questions that have these numbers."""
        asked = np.concatenate(numbers)
        input_ids, attention_mask = questions.padded(asked)
        image_index = np.repeat(np.arange(len(rows)), [len(some) for some in numbers])
        shown, chosen = (torch.from_numpy(indices).to(self.device) for indices in (rows, asked))
        return Batch(
            self.images.at(rows),
            input_ids,
            attention_mask,
            torch.from_numpy(image_index).to(self.device),
            questions.labels[chosen].long(),
            SceneTargets(*(values[shown] for values in self.scenes)),
            StepTargets(*(values[chosen] for values in questions.targets)),
        )

    def held_out_batches(self, images: int) -> Iterator[tuple[Batch, np.ndarray]]:
        """Batches that hold every question of the held-out rows once, with the questions' types."""
        for start in range(0, len(self.held_out), images):
            rows = self.held_out[start : start + images]
            numbers = [self._numbers[row] for row in rows]
            yield self.batch(self.stored, rows, numbers), self.stored.types[np.concatenate(numbers)]


class Epoch:
    """The training rows in the order of one epoch, and their questions: those of the data, then those made for it."""

    def __init__(self, data: TrainingData, number: int, made: Questions | None) -> None:
        self.data, self.number = data, number
        self.questions = data.stored if made is None else Questions.join([data.stored, made])
        self.order = np.random.default_rng((data.seed, 2, number)).permutation(data.rows)
        self._made = made.of_rows(len(data.pack)) if made is not None else None

    def batch(
        self, index: int, images: int, per_image: int, rank: int = 0, world: int = 1, longest: int | None = None
    ) -> Batch:
        """This process's share of global batch `index`: every `world`-th row, each with up to `per_image` questions.

        Of more than `longest` reasoning steps they are only where a row has no shorter ones. A process without a
        question of its own gets one whose targets count for nothing.
        """
        rows = self.order[index * images : (index + 1) * images][rank::world]
        numbers = [self.numbers(int(row), per_image, longest) for row in rows]
        if any(map(len, numbers)):
            return self.data.batch(self.questions, rows, numbers)
        batch = self.data.batch(self.questions, self.data.stored.rows[:1].astype(np.int64), [np.array([0])])
        batch.labels.fill_(-100)
        batch.scenes.number.fill_(-1)
        batch.steps.known.fill_(False)
        return batch

    def numbers(self, row: int, per_image: int, longest: int | None = None) -> np.ndarray:
        """The numbers in `questions` of those asked about a row in this epoch; see `batch`."""
        data = self.data
        rng = np.random.default_rng((data.seed, 3, self.number, row))
        stored = rng.permutation(self._admitted(data._numbers[row], longest))
        made = self._made[row] + len(data.stored) if self._made else stored[:0]
        made = rng.permutation(self._admitted(made, longest)) if self._made else made
        wanted = min(len(made), int(rng.binomial(per_image, data.generated)) if len(stored) else per_image)
        return np.concatenate([stored[: per_image - wanted], made[:wanted]])

    def _admitted(self, numbers: np.ndarray, longest: int | None) -> np.ndarray:
        if longest is None or not len(numbers):
            return numbers
        steps = self.questions.steps[numbers]
        return numbers[steps <= max(longest, steps.min())]


def check_aspect_ratio(data: str, pack: PackedDataset, images: FilmSEImageProcessor) -> None:
    """Raises InputError where a model would see images squashed in training and with a border when asked.

    Packs hold images in the model's size; theirs before is that of the first file, or CLEVR's where there is none.
    """
    path = image_path(Path(data), pack.split, pack.filenames[0])
    width, height = load_image(path).size if path.is_file() else (480, 320)
    left, top, right, bottom = images.content_box(width, height)
    if right - left < 0.97 * images.size["width"] or bottom - top < 0.97 * images.size["height"]:
        raise InputError(
            f"--set image_size={images.size['height']}x{images.size['width']}: images {height} high and {width} wide "
            "would be squashed in training, but get a border when the model is asked; choose an image_size of their "
            "ratio, or add keep_aspect_ratio=false"
        )


def _some(counted: Counter[str], number: int = 3) -> str:
    """The commonest of some texts, quoted and cut."""
    return ", ".join(f"{text!r:.40}" for text, _ in counted.most_common(number))
