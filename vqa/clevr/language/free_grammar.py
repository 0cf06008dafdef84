"""The grammar of free questions, see `free_phrases`: whole questions, for `vqa.clevr.language.free_questions`."""

from collections.abc import Callable

from vqa.clevr.language.free_meanings import (
    EVERYTHING,
    IT,
    NP,
    SCENE,
    THEM,
    alike,
    all_alike,
    apply,
    asked_by,
    bring_up,
    call,
    choice,
    compare,
    count,
    exist,
    modified,
    more_of,
    number,
    objects,
    query,
    replaced,
    same,
    unique,
)
from vqa.clevr.language.free_phrases import ALL, PHRASES, WORDS, Rule, same_meaning, silent
from vqa.clevr.language.parser import Call


def _tally(kind: str, value: str | None = None) -> Callable[..., Call]:
    """Meaning of an attribute, and maybe a noun phrase: a function of how many objects have which value."""
    return lambda attribute, np=EVERYTHING: call(f"{kind}_{attribute}", objects(np), value=value)


_common, _rare, _distinct = map(_tally, ("common", "rare", "distinct"))


def _without(question: Call, gone: NP) -> Call:
    """A question about the scene without some objects."""
    return replaced(question, "scene", call("minus", SCENE, objects(gone)))


def _left(gone: NP, np: NP = EVERYTHING) -> Call:
    return count(call("minus", objects(np), objects(gone)))


def _both_alike(one: Call, other: Call, traits: str = ALL) -> Call:
    return all_alike(call("union", one, other), traits) if "|" in traits else alike(one, other, traits)


def _these_alike(one: NP, traits: str, other: NP) -> Call | None:
    return all_alike(call("union", objects(one), objects(other)), traits) if one[0] or other[0] else None


def _share(function: str) -> Callable[..., Call]:
    return lambda np, mod: call(function, objects(np), apply(mod, objects(np)))


def _more(np: NP, one: tuple, other: tuple) -> Call | None:
    """Which of two kinds has more objects: the value of a material and so on, or of what the two say."""
    return more_of("more_of", modified(np, one), modified(np, other))


