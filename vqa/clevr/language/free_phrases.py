"""The grammar of free questions, words and phrases: symbol -> patterns with their meanings.

In a pattern one|of|several words stands for itself (any word of them), a capitalized name for a symbol, whose meaning
the function is given in its place; with "?", it may be missing; "!" before a symbol says that it does not follow.
Earlier patterns are preferred. A meaning of None says that it is not read so.
"""

from collections.abc import Callable
from typing import Any

from vqa.clevr.language.free_meanings import (
    EVERYTHING,
    IT,
    OTHER,
    THEM,
    both,
    call,
    either,
    modified,
    negation,
    objects,
    said_of,
    same,
    unique,
)
from vqa.clevr.vocabulary import ATTRIBUTES

SILENT = "silent"
"""The meaning of a symbol that stands for words alone; no function is given it."""

Rule = tuple[str, Callable[..., Any]]

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

ALL = "|".join(ATTRIBUTES)
_SIDES = {
    **dict.fromkeys(("left", "leftmost"), "left"),
    **dict.fromkeys(("right", "rightmost"), "right"),
    **dict.fromkeys(("front", "foreground", "frontmost", "forefront", "bottom", "bottommost"), "front"),
    **dict.fromkeys(("back", "rear", "background", "top", "topmost"), "behind"),
    **dict.fromkeys(("middle", "center"), "middle"),
}
_NOUNS = {
    **{shape + end: (bool(end), (("filter", "shape", shape),)) for shape in ATTRIBUTES["shape"] for end in ("", "s")},
    **{"thing": (False, ()), "things": (True, ()), "shape": (False, ()), "one": (False, ())},
    **dict.fromkeys(("they", "them"), (True, (THEM,))),
}


def same_meaning(meaning: Any) -> Any:
    """The meaning of a pattern that is one symbol."""
    return meaning


def _nothing() -> tuple:
    return ()


def silent() -> str:
    """The meaning of a pattern that is words alone."""
    return SILENT


def _pair(traits: str) -> tuple:
    return "like", traits


def _words(meanings: dict[str, Any]) -> list[Rule]:
    return [(word, lambda value=value: value) for word, value in meanings.items()]


WORDS: dict[str, list[Rule]] = {
    "Adjective": _words({v: ("filter", a, v) for a, values in ATTRIBUTES.items() if a != "shape" for v in values}),
    "Noun": _words(_NOUNS),
    "Attribute": _words({name: name for name in ATTRIBUTES}),
    "Traits": [
        ("Attribute", same_meaning),
        ("Attribute and|or the? same? Attribute", lambda one, other: f"{one}|{other}"),
    ],
    "Side": _words(_SIDES),
    "Nth": _words({"second": "2", "2nd": "2", "third": "3", "3rd": "3", "fourth": "4"}),
    "Number": _words({word: str(n) for n, word in enumerate(NUMBERS, 1)}),
    "Be": [("is|are|was|were|has|have|does|do|appear|appears", silent)],
    "Have": [("of|with|has|have|having|made|share|shares|sharing|that|is|are?", silent)],
    "Would": [("would|will? be|remain|are? left|there|remaining?", silent)],
    "Kinds": [("different|total? kinds|kind|types|type|variety? of?", silent)],
    "Used": [("appears|appear|occurs|represented|shared|used|seen|found|shows|shown|showing|on up?", silent)],
    "Most": [
        ("the? most common|frequent|prevalent|plentiful|numerous|abundant?", silent),
        ("the? majority|most|predominant of?", silent),
    ],
}

