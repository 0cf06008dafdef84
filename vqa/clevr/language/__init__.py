"""Reading questions: the parser from English to programs, paraphrases, free questions and spelling."""

from vqa.clevr.language.asked_answers import asked_answers
from vqa.clevr.language.foreign import foreign_language
from vqa.clevr.language.free_questions import READ_WORDS, read_free
from vqa.clevr.language.paraphrase import negated, parses, read_words, restate
from vqa.clevr.language.parser import WORDS, parse_question

__all__ = [
    "READ_WORDS",
    "WORDS",
    "asked_answers",
    "foreign_language",
    "negated",
    "parse_question",
    "parses",
    "read_free",
    "read_words",
    "restate",
]
