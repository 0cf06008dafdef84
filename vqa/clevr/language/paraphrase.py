"""Reading free English as CLEVR's: other people's words, short forms and typing errors.

A question in CLEVR's language stays as it is. Nothing is guessed that the grammar does not support: a short word is
only corrected where the question then parses, and what has no counterpart in CLEVR's language stays, as an unknown
word.
"""

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from itertools import islice, product

from vqa.clevr.language.parser import WORDS, parse_question, tokens_of
from vqa.clevr.language.spelling import corrections
from vqa.errors import InputError

_SAID = {
    "cube": "box square cubic",
    "cubes": "boxes squares",
    "sphere": "orb globe circle",
    "spheres": "orbs globes circles",
    "cylinder": "tube barrel",
    "cylinders": "tubes barrels",
    "thing": "item",
    "things": "items ones shapes",
    "color": "colour colored coloured hue",
    "gray": "grey silver",
    "yellow": "gold golden",
    "cyan": "teal turquoise aqua",
    "purple": "violet",
    "brown": "bronze copper tan",
    "large": "huge giant",
    "small": "little",
    "shiny": "glossy reflective polished chrome",
    "matte": "matt dull plastic",
    "visible": "shown pictured present depicted displayed",
    "what": "which wat wut",
    "what is": "whats wats what're",
    "there is": "theres",
    "are": "r",
    "in front": "infront",
    "rubber": "rubbery",
    "material": "finish texture",
}


_LONGEST, _MOST_READINGS, _SURE = 60, 40, 5
"""Tokens of a question that is corrected, readings that are tried, letters of a word corrected without the grammar."""

MEANT = {word: plain for plain, words in _SAID.items() for word in words.split()}

COMMON = frozenset(
    """
    about above all also am at away back be been being below beside between black blocked bright but by can close
    could did different each eight equally far few five for four from get got had half he here hidden hit i if
    inside into item just kind last least light like line make matter me middle most my name near neither next no
    non none nor not nothing now off one ones only other's others our out outnumber over partly per picture roll
    round same see seen shade shades share shares she should show shows six so some such tall tallest ten their them
    then there these they third this those three time top total touch tower two type under up us very was we were
    when where which who whose why will with would you your
    """.split()  # noqa: SIM905
)
"""Words that are no misspelling of CLEVR's."""

_STRANGE = (
    *("cone", "pyramid", "ring", "torus", "donut", "prism", "triangle", "cat", "dog", "car", "star", "heart"),
    *("black", "white", "orange", "pink"),
)
_COMPARED = ("larg", "bigg", "small", "tall", "short", "clos", "near", "tini")
OUTSIDE = frozenset(
    [
        *(word + end for word in _STRANGE for end in ("", "s")),
        *(word + end for word in _COMPARED for end in ("er", "est")),
    ]
)
"""What other worlds hold, and what compares: never taken for a misspelling of CLEVR's words."""

_NEGATIONS = re.compile(
    r"\b(?:not|neither|nor|none|non|without|except|excluding|besides|no|nothing|\w+n't)\b"
    r"|\b(?:apart from|aside from|other than)\b"
    r"|\b(?:un|non)(?:metallic|metal|shiny|matte|reflective)\b"
)


def negated(text: str) -> bool:
    """Whether a question says something by a negation, which no rewriting keeps."""
    return _NEGATIONS.search(" ".join(tokens_of(text))) is not None


_SPELLED = (*WORDS, *(word for word in MEANT if len(word) > 3))

_SHAPED = {"round": "sphere", "spherical": "sphere", "cubical": "cube", "cubed": "cube", "cylindrical": "cylinder"}
_ADJECTIVES = (
    "large big small tiny",
    "gray red blue green brown purple cyan yellow",
    "metallic metal shiny rubber matte",
)

_ADJECTIVE = f"(?:{'|'.join(' '.join(_ADJECTIVES).split())})"
_ORDER = {word: place for place, words in enumerate(_ADJECTIVES) for word in words.split()}
_MATERIAL = "(?:metallic|metal|shiny|rubber|matte)"
_ONE = "(?:thing|object|cube|block|sphere|ball|cylinder)"
_MANY = f"(?:{_ONE}s)"
_ASKED = "(?:color|shape|size|material)"
_SCENE = "(?:image|picture|photo|photograph|pic|scene|view|frame|set|group)"

