"""Reading questions: the parser from English to programs, paraphrases and spelling."""

from vqa.clevr.language.foreign import foreign_language
from vqa.clevr.language.negation import negated, read_negation
from vqa.clevr.language.paraphrase import parses, read_words, restate
from vqa.clevr.language.parser import WORDS, parse_question

__all__ = [
    "WORDS",
    "foreign_language",
    "negated",
    "parse_question",
    "parses",
    "read_negation",
    "read_words",
    "restate",
]
