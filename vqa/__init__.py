"""Visual question answering on CLEVR, with the channels behind each answer on show.

>>> import vqa
>>> answer = vqa.load().ask("image.png", "What color is the cube left of the big sphere?")
>>> answer.answer, answer.confidence, answer.blocks[0].channel_gate

After `import vqa` the Auto classes and pipelines of transformers know the model, though neither is imported by it.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa.inference.answerer import Answer, VisualQuestionAnswerer, load

__all__ = ["Answer", "VisualQuestionAnswerer", "load"]

_AUTO, _PIPELINES = "transformers.models.auto.modeling_auto", "transformers.pipelines"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vqa.inference import answerer

        return getattr(answerer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _RegisterWithTransformers(MetaPathFinder):
    """Imports `vqa.model`, which registers itself, once transformers has loaded its Auto classes or its pipelines.

    Importing it here would cost every `vqa --help` seconds.
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module's usual spec, with the registration after its execution."""
        if fullname not in (_AUTO, _PIPELINES) or not (spec := PathFinder.find_spec(fullname, path)) or not spec.loader:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: Any) -> None:
            execute(module)
            begun = sys.modules.get(_PIPELINES)
            if fullname == _PIPELINES or begun is None or not getattr(begun.__spec__, "_initializing", False):
                import_module("vqa.model")  # else the pipelines, which are loading now, do it when they are there

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if _AUTO in sys.modules:
    import_module("vqa.model")
else:
    sys.meta_path.insert(0, _RegisterWithTransformers())