_NP = f"(?:{_ADJECTIVE} )*{_ONE}"
_NPS = f"(?:{_ADJECTIVE} )*{_MANY}"

_PHRASES = [
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\b(?:please|exactly|also) ", ""),
        (rf" (?:that are )?(?:visible )?(?:in|within|of) (?:the|this|that) {_SCENE}\b", ""),
        (r" (?:in total|total|here)\b", ""),
        (r"\blight blue\b", "cyan"),
        (r"\bmade from\b", "made of"),
        (rf"\bshare (?:a|an|the|the same) ({_ASKED}) with\b", r"have the same \1 as"),
        (rf"\bthe (?:only|one|single|lone) (?=(?:{_ADJECTIVE} )*{_ONE}\b)", "the "),
        (r"\bin back of\b", "behind"),
        (r"\b(left|right) from\b", r"\1 of"),
        (rf"\b({'|'.join(_SHAPED)}) (?:thing|object|shape)(s?)\b", lambda m: _SHAPED[m[1]] + m[2]),
        (rf"\b({'|'.join(_SHAPED)})(?: in shape)?$", lambda m: f"{_SHAPED[m[1]]}s"),
        (r"^(?:do|can) you see (?=an? )", "is there "),
        (r"^(?:do|can) you see any ", "are there any "),
        (r"(?<=^how many ).* (?:do|can) you (?:see|count)$", lambda m: f"{m[0].rsplit(' ', 3)[0]} are there"),
        (r"^(?:count|(?:the )?(?:number|count|amount) of) (?:all )?(?:the )?", "how many "),
    )
]
"""What questions with unknown words may say, and what it means in CLEVR's words."""

_POSTPOSED = re.compile(rf" (?:that (?:is|are) (?:made of )?|made of )({_ADJECTIVE})\b(?! {_ONE})")
_POSTPOSED_PHRASE = re.compile(rf"\b({_NP}s?){_POSTPOSED.pattern}")
_ARTICLE = re.compile(rf"\b(left of|right of|in front of|behind) (?=(?:{_ADJECTIVE} )*{_ONE}\b)")
_SEQUENCE = re.compile(rf"\b{_ADJECTIVE}(?: {_ADJECTIVE})+\b")

_FORMS = [
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"(how many (?:(?!are|is|do|have|other).)+)", r"\1 are there"),
        (rf"(how many {_NPS} are)", r"\1 there"),
        (r"((?:are|is) there .+) visible", r"\1"),
        (
            rf"(?:how many|what number of) (?:of the )?({_NPS}) are (?:there that are )?(?:made of )?"
            rf"({_ADJECTIVE}(?: (?:and )?{_ADJECTIVE})*)",
            lambda m: f"how many {m[2].replace(' and', '')} {m[1]} are there",
        ),
        (
            rf"how many ({_NPS}) are (?:either )?({_ADJECTIVE}) or ({_ADJECTIVE})",
            r"how many \1 are either \2 things or \3 things",
        ),
        (rf"how many (?:things|objects) are ((?!.*\b(?:thing|object)s){_NPS})", r"how many \1 are there"),
        (rf"(?:are )?any (?:of the )?({_NPS}) ({_ADJECTIVE})", r"are there any \2 \1"),
        (
            rf"are any (?:of the )?({_NPS}) ((?:the same|behind|in front|to the|on the|left|right)\b.*)",
            r"are there any \1 that are \2",
        ),
        (rf"any ({_NPS}\b.*)", r"are there any \1"),
        (rf"any ({_NP}\b.*)", r"is there a \1"),
        (rf"are there ({_NPS}.*)", r"are there any \1"),
        (r"are there as many (.+) as (.+)", r"are there an equal number of \1 and \2"),
        (r"are there less (.+)", r"are there fewer \1"),
        (r"(are there (?:more|fewer) .+ than) (?:there are )?(.+)", r"\1 \2"),
        (r"(are there (?:the same|an equal) number of .+) as (?!the\b)(.+)", r"\1 and \2"),
        (r"(is the number of .+) (?:fewer|smaller) than (.+)", r"\1 less than \2"),
        (r"(is the number of .+) (?:more|larger|bigger|higher) than (.+)", r"\1 greater than \2"),
        (rf"((?:do|are) the {_NP}) and ({_NP} (?:have )?the same {_ASKED})", r"\1 and the \2"),
        (rf"is the (.+) {_MATERIAL} or {_MATERIAL}", r"what material is the \1"),
        (rf"({_ASKED} of .+)", r"what is the \1"),
        (rf"what ({_ASKED}) (the {_NP}\b.*?)(?: is| has)?", r"what \1 is \2"),
        (rf"(what {_ASKED} is|what is the {_ASKED} of) ({_NP}\b.*)", r"\1 the \2"),
        (rf"what ({_ASKED}) ({_NP}) is (.+)", r"what \1 is the \2 that is \3"),
        (r"what is ((?:left of|right of|behind|in front of|to the|on the) .+)", r"what shape is the thing that is \1"),
        (r"how (?:large|small) is (.+)", r"how big is \1"),
    )
]
"""Forms of whole questions that CLEVR lacks, and its own that mean the same."""

