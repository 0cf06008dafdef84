"""CLEVR's world without torch: scenes, programs, questions and their language, and how datasets are read and made."""

from vqa.clevr.programs import Program, Step, execute
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene, SceneObject

__all__ = ["Program", "Question", "Scene", "SceneObject", "Step", "execute"]
