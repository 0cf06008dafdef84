"""Reading questions: the parser from English to programs, paraphrases and spelling."""

from vqa.clevr.language.paraphrase import parses, read_words, restate
from vqa.clevr.language.parser import WORDS, parse_question

__all__ = ["WORDS", "parse_question", "parses", "read_words", "restate"]
