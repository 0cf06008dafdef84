"""A `transformers` pipeline; importing `vqa.model` registers its task.

>>> import transformers, vqa.model
>>> answerer = transformers.pipeline("clevr-visual-question-answering", model="checkpoints/film-qcse-clevr")
>>> answerer(image="image.png", question="What color is the cube?", top_k=3)
"""

from typing import Any

from transformers import AutoModelForVisualQuestionAnswering, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from vqa.model.processing import rank_answers

TASK = "clevr-visual-question-answering"


class ClevrVisualQuestionAnsweringPipeline(Pipeline):
    """Answers questions about images, several at a time.

    Call it with `image` and `question`, or with (a list of) {"image": ..., "question": ...}. The result, for each, is a
    list of {"answer", "score"}, the `top_k` (5) most probable answers first. Raises InputError for what cannot be
    asked.
    """

    _load_processor: Any = True
    _load_tokenizer: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False

    def __call__(self, inputs: Any = None, *args: Any, image: Any = None, question: Any = None, **kwargs: Any) -> Any:
        """Answers, as the class says."""
        return super().__call__({"image": image, "question": question} if inputs is None else inputs, *args, **kwargs)

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def preprocess(self, input_: Any, **kwargs: Any) -> Any:
        """One image and question as tensors."""
        processor: Any = self.processor
        question = processor.check_question(input_["question"])
        return processor(images=input_["image"], return_tensors="pt") | processor.pad_tokens([question.token_ids])

    def _forward(self, input_tensors: Any, **kwargs: Any) -> Any:
        return {"logits": self.model(**input_tensors).logits}

    def postprocess(self, model_outputs: Any, top_k: Any = 5, **kwargs: Any) -> list[dict[str, Any]]:
        """Logits (1, answers) as the most probable answers."""
        ranked = rank_answers(model_outputs["logits"][0], self.model.config.answers, top_k)
        return [{"answer": answer, "score": probability} for answer, probability in ranked]


PIPELINE_REGISTRY.register_pipeline(
    TASK, ClevrVisualQuestionAnsweringPipeline, pt_model=AutoModelForVisualQuestionAnswering, type="multimodal"
)