_READABLE = frozenset(
    {*WORDS, *MEANT}.union(
        *(re.findall(r"[a-z']+", re.sub(r"\\.", " ", pattern.pattern)) for pattern, _ in (*_PHRASES, *_FORMS))
    )
)
"""The words that CLEVR's language has or that some pattern above takes for others."""


def read_words(text: str, known: Container[str] = frozenset(WORDS)) -> list[str]:
    """A question's words as a model that knows the words `known` should read them; see the module."""
    return _words(restate(text, known))


def restate(text: str, known: Container[str] = frozenset(WORDS)) -> str:
    """A question in CLEVR's words, as `read_words` gives them, with the punctuation that the parser needs."""
    if negated(text):  # spelling and forms would drop the negation
        return " ".join(tokens_of(text)).rstrip(" ?!.")
    tokens = tokens_of(text)
    said = ""
    if len(tokens) > _LONGEST or all(token in known or _may_parse(token) for token in tokens):
        said = _rephrased(tokens, known)
        if len(tokens) > _LONGEST or all(word in known for word in _words(said)):
            return said
    choices = [_corrected(token, known) for token in tokens]
    likeliest = islice(product(*choices), _MOST_READINGS)
    # a word that no pattern knows stays, and nothing parses with it: most readings need not be put together
    readings = (_rephrased(chosen, known) for chosen in likeliest if all(map(_may_parse, chosen)))
    surely = [
        found[-1] if token in COMMON or len(token) < _SURE else found[0]
        for token, found in zip(tokens, choices, strict=True)
    ]
    return next(filter(parses, readings), None) or _rephrased(surely, known)


def _words(text: str) -> list[str]:
    return [token for token in text.split() if token[0].isalnum()]


def _rephrased(tokens: Iterable[str], known: Container[str]) -> str:
    tokens = [token if token in known else MEANT.get(token, token) for token in tokens]
    text = " ".join(tokens).rstrip(" ?!.")
    if not all(token in known for token in _words(text)):
        for pattern, meaning in _PHRASES:
            text = pattern.sub(meaning, text)
    if _POSTPOSED.search(text):
        text = _POSTPOSED_PHRASE.sub(r"\2 \1", text)
    text = _ARTICLE.sub(r"\1 the ", text)
    for pattern, meaning in _FORMS:
        if match := pattern.fullmatch(text):
            text = meaning(match) if callable(meaning) else match.expand(meaning)
    return _SEQUENCE.sub(_in_order, text).strip()


def _in_order(match: re.Match[str]) -> str:
    """Adjectives in CLEVR's order: size, color, material."""
    return " ".join(sorted(match[0].split(), key=_ORDER.__getitem__))


def _corrected(token: str, known: Container[str]) -> tuple[str, ...]:
    """What a token may have been, itself at the end."""
    right = token in known or token in MEANT or token in OUTSIDE or not token.isalpha()
    return (token,) if right else (*_near(token), token)


@lru_cache(maxsize=1024)
def _near(token: str) -> tuple[str, ...]:
    return tuple(corrections(token, _SPELLED))


def _may_parse(token: str) -> bool:
    """Whether a question with this token can have one of CLEVR's forms, once it is rephrased."""
    return token in _READABLE or not token[0].isalnum()


@lru_cache(maxsize=256)  # a corrected question is parsed to be found, and again where its form is asked for
def parses(text: str) -> bool:
    """Whether a question has one of the forms of CLEVR's language as it stands."""
    try:
        parse_question(text)
    except InputError:
        return False
    return True
