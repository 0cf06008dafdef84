"""A `transformers` pipeline; importing `vqa` makes its task known.

>>> import transformers, vqa
>>> answerer = transformers.pipeline("clevr-visual-question-answering", model="checkpoints/film-qcse-clevr")
>>> answerer("image.png", "What color is the cube?", top_k=3)
"""

import os
from typing import Any

import torch
from transformers import AutoModelForVisualQuestionAnswering, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from vqa.model.inputs import asked
from vqa.model.processing import possible_answers, rank_answers

TASK = "clevr-visual-question-answering"
BATCH_SIZE = 64


class ClevrVisualQuestionAnsweringPipeline(Pipeline):
    """Answers questions about images, many at a time.

    Call it with an image and a question, or with many of either, or with pairs, mappings or a dataset of both
    (`vqa.model.inputs.asked`). The result, for each, is a list of {"answer", "score"}, the `top_k` (5) most probable
    answers first; a generator is answered as it comes. Raises InputError for what cannot be asked.
    """

    _load_processor: Any = True
    _load_tokenizer: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False
    _last: tuple[Any, Any] = ("", None)
    _remembers = False

    def __call__(  # type: ignore[override]
        self, image: Any = None, question: Any = None, *, inputs: Any = None, **kwargs: Any
    ) -> Any:
        """Answers, as the class says; `batch_size` is 64, and 1 for a generator, where it is not given."""
        given = asked(image if inputs is None else inputs, question)
        self._last, self._remembers = ("", None), given.form == "list"
        pairs = ({"image": image, "question": question} for image, question in given.pairs)
        if given.form == "one":
            return super().__call__(next(pairs), **kwargs)
        if given.form == "list" and self._batch_size is None:
            kwargs = {"batch_size": BATCH_SIZE} | kwargs
        answers = super().__call__(pairs, **kwargs)
        return answers if given.form == "stream" else list(answers)

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def preprocess(self, input_: Any, **kwargs: Any) -> Any:
        """One image and question as tensors, with a number (1,) that is the same for the same image."""
        processor: Any = self.processor
        question = processor.check_question(input_["question"])
        last, image = self._last[0], input_["image"]
        same = image is last or (isinstance(image, str | os.PathLike) and image == last)
        if not same or not self._remembers:  # a generator may fill the same array with the next image
            pixels = processor.image_processor.to_array(image)
            values = processor.image_processor.normalize_pixels(torch.from_numpy(pixels[None]))
            self._last = image, {"pixel_values": values, "key": torch.tensor([hash(pixels.tobytes())])}
        possible = possible_answers(question, self.model.config.answers)[None]
        return self._last[1] | processor.pad_tokens([question.token_ids]) | {"possible": possible}

    def _forward(self, input_tensors: Any, **kwargs: Any) -> Any:
        """The stem runs once for each image of a batch."""
        pixels, keys = input_tensors.pop("pixel_values"), input_tensors.pop("key").tolist()
        places = {key: keys.index(key) for key in keys}
        index = torch.tensor([list(places).index(key) for key in keys], device=pixels.device)
        possible = input_tensors.pop("possible")
        logits = self.model(pixels[list(places.values())], image_index=index, **input_tensors).logits
        return {"logits": logits.masked_fill(~possible, -torch.inf)}

    def postprocess(self, model_outputs: Any, top_k: Any = 5, **kwargs: Any) -> list[dict[str, Any]]:
        """Logits (1, answers) as the most probable answers."""
        ranked = rank_answers(model_outputs["logits"][0], self.model.config.answers, top_k)
        return [{"answer": answer, "score": probability} for answer, probability in ranked]


PIPELINE_REGISTRY.register_pipeline(
    TASK,
    pipeline_class=ClevrVisualQuestionAnsweringPipeline,
    pt_model=AutoModelForVisualQuestionAnswering,
    type="multimodal",
)
