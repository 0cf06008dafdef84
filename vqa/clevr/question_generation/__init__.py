"""Generating questions: templates, their instantiation on scenes, and the composed families."""

from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance, QuestionGenerator, generate_questions

__all__ = ["Balance", "QuestionGenerator", "generate_questions", "load_templates"]
