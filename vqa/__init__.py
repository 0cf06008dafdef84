"""Visual question answering on CLEVR, with the channels behind each answer on show.

>>> import vqa
>>> answer = vqa.load().ask("image.png", "What color is the cube left of the big sphere?")
>>> answer.answer, answer.confidence, answer.blocks[0].channel_gate
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa.inference.answerer import Answer, VisualQuestionAnswerer, load

__all__ = ["Answer", "VisualQuestionAnswerer", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vqa.inference import answerer

        return getattr(answerer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
