"""The grammar of free questions: symbol -> patterns with their meanings, for `vqa.clevr.language.free_questions`.

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
    alike,
    apply,
    asked_by,
    both,
    bring_up,
    call,
    choice,
    compare,
    count,
    either,
    exist,
    modified,
    more_of,
    negation,
    number,
    objects,
    query,
    said_of,
    unique,
)
from vqa.clevr.vocabulary import ATTRIBUTES

SILENT = "silent"
"""The meaning of a symbol that stands for words alone; no function is given it."""

Rule = tuple[str, Callable[..., Any]]

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_SIDES = {
    **dict.fromkeys(("left", "leftmost"), "left"),
    **dict.fromkeys(("right", "rightmost"), "right"),
    **dict.fromkeys(("front", "foreground", "frontmost"), "front"),
    **dict.fromkeys(("back", "rear", "background"), "behind"),
    **dict.fromkeys(("middle", "center"), "middle"),
}
_NOUNS = {
    **{shape + end: (bool(end), (("filter", "shape", shape),)) for shape in ATTRIBUTES["shape"] for end in ("", "s")},
    **{"thing": (False, ()), "things": (True, ()), "shape": (False, ()), "one": (False, ())},
}


def _same(meaning: Any) -> Any:
    return meaning


def _nothing() -> tuple:
    return ()


def _silent() -> str:
    return SILENT


def _words(meanings: dict[str, Any]) -> list[Rule]:
    return [(word, lambda value=value: value) for word, value in meanings.items()]


WORDS: dict[str, list[Rule]] = {
    "Adjective": _words({v: ("filter", a, v) for a, values in ATTRIBUTES.items() if a != "shape" for v in values}),
    "Noun": _words(_NOUNS),
    "Attribute": _words({name: name for name in ATTRIBUTES}),
    "Side": _words(_SIDES),
    "Nth": _words({"second": "2", "2nd": "2", "third": "3", "3rd": "3", "fourth": "4"}),
    "Number": _words({word: str(n) for n, word in enumerate(NUMBERS, 1)}),
    "Be": [("is|are|was|were|has|have|does|do|appear|appears", _silent)],
    "Have": [("of|with|has|have|having|made|share|shares|sharing|that|is|are?", _silent)],
    "Would": [("would|will? be|remain|are? left|there|remaining?", _silent)],
    "Kinds": [("different|total? kinds|kind|types|type|variety? of?", _silent)],
    "Used": [("appears|appear|occurs|represented|shared|used|seen|found|shows|shown up?", _silent)],
    "Most": [("the? most common|frequent|prevalent?", _silent), ("the? majority|most of?", _silent)],
}

PHRASES: dict[str, list[Rule]] = {
    # In within a phrase; Np also with "and ..." behind it
    "Np": [
        ("In", _same),
        ("In Ands", lambda np, mods: modified(np, *mods)),
        ("Noun and|or Noun", lambda one, other: (True, (either(*one[1], *other[1]),)) if one[1] and other[1] else None),
    ],
    "Ands": [("and|but Post", _same), ("and|but Post Ands", lambda one, more: (*one, *more))],
    "In": [
        ("larger|largest In", lambda np: modified(np, ("filter", "size", "large")) if np[0] else None),
        ("smaller|smallest In", lambda np: modified(np, ("filter", "size", "small")) if np[0] else None),
        ("Pre In", lambda mods, np: modified(np, *mods)),
        ("closest|nearest In", lambda np: modified(np, ("extreme", "front"))),
        ("farthest In", lambda np: modified(np, ("extreme", "behind"))),
        ("Noun Posts", lambda noun, mods: modified(noun, *mods)),
        ("Pre !Noun Posts", lambda one, mods: (False, (*one, *mods)) if one else None),
        ("Nth In from|on|to the far? Side", lambda n, np, side: modified(np, ("ordinal", f"{n} {side}"))),
    ],
    "Pre": [
        ("Adjective color?", lambda mod: (mod,)),
        ("Adjective or Adjective", lambda one, other: (either(one, other),)),
        ("Adjective and Adjective", lambda one, other: (both(one, other),)),
        ("non|not Adjective", lambda mod: (negation(mod),)),
        ("only|single|lone|two|three|same", _nothing),
        ("other", lambda: (OTHER,)),
        ("largest|larger", lambda: (("extreme", "largest"),)),
        ("smallest|smaller", lambda: (("extreme", "smallest"),)),
        ("far|very|most|farthest? Side most?", lambda side: (("extreme", side),)),
        ("mostly? hidden", lambda: (("hidden", None),)),
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
        ("of|with|having|sharing Like", lambda mod: (mod,)),
        ("made of|from Like", lambda mod: (mod,)),
        ("not Place", lambda mod: (("not", mod),)),
        ("that Be both Place and Place", lambda one, other: (one, other)),
        ("with|of|in a|an|the? Adjective material|color|size?", lambda mod: (mod,)),
        ("made of|from|out of? Adjective material?", lambda mod: (mod,)),
        ("not? Minus", lambda mod: (mod,)),
        ("Adjective", lambda mod: (mod,)),
    ],
    "Minus": [
        ("except|besides|excluding for? a|an|the? In", lambda np: negation(said_of(np))),
        ("other than a|an|the? In", lambda np: negation(said_of(np))),
        ("apart|aside from a|an|the? In", lambda np: negation(said_of(np))),
    ],
    "Pred": [
        ("Simple", _same),
        ("Simple and|but|, that? are? Pred", both),
        ("Simple or that? are? Pred", either),
        ("both Simple and Simple", both),
        ("either Simple or Simple", either),
        ("neither Simple nor Simple", lambda one, other: both(negation(one), negation(other))),
        ("not either? Simple or Simple", lambda one, other: both(negation(one), negation(other))),
    ],
    "Simple": [
        ("Adjective", _same),
        ("Adjective and? Adjective and? a|an? Noun", lambda one, other, noun: both(one, other, *noun[1])),
        ("non|not Simple", negation),
        ("made? of|from|out of? Adjective material?", _same),
        ("a|an|the? Adjective in? color|material|size|shape", _same),
        ("Noun in? shape|shaped", said_of),
        ("a|an? In", said_of),
        ("Place", _same),
        ("the In", said_of),
    ],
    "Ref": [
        ("the|a|an|this|that? In", lambda np: None if np[0] or not np[1] else unique(np)),
        ("it", lambda: IT),
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
    "Place": [("Near", _same), ("Same", _same)],
    "Near": [
        ("Direction Ref", lambda way, to: ("relate", way, to)),
        ("Direction all|everything|every of? the? other|else things?", lambda way: ("extreme", way)),
        ("Direction all|both of? the? In", lambda way, np: ("beyond", way, objects(np))),
        ("Direction everything else?", lambda way: ("extreme", way)),
        ("closest|nearest to? Ref", lambda to: ("nearest", None, to)),
        ("next|adjacent|close to Ref", lambda to: ("near", None, to)),
        ("near|beside|by|touching to? Ref", lambda to: ("near", None, to)),
        ("farthest|far out? away? from all|the of? the? rest|others|other things?", lambda: ("extreme", "apart")),
        ("farthest|far away? from Ref", lambda to: ("farthest", None, to)),
        ("in? between Ref and Ref", lambda one, other: ("between", None, call("union", one, other))),
        ("in? between the two|other? In", lambda np: ("between", None, objects(np)) if np[0] else None),
        (
            "mostly? being? hidden|hiding mostly? by|behind another|other|a large|larger|smaller? thing",
            lambda: ("hidden", None),
        ),
        ("mostly? being? hidden|hiding mostly? by|behind|from|under Ref", lambda by: ("hidden_by", None, by)),
        ("mostly? being? hidden from? view?", lambda: ("hidden", None)),
        ("mostly? hiding|blocking|obscuring|covering Ref", lambda what: ("hides", None, what)),
        ("larger than Ref", lambda than: ("larger", None, than)),
        ("smaller than Ref", lambda than: ("smaller", None, than)),
        ("in|at|on|to|toward|towards|from the very|far|most|farthest? Side side|most?", lambda side: ("extreme", side)),
        ("in? front", lambda: ("extreme", "front")),
        ("in? back", lambda: ("extreme", "behind")),
        ("the? most? farthest|far|most|very away? to|in|on|from? the? Side", lambda side: ("extreme", side)),
        ("the? farthest away? from? the? camera|viewer|us?", lambda: ("extreme", "behind")),
        ("the? closest|nearest to? the? camera|viewer|us|front|foreground?", lambda: ("extreme", "front")),
        ("the? largest", lambda: ("extreme", "largest")),
        ("the? smallest", lambda: ("extreme", "smallest")),
        ("the? Nth one? from|on|to the? far? Side", lambda n, side: ("ordinal", f"{n} {side}")),
        (
            "Have of? a|the? different Attribute than|from|of? all|the? of? the? other|others|rest things?",
            lambda a: (f"odd_{a}", None),
        ),
    ],
    "Like": [
        ("the? same type|kind? of? Attribute as|of|with Ref", lambda a, to: ("same", a, to)),
        (
            "the? same Attribute and the? same? Attribute as|of Ref",
            lambda a, b, to: both(("same", a, to), ("same", b, to)),
        ),
        ("a|the? different Attribute than|from|as|to Ref", lambda a, to: (f"different_{a}", None, to)),
    ],
    "Same": [
        ("made? Have Like", _same),
        (
            "share|shares|sharing|match|matches|matching the|a|its? same? Attribute of|with Ref",
            lambda a, to: ("same", a, to),
        ),
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
}

QUESTIONS: dict[str, list[Rule]] = {
    "Q": [
        ("Question", _same),
        ("Question , a|an? Simple or a|an? Simple", lambda question, one, other: question),
        ("there is|are a|an|another|one? Np , Question", lambda np, q: bring_up(unique((False, np[1])), q)),
        ("of|out? of? all? the|these? Np , how many Be Pred", lambda np, mod: count(apply(mod, objects(np)))),
        ("Minus , how many Np", lambda mod, np: count(apply(mod, objects(np)))),
    ],
    "Question": [(symbol, _same) for symbol in ("Count", "Compare", "Truth", "Query", "Common")],
    "Count": [
        ("how many of? all? the|these|those? Np", lambda np: count(objects(np))),
        ("how many of? all? the|these|those? Np Be there? Pred", lambda np, mod: count(objects(modified(np, mod)))),
        ("how many of? all? the|these|those? Np Be there Post", lambda np, mods: count(objects(modified(np, *mods)))),
        ("how many of? the? Np Same", lambda np, mod: count(objects(modified(np, mod)))),
        ("how many Be Pred", lambda mod: count(apply(mod, objects(EVERYTHING)))),
        ("how many Np and|or Np", lambda one, other: count(call("union", objects(one), objects(other)))),
        (
            "how many more Np Be? there? than there? are? Np",
            lambda one, other: call("difference", objects(one), objects(other)),
        ),
        (
            "how many fewer Np Be? there? than there? are? Np",
            lambda one, other: call("difference", objects(other), objects(one)),
        ),
        (
            "how many Np Would if|after all? of? the? Np Be removed|gone",
            lambda np, gone: count(call("minus", objects(np), objects(gone))),
        ),
        (
            "if all? of? the? Np Be removed|gone , how many Np? Would",
            lambda gone, np=EVERYTHING: count(call("minus", objects(np), objects(gone))),
        ),
        (
            "if|after you? remove|removing all? of? the? Np , how many Np? Would",
            lambda gone, np=EVERYTHING: count(call("minus", objects(np), objects(gone))),
        ),
        ("how many Kinds Attribute", lambda a: call(f"distinct_{a}", objects(EVERYTHING))),
        (
            "how many Kinds Attribute is|are|of|do? of? all? the? Np have?",
            lambda a, np: call(f"distinct_{a}", objects(np)),
        ),
    ],
    "Truth": [
        ("is|are there Amount Np", lambda how, np: number(how, objects(np))),
        ("there is|are Amount Np", lambda how, np: number(how, objects(np))),
        ("is|are Amount of? the? Np Pred", lambda how, np, mod: number(how, objects(modified(np, mod)))),
        ("is|are there any|a|an|some? Np", lambda np: exist(objects(np))),
        ("there is|are a|an|some Np", lambda np: exist(objects(np))),
        ("is|are any Np", lambda np: exist(objects(np))),
        ("is|are there no Np", lambda np: call("negate", exist(objects(np)))),
        ("is|are|do|does any|some|either of? the|these? Np Pred", lambda np, mod: exist(objects(modified(np, mod)))),
        (
            "is|are|do|does any of? the|these? Np Have of|from? the same Attribute",
            lambda np, a: call("negate", call(f"all_different_{a}", objects(np))),
        ),
        (
            "is|are|do|does Every Have of|from? the same type|types|kind? of? Attribute",
            lambda np, a: call(f"all_same_{a}", objects(np)),
        ),
        ("is|are|do|does Every Have a? different Attribute", lambda np, a: call(f"all_different_{a}", objects(np))),
        ("is|are|do|does Every Pred", lambda np, mod: call("all", objects(np), apply(mod, objects(np)))),
        ("is|are|do|does The and The both? Have of|from? the same Attribute", alike),
        (
            "is|are|do|does The and The Have a? different Attribute",
            lambda one, other, a: call("negate", alike(one, other, a)),
        ),
        ("is|are The and The next|close|near to? each other", lambda one, other: exist(call("near", one, other))),
        (
            "is|are The and The both? Pred",
            lambda one, other, mod: call("all", call("union", one, other), apply(mod, call("union", one, other))),
        ),
        (
            "is|does The Have a|the? different Attribute than|from|as The",
            lambda one, a, other: call("negate", alike(one, other, a)),
        ),
        ("is|does|do The made? Have from? the? same Attribute as|of The", lambda one, a, other: alike(one, other, a)),
        (
            "is The a|an? Simple or a|an? Simple",
            lambda one, first, last: (a := choice(first, last)) and call(f"query_{a}", one),
        ),
        ("is The the only In", lambda one, np: call("all", objects(np), one)),
        ("is|does|has|do The have? Pred", lambda one, mod: exist(apply(mod, one))),
        ("The is|has Pred", lambda one, mod: exist(apply(mod, one))),
        ("all of? the? Np are Pred", lambda np, mod: call("all", objects(np), apply(mod, objects(np)))),
    ],
    "Compare": [
        ("is|are there more Np than there? is|are? Np", lambda one, other: compare("more", one, other)),
        ("is|are there fewer Np than there? is|are? Np", lambda one, other: compare("fewer", one, other)),
        ("is|are there as many Np as there? is|are? Np", lambda one, other: compare("same", one, other)),
        (
            "is|are there a|an|the? same|equal number|amount|numbers of Np and|as|to there? are? Np",
            lambda one, other: compare("same", one, other),
        ),
        ("is|are there more Np or more? Np", lambda one, other: more_of("more_of", one, other)),
        ("is|are there fewer Np or fewer? Np", lambda one, other: more_of("fewer_of", one, other)),
        ("what is|are? there? more|most of? ,? the? Np or Np", lambda one, other: more_of("more_of", one, other)),
        (
            "is|are more of? the? Np Adjective or Adjective",
            lambda np, one, other: more_of("more_of", modified(np, one), modified(np, other)),
        ),
    ],
    "Query": [
        ("what type|kind? of? Attribute Be the|a|an|this|these? Np made? of?", query),
        ("what is|are the? Attribute of the|a|an|this|these? Np", query),
        ("what is|are all? of? the|a|an|this|these? Np made? of|from|out of?", lambda np: query("material", np)),
        ("the|a? Np Be what Attribute", lambda np, a: query(a, np)),
        ("how large Be the|a|an? Np", lambda np: query("size", np)),
        ("what Attribute In Be Pred", lambda a, np, mod: query(a, modified(np, mod))),
        ("what Attribute In Place", lambda a, np, mod: query(a, modified(np, mod))),
        ("what Attribute Be Pred", lambda a, mod: query(a, (False, (mod,)))),
        ("what In Be Pred", lambda np, mod: query(asked_by(np), modified(np, mod))),
        ("what In Place", lambda np, mod: query(asked_by(np), modified(np, mod))),
        ("what is|are the|a|an|this? Np", lambda np: query(asked_by(np), np)),
        ("what is|are Place", lambda mod: query("shape", (False, (mod,)))),
        ("the|a? Np is what", lambda np: query(asked_by(np), np)),
        ("what Attribute Be it", lambda a: call(f"query_{a}", IT)),
        ("what is its|the Attribute of? it?", lambda a: call(f"query_{a}", IT)),
        ("what is it made of", lambda: call("query_material", IT)),
        ("what is it", lambda: call("query_shape", IT)),
    ],
    "Common": [
        ("what Attribute Be Most", lambda a: call(f"common_{a}", objects(EVERYTHING))),
        (
            "what Attribute Be? Most in|of|among? the? Np have|share?",
            lambda a, *np: call(f"common_{a}", objects(np[-1])),
        ),
        (
            "what is|are|do? the? Attribute Be? shared|used? of|by? Number of? the? Np share?",
            lambda a, n, np: call(f"times_{a}", objects(np), value=n),
        ),
        ("what is Most Attribute", lambda a: call(f"common_{a}", objects(EVERYTHING))),
        ("what is Most Attribute of|in|among|for the? Np", lambda a, np: call(f"common_{a}", objects(np))),
        ("what is the? Attribute of|shared|shared by? Most the? Np", lambda a, np: call(f"common_{a}", objects(np))),
        ("what Attribute is there the? most of", lambda a: call(f"common_{a}", objects(EVERYTHING))),
        (
            "what Attribute Be? Used? the? most often|frequently|abundant|things? in|of|among|by? all? of? the? Np?",
            lambda a, np=EVERYTHING: call(f"common_{a}", objects(np)),
        ),
        ("what Attribute Be the? least common|frequent?", lambda a: call(f"rare_{a}", objects(EVERYTHING))),
        ("what is the? least common|frequent Attribute", lambda a: call(f"rare_{a}", objects(EVERYTHING))),
        (
            "what Attribute Be a? different|only appears|shown|used? once? from|than? the? others|rest|other?",
            lambda a: call(f"rare_{a}", objects(EVERYTHING)),
        ),
        (
            "what Attribute has|have only? Number things|thing?",
            lambda a, n: call(f"times_{a}", objects(EVERYTHING), value=n),
        ),
    ],
}

GRAMMAR = WORDS | PHRASES | QUESTIONS
