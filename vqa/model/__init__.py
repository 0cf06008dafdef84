"""The model in the manner of Hugging Face: configuration, model, processor, presets; all known to the Auto classes
and to `pipeline`."""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForVisualQuestionAnswering, AutoProcessor

from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.pipeline import ClevrVisualQuestionAnsweringPipeline
from vqa.model.presets import PRESETS, build_config, build_model, build_processor
from vqa.model.processing import FilmSEImageProcessor, FilmSEProcessor

AutoConfig.register("film_se", FilmSEConfig)
AutoModelForVisualQuestionAnswering.register(FilmSEConfig, FilmSEForVisualQuestionAnswering)
AutoImageProcessor.register(
    FilmSEConfig, image_processor_classes={"pil": FilmSEImageProcessor, "torchvision": FilmSEImageProcessor}
)
AutoProcessor.register(FilmSEConfig, FilmSEProcessor)

__all__ = [
    "PRESETS",
    "ClevrVisualQuestionAnsweringPipeline",
    "FilmSEConfig",
    "FilmSEForVisualQuestionAnswering",
    "FilmSEImageProcessor",
    "FilmSEOutput",
    "FilmSEProcessor",
    "build_config",
    "build_model",
    "build_processor",
]
