"""Visual question answering on CLEVR, with the channels that answer on show.

>>> import vqa
>>> answer = vqa.load().ask("image.png", "What color is the cube left of the big sphere?")
>>> answer.answer, answer.confidence, answer.weights["block_1"]["channel_weights"]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa.inference.answerer import Answer, VisualQuestionAnswerer, load

__all__ = ["Answer", "VisualQuestionAnswerer", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vqa.inference import answerer as answering

        return getattr(answering, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
