"""Telling other languages from English, so that they are refused by name and not read by half."""

import re
import unicodedata

from vqa.clevr.language.parser import WORDS, words_of

_FREQUENT = {
    "German": "wie viele gibt es welche farbe hat der die das den dem ist sind ein eine links rechts von und oder ob",
    "French": "combien quelle couleur quel est sont le la les des du de un une y il cubes gauche droite et ou que",
    "Spanish": "cuántos cuantos cuántas hay qué que color de el la los las es son un una izquierda derecha y del",
    "Italian": "quanti quante ci sono di che colore è il lo la i gli le un una sinistra destra e del",
    "Dutch": "hoeveel welke kleur heeft de het een zijn er links rechts van en of is",
    "Portuguese": "quantos quantas há qual é a cor do da o os as um uma esquerda direita e de são",
}
_SCRIPTS = {
    **{"HIRAGANA": "Japanese", "KATAKANA": "Japanese", "CJK": "Chinese", "HANGUL": "Korean", "CYRILLIC": "Russian"},
    **{"ARABIC": "Arabic", "GREEK": "Greek", "HEBREW": "Hebrew", "DEVANAGARI": "Hindi", "THAI": "Thai"},
}
"""First word of its letters' names in Unicode -> the language that is mostly written so."""


def foreign_language(text: str) -> str | None:
    """The language of a question of which most words are not CLEVR's and two at least are frequent there; or None.

    Of words in another script than English's one is enough.
    """
    words = words_of(text[:1000])
    strange = [word for word in words if word not in WORDS]
    if 2 * len(strange) < len(words):
        return None
    scripts = {re.split("[ -]", unicodedata.name(letter, " "))[0] for letter in "".join(strange)}
    for script, language in _SCRIPTS.items():  # kana before the Chinese signs that they stand among
        if script in scripts:
            return language
    found = {name: sum(word in frequent.split() for word in strange) for name, frequent in _FREQUENT.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= 2 else None
