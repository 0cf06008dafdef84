"""The names of variants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.ablation.cells import make_cells
from vqa.ablation.variants import parse_variants, seeds_of
from vqa.errors import InputError

KEYS = {"reduction": "4", "gate": "tanh", "stem_widths": "8,16,32", "image_size": "64x96", "film_gamma": "sigmoid"}


def test_presets_overrides_training_and_seeds() -> None:
    texts = [
        "film-base*3,film-qcse[reduction=4,stem_widths=8,16]",
        "film-qcse[supervision=answers, loss.entropy=0.1]*2",
    ]
    base, small, guarded = parse_variants(texts, 1, ["width=32"])
    assert (base.preset, base.overrides, base.seeds) == ("film-base", ("width=32",), 3)
    assert small.overrides == ("width=32", "reduction=4", "stem_widths=8,16")
    assert small.name == "film-qcse[reduction=4,stem_widths=8,16]"
    assert (guarded.training, guarded.loss_weights) == ({"supervision": "answers"}, {"entropy": 0.1})
    assert [(variant.preset, seed) for variant, seed in seeds_of([base, small])] == [
        ("film-base", 0),
        ("film-qcse", 0),
        ("film-base", 1),
        ("film-base", 2),
    ]


@given(st.lists(st.tuples(st.sets(st.sampled_from(sorted(KEYS))), st.integers(1, 9)), min_size=1, max_size=4))
def test_what_is_joined_comes_apart(found: list[tuple[set[str], int]]) -> None:
    changes = list(dict.fromkeys(tuple(sorted(keys)) for keys, _ in found))
    texts = [
        "film-qcse" + (f"[{','.join(f'{key}={KEYS[key]}' for key in keys)}]" if keys else "") + f"*{number}"
        for keys, (_, number) in zip(changes, found, strict=False)
    ]
    variants = parse_variants([",".join(texts)])
    assert [variant.overrides for variant in variants] == [tuple(f"{key}={KEYS[key]}" for key in k) for k in changes]
    assert [f"{variant.name}*{variant.seeds}" for variant in variants] == texts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one"),
        ("film-qcse,film-qcse*2", "twice"),
        ("film-qcse[reduction=4", "expected PRESET"),
        ("film-qcse*0", "seeds"),
        ("film-qcs", "film-qcse"),
        ("film-qcse[reductoin=4]", "reduction"),
        ("film-qcse[gate=softmax]", "sigmoid"),
        ("film-base[gate=tanh]", "no effect"),
        ("film-qcse[learning_rate=fast]", "a number"),
        ("film-qcse[batch_size=0.5]", "whole number"),
        ("film-qcse[loss.entrpy=1]", "entropy"),
        ("film-qcse[]]", "expected PRESET"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_variants([text])


def test_a_cell_is_named_by_all_its_options(tmp_path) -> None:
    def folders(text: str, **options: object) -> list[str]:
        settings = {"data": "d", "training_questions": 100, "evaluate_every": 10} | options
        return [cell.folder.name for cell in make_cells(parse_variants([text]), tmp_path, **settings)]

    first = folders("film-qcse*2")
    assert first == folders("film-qcse*2")
    assert folders("film-qcse") == first[:1]
    others = [
        folders("film-qcse[width=64]"),  # the default, said: the same model under another name
        folders("film-qcse[width=32]"),
        folders("film-qcse", training_questions=200),
        folders("film-qcse", evaluate_every=20),
        folders("film-qcse", data="e"),
        folders("film-qcse", holdout=0.1),
        folders("film-qcse[learning_rate=0.002]"),
        folders("film-qcse[loss.entropy=0.1]"),
        folders("film-qcse", mixed_precision="no"),
    ]
    digests = [name.rpartition("-")[2] for [name] in others]
    assert first[0].rpartition("-")[2] not in digests
    assert len(set(digests)) == len(digests)
    with pytest.raises(InputError, match="learning-rate"):
        folders("film-qcse[learning_rate=100]")