QUESTIONS: dict[str, list[Rule]] = {
    "Q": [
        ("Question", same_meaning),
        ("Question , a|an? Simple or a|an? Simple", lambda question, one, other: question),
        ("there is|are a|an|another|one|only? one? Np , Question", lambda np, q: bring_up(unique((False, np[1])), q)),
        ("there is|are only? Number Np , Question", lambda n, np, q: bring_up(objects(np), q)),
        ("Number Np is|are Pred , Question", lambda n, np, mod, q: bring_up(objects(modified(np, mod)), q)),
        ("a|an|the|one Np is|has? Pred , Question", lambda np, mod, q: bring_up(unique(modified(np, mod)), q)),
        ("there is|are only? some|several|these? Np , Question", lambda np, q: bring_up(objects(np), q)),
        ("Question if|after you? remove|removed|removing all? of? the? Np", _without),
        ("if|after you? remove|removing all? of? the? Np , Question", lambda np, question: _without(question, np)),
        (
            "of|out? of? all? the|these? Number? Np ,? how many Be Pred",
            lambda *np: count(apply(np[-1], objects(np[-2]))),
        ),
        ("Minus , how many Np", lambda mod, np: count(apply(mod, objects(np)))),
    ],
    "Question": [(symbol, same_meaning) for symbol in ("Count", "Compare", "Truth", "Query", "Common")],
    "Count": [
        ("how many of? all? the|these|those? Np", lambda np: count(objects(np))),
        ("how many of? all? the|these|those? Np Be there? Pred", lambda np, mod: count(objects(modified(np, mod)))),
        ("how many of? all? the|these|those? Np Be there Post", lambda np, mods: count(objects(modified(np, *mods)))),
        ("how many of? the? Np Same", lambda np, mod: count(objects(modified(np, mod)))),
        ("how many Be Pred", lambda mod: count(apply(mod, objects(EVERYTHING)))),
        ("how many Be Pred", lambda mod: count(apply(mod, objects((True, (THEM,)))))),
        ("how many Np and|or Np", lambda one, other: count(call("union", objects(one), objects(other)))),
        (
            "how many more Np Be? there? than there? are? Np",
            lambda one, other: call("difference", objects(one), objects(other)),
        ),
        (
            "how many fewer Np Be? there? than there? are? Np",
            lambda one, other: call("difference", objects(other), objects(one)),
        ),
        ("how many Np Would if|after you? remove|removed|removing all? of? the? Np", lambda np, gone: _left(gone, np)),
        ("how many Np Would if|after all? of? the? Np Be removed|gone", lambda np, gone: _left(gone, np)),
        ("if all? of? the? Np Be removed|gone , how many Np? Would", _left),
        ("if|after you? remove|removing all? of? the? Np , how many Np? Would", _left),
        ("how many Kinds Attribute Be? there? Used?", _distinct),
        ("how many Kinds Attribute is|are|of|do? of? all? the? Np have?", _distinct),
        (
            "The Have? the? same Attribute as how many other? Np",
            lambda to, a, np: count(apply(same(a, to), objects(np))),
        ),
    ],
    "Truth": [
        ("is|are there Amount Np", lambda how, np: number(how, objects(np))),
        ("there is|are Amount Np", lambda how, np: number(how, objects(np))),
        ("is|are Amount of? the? Np Pred", lambda how, np, mod: number(how, objects(modified(np, mod)))),
        ("is|are there any|a|an|some? Np", lambda np: exist(objects(np))),
        ("there is|are a|an|some Np", lambda np: exist(objects(np))),
        ("is|are any Np", lambda np: exist(objects(np))),
        ("is|are there everything else? Post", lambda mods: exist(objects((False, mods)))),
        ("is|are there no Np", lambda np: call("negate", exist(objects(np)))),
        ("is|are|do|does any|some|either of? the|these? Np Pred", lambda np, mod: exist(objects(modified(np, mod)))),
        ("is|are|do|does any|some of? the|these? Np Pair", lambda np, mod: exist(apply(mod, objects(np)))),
        (
            "is|are|do|does|have Every Have out? of|from? the exact? same|matching type|types|kind? of? Traits",
            lambda np, t: all_alike(objects(np), t),
        ),
        ("is|are|do|does Every share|match the|a|in? same? Traits", lambda np, t: all_alike(objects(np), t)),
        ("is|are Every exactly? the? same|identical|alike", lambda np: all_alike(objects(np), ALL)),
        ("is|are|do most|majority of? the|these? Np Pred", _share("most")),
        ("is|are|do more than half of? the|these? Np Pred", _share("most")),
        ("is|are there Amount Kinds Attribute", lambda how, a: call(how[0], _distinct(a), value=how[1])),
        ("is|are Most the|these? Np a|an? Simple or a|an? Simple", _more),
        ("is|are|do|does the Np Have? of? the? same Traits as the Np", _these_alike),
        (
            "is|are|do|does the Np and the Np Have? of? the? same Traits",
            lambda np, other, t: _these_alike(np, t, other),
        ),
        ("is|are there an? Parity number|amount of Np", lambda p, np: call("parity", count(objects(np)), value=p)),
        (
            "is the total? number|amount of Np an? Parity number?",
            lambda np, p: call("parity", count(objects(np)), value=p),
        ),
        (
            "is|are Every a|an? Simple or a|an? Simple",
            lambda np, one, other: (a := choice(one, other)) and query(a, (True, np[1])),
        ),
        (
            "is|are|do|does Every Have a? different Attribute from? one|each? another|other?",
            lambda np, a: call(f"all_different_{a}", objects(np)),
        ),
        ("is|are|do|does Every Pred", _share("all")),
        ("is|are|do|does? The and The both? Have? of|from? the same Traits", _both_alike),
        ("is|are The and The exactly? the? same|identical|alike", _both_alike),
        ("is|does? The exactly? the? same|match|matches as? The", _both_alike),
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
        ("The is|has|does? Pred", lambda one, mod: exist(apply(mod, one))),
        ("all of? the? Np are Pred", _share("all")),
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
        ("is|are more of? the? Np Adjective or Adjective", _more),
    ],
    "Query": [
        ("what type|kind? of? Attribute Be all|both? of? the|a|an|this|these? Np made|have? out? of?", query),
        ("what same? Attribute Be all|both? the|these Np share|shared|have in? common?", query),
        ("what is|are the? same? Attribute of the|a|an|this|these? Np", query),
        ("what is|are all? of? the|a|an|this|these? Np made? of|from|out of?", lambda np: query("material", np)),
        ("the|a? Np Be what type|kind? of? Attribute", lambda np, a: query(a, np)),
        ("Most Np Be what type|kind? of? Attribute", lambda np, a: _common(a, np)),
        ("how large Be the|a|an? Np", lambda np: query("size", np)),
        ("what Attribute In Be Pred", lambda a, np, mod: query(a, modified(np, mod))),
        ("what Attribute In Place", lambda a, np, mod: query(a, modified(np, mod))),
        ("what Attribute Be Pred", lambda a, mod: query(a, (False, (mod,)))),
        ("what In Be Pred", lambda np, mod: query(asked_by(np), modified(np, mod))),
        ("what In Place", lambda np, mod: query(asked_by(np), modified(np, mod))),
        ("what is|are the|a|an|this? Np", lambda np: query(asked_by(np), np)),
        ("what In Be not? different", lambda np: query(asked_by(np), modified(np, ("odd", None)))),
        ("what is|are? Place", lambda mod: query("shape", (False, (mod,)))),
        ("The is Seen what thing?", lambda to, way: query("shape", (False, ((*way, to),)))),
        ("The is Seen what Attribute In?", lambda to, way, a, np=(False, ()): query(a, modified(np, (*way, to)))),
        ("what thing is The Seen", lambda to, way: query("shape", (False, ((*way, to),)))),
        ("what Attribute thing? is The Seen", lambda a, to, way: query(a, (False, ((*way, to),)))),
        ("the|a? Np is what", lambda np: query(asked_by(np), np)),
        ("what Attribute Be it", lambda a: call(f"query_{a}", IT)),
        ("what is its|the Attribute of? it?", lambda a: call(f"query_{a}", IT)),
        ("what is it made of", lambda: call("query_material", IT)),
        ("what is it", lambda: call("query_shape", IT)),
    ],
    "Common": [
        ("what Attribute Be Most", _common),
        ("what Attribute Be? Most in|of|among? the|these? Np have|share?", _common),
        (
            "what is|are|do? the? same? Attribute Be? shared|used? of|by? Number of? the? Np share?",
            lambda a, n, np: _tally("times", n)(a, np),
        ),
        ("what is Most Attribute", _common),
        ("what is Most Attribute of|in|among|for the? Np", _common),
        ("what is the? Attribute of|shared|shared by? Most the? Np", _common),
        ("what Attribute thing|things? is|are there the? most of", _common),
        ("what Attribute is there the? most things of", _common),
        ("what is Most Adjective Attribute", lambda mod, a: _common(a, (True, (mod,)))),
        ("what is Most Np", lambda np: _common(asked_by(np), np)),
        ("what Attribute Be Most all? of? the|these? Np", _common),
        ("what Attribute Be? Used? the? most often|frequently|abundant|things? Used?", _common),
        ("what Attribute Be? Used? the? most often|things? Used? in|of|among|by? all? of? the? Np", _common),
        ("what Attribute Be? Used? the? fewest|least common|frequent|things? Used?", _rare),
        ("what is the? least|different common|frequent? Attribute", _rare),
        ("what Attribute Be a? different from|than? the? others|rest|other?", _rare),
        ("what Attribute does not belong", _rare),
        ("what Attribute Be? only? Used? only? Once", _tally("times", "1")),
        ("what Attribute is there only? Once", _tally("times", "1")),
        ("what Attribute is not? missing|absent|present|shown|used", _tally("times", "0")),
        ("what Attribute has|have only? Number things|thing?", lambda a, n: _tally("times", n)(a)),
        ("how many Attribute Be? there? that? only? Be? Used? only? Once", lambda a: call("count", _tally("odd")(a))),
    ],
    "Seen": [  # from the other side
        ("next|close|near to?", lambda: ("near", None)),
        ("closest|nearest to?", lambda: ("nearest", None)),
        ("in? front of", lambda: ("relate", "behind")),
        ("behind", lambda: ("relate", "front")),
        ("hidden|hiding by|behind", lambda: ("hides", None)),
    ],
    "Once": [
        ("once", silent),
        ("one|single time|example|thing", silent),
        ("on|in|by|for one|single thing|example", silent),
        ("one|single of", silent),
        ("a single thing of", silent),
    ],
    "Parity": [("even", lambda: "even"), ("odd", lambda: "odd")],
}

GRAMMAR = WORDS | PHRASES | QUESTIONS