PHRASES: dict[str, list[Rule]] = {
    # In within a phrase; Np also with "and ..." behind it
    "Np": [
        ("In", same_meaning),
        ("In Ands", lambda np, mods: modified(np, *mods)),
        ("Noun and|or Noun", lambda one, other: (True, (either(*one[1], *other[1]),)) if one[1] and other[1] else None),
    ],
    "Ands": [("and|but Post", same_meaning), ("and|but Post Ands", lambda one, more: (*one, *more))],
    "In": [
        ("larger|largest size? In", lambda np: modified(np, ("filter", "size", "large")) if np[0] else None),
        ("smaller|smallest size? In", lambda np: modified(np, ("filter", "size", "small")) if np[0] else None),
        ("Pre ,? In", lambda mods, np: modified(np, *mods)),
        ("closest|nearest In", lambda np: modified(np, ("extreme", "front"))),
        ("farthest In", lambda np: modified(np, ("extreme", "behind"))),
        ("Noun Posts", lambda noun, mods: modified(noun, *mods)),
        ("non Noun thing|things?", lambda noun: (True, (negation(said_of(noun)),))),
        ("Pre !Noun !Pre Posts", lambda one, mods: (False, (*one, *mods)) if one else None),
        ("Nth In from|on|to the far? Side", lambda n, np, side: modified(np, ("ordinal", f"{n} {side}"))),
    ],
    "Pre": [
        ("Adjective color|material?", lambda mod: (mod,)),
        ("Adjective or Adjective", lambda one, other: (either(one, other),)),
        ("Adjective and Adjective", lambda one, other: (both(one, other),)),
        ("non|not Adjective", lambda mod: (negation(mod),)),
        ("same|similarly|matching Attribute", lambda a: (_pair(a),)),
        ("identical|matching", lambda: (_pair(ALL),)),
        ("only|single|lone|two|three|same", _nothing),
        ("other", lambda: (OTHER,)),
        ("largest|larger size?", lambda: (("extreme", "largest"),)),
        ("smallest|smaller size?", lambda: (("extreme", "smallest"),)),
        ("far|very|most|farthest? Side most?", lambda side: (("extreme", side),)),
        ("mostly? hidden", lambda: (("hidden", None),)),
        ("different", lambda: (("odd", None),)),
    ],
    "Posts": [("Post Posts", lambda one, more: (*one, *more)), ("", _nothing)],
    "Post": [
        ("that|what|who Be Simple", lambda mod: (mod,)),
        ("that|what|who Be either? Adjective or Adjective", lambda one, other: (either(one, other),)),
        ("that|what|who Be neither Simple nor Simple", lambda one, other: (negation(one), negation(other))),
        ("that|what|who Be both? Adjective and Adjective", lambda one, other: (both(one, other),)),
        ("that|what do|does not Same", lambda mod: (("not", mod),)),
        ("that|what? Near", lambda mod: (mod,)),
        ("that|what Same", lambda mod: (mod,)),
        ("of|with|having|sharing? Like", lambda mod: (mod,)),
        ("of|with|in|that? its|their Attribute", lambda a: (("odd_" + a, None),)),
        (
            "that? do|does not have an|a|another|any other? thing|things in|of|with a|an|the? same|matching Attribute",
            lambda a: (("odd_" + a, None),),
        ),
        ("made of|from Like", lambda mod: (mod,)),
        ("not Place", lambda mod: (("not", mod),)),
        ("not made of|from Adjective", lambda mod: (negation(mod),)),
        ("that Be both Place and Place", lambda one, other: (one, other)),
        ("with|of|in a|an|the? Adjective material|color|size?", lambda mod: (mod,)),
        ("made of|from|out of? Adjective material?", lambda mod: (mod,)),
        ("not? Minus", lambda mod: (mod,)),
        ("Adjective", lambda mod: (mod,)),
    ],
    "Minus": [
        ("except|besides|excluding for? a|an|the? In", lambda np: negation(said_of(np))),
        ("other than a|an|the? In", lambda np: negation(said_of(np))),
        ("not counting|including the? In", lambda np: negation(said_of(np))),
        ("apart|aside from a|an|the? In", lambda np: negation(said_of(np))),
    ],
    "Pred": [
        ("not either? Simple or Simple", lambda one, other: both(negation(one), negation(other))),
        ("Simple", same_meaning),
        ("Simple and|but|, that? are? Pred", both),
        ("Simple or that? are? Pred", either),
        ("both Simple and Simple", both),
        ("either Simple or Simple", either),
        ("neither Simple nor|or Simple", lambda one, other: both(negation(one), negation(other))),
    ],
    "Simple": [
        ("Adjective", same_meaning),
        ("Adjective Adjective", both),
        ("Adjective and? Adjective and? a|an? Noun", lambda one, other, noun: both(one, other, *noun[1])),
        ("non|not Simple", negation),
        ("made? of|from|out of? Adjective material?", same_meaning),
        ("a|an|the? Adjective in? color|material|size|shape", same_meaning),
        ("Noun in? shape|shaped", said_of),
        ("a|an? In", said_of),
        ("shaped like|as a|an? In", said_of),
        ("Place", same_meaning),
        ("the In", said_of),
    ],
    "Ref": [
        ("the|a|an|this|that? In", lambda np: None if np[0] or not np[1] else unique(np)),
        ("it", lambda: IT),
    ],
    "Refs": [
        ("a|an|any|another|some|one|either of? the? other? In", objects),
        ("everything else?", lambda: objects(EVERYTHING)),
        ("Ref", same_meaning),
    ],
    "Those": [
        ("the|these|those In", lambda np: objects(np) if np[0] else None),
        ("the|these|those Number In", lambda n, np: objects(np) if np[0] else None),
    ],
    "The": [
        ("the|this|that|a|an? Np", lambda np: None if np[0] or not np[1] else unique(np)),
        ("it", lambda: IT),
    ],
    "Direction": [
        ("to|on|at? the? far? left side? of|from", lambda: "left"),
        ("to|on|at? the? far? right side? of|from", lambda: "right"),
        ("directly? behind", lambda: "behind"),
        ("in back of", lambda: "behind"),
        ("directly? in the? front of", lambda: "front"),
    ],
    "Place": [("Near", same_meaning), ("Same", same_meaning)],
    "Near": [
        ("Direction Refs", lambda way, to: ("relate", way, to)),
        ("Direction and Direction Ref", lambda one, way, to: both(("relate", one, to), ("relate", way, to))),
        ("Direction Those", lambda way, to: ("beyond", way, to)),
        ("Direction all|everything|every of? the? other|else things?", lambda way: ("extreme", way)),
        ("Direction all? of? the others|rest", lambda way: ("extreme", way)),
        ("Direction all? of? the other things", lambda way: ("extreme", way)),
        ("Direction all|both of? the? In", lambda way, np: ("beyond", way, objects(np))),
        ("Direction everything else?", lambda way: ("extreme", way)),
        ("the? closest|nearest to? the? Viewer", lambda: ("extreme", "front")),
        ("the? farthest away? from? the? Viewer? !Prep", lambda: ("extreme", "behind")),
        ("closest|nearest to? Refs", lambda to: ("nearest", None, to)),
        ("next|adjacent|close to Refs", lambda to: ("near", None, to)),
        ("near|beside|by|touching to? Refs", lambda to: ("near", None, to)),
        ("farthest|far out? away? from all|the of? the? rest|others|other things?", lambda: ("extreme", "apart")),
        ("alone|isolated|lone", lambda: ("extreme", "apart")),
        ("farthest|far away? from Ref", lambda to: ("farthest", None, to)),
        ("in? between Ref and Ref", lambda one, other: ("between", None, call("union", one, other))),
        ("in? between the|both|all? the? two|other? In", lambda np: ("between", None, objects(np)) if np[0] else None),
        (
            "mostly? being? hidden|hiding mostly? by|behind another|other|a large|larger|smaller? thing",
            lambda: ("hidden", None),
        ),
        ("mostly? being? hidden|hiding mostly? by|behind|from|under Refs", lambda by: ("hidden_by", None, by)),
        ("mostly? being? hidden from? full? view?", lambda: ("hidden", None)),
        ("mostly? hiding|blocking|obscuring|covering Refs", lambda what: ("hides", None, what)),
        ("larger than Ref", lambda than: ("larger", None, than)),
        ("smaller than Ref", lambda than: ("smaller", None, than)),
        ("in|at|on|to|toward|towards|from the very|far|most|farthest Side side|most?", lambda side: ("extreme", side)),
        ("in|at|on|to|toward|towards|from the Side side|most?", lambda side: ("at", side)),
        ("in|at|on|to the Side half|side? of?", lambda side: ("half", side)),
        ("in|up? front", lambda: ("at", "front")),
        ("in? back", lambda: ("at", "behind")),
        ("the? most? farthest|far|most|very away? to|in|on|from? the? Side", lambda side: ("extreme", side)),
        ("the? closest|nearest", lambda: ("extreme", "front")),
        ("the? largest", lambda: ("extreme", "largest")),
        ("the? smallest", lambda: ("extreme", "smallest")),
        ("the? Nth one? from|on|to the? far? Side", lambda n, side: ("ordinal", f"{n} {side}")),
        (
            "Have? of? a|the? different in|of? Attribute than|from|of|to|as? all? the? of? the? Others?",
            lambda a: (f"odd_{a}", None),
        ),
        ("Have? not Have? of? the? same Attribute as|of all? of? the Others", lambda a: (f"odd_{a}", None)),
        ("Have a|its? own? Attribute all? of? its own", lambda a: (f"odd_{a}", None)),
        ("the? only one|thing? of|with|that? its|that Attribute", lambda a: (f"odd_{a}", None)),
        ("different than|from|to? all? of? the? Others?", lambda: ("odd", None)),
        ("not like any|all? of? the? Others", lambda: ("odd", None)),
        ("Pair", same_meaning),
    ],
    "Pair": [
        ("Have? of|from? both|all? exactly? the|a? exact? same|matching|similar type|kind? of? Traits", _pair),
        ("Have? of|from? the same Traits as one|each other|another", _pair),
        ("match|matches|matching", lambda: _pair(ALL)),
        ("to? share|shares|match|matches|matching the|a|in|by? same? Traits with|as? each? other|another?", _pair),
        ("Have? both|all? exactly? identical|alike", lambda: _pair(ALL)),
        ("both|all? exactly? the same", lambda: _pair(ALL)),
    ],
    "Like": [
        ("the? exact? same type|kind? of? Traits as|of|with Refs", same),
        ("the? exact? same type|kind? of? Traits as|of|with Those", same),
        ("a|the? different Attribute than|from|as|to Ref", lambda a, to: (f"different_{a}", None, to)),
    ],
    "Same": [
        ("made? Have Like", same_meaning),
        (
            "share|shares|sharing|match|matches|matching the|a|its|in? same? Traits of|with|as|to Refs",
            same,
        ),
        ("match|matches|matching Refs in|by Traits", lambda to, t: same(t, to)),
    ],
    "Amount": [
        ("only? Number", lambda n: ("exactly", n)),
        ("at least Number", lambda n: ("at_least", n)),
        ("at most Number", lambda n: ("at_most", n)),
        ("more than Number", lambda n: ("at_least", str(int(n) + 1))),
        ("fewer than Number", lambda n: ("at_most", str(int(n) - 1))),
    ],
    "Every": [
        ("all|both|each|every of? the|these|those? Number? Np", lambda *np: np[-1]),
        ("the|these|those? Number? Np all|both|each?", lambda *np: np[-1] if np[-1][0] else None),
        ("everything", lambda: EVERYTHING),
    ],
    "Others": [("others|rest|other things?", silent)],
    "Prep": [("to|in|on|at", silent)],
    "Viewer": [("camera|viewer|view|screen|us|you|me|front|foreground|forefront", silent)],
}
