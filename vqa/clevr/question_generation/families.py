"""Which question families there are: ours by name, or those of a folder of template files."""

import os
from collections.abc import Sequence
from pathlib import Path

from vqa.clevr.question_generation.composed_families import COMPOSED
from vqa.clevr.question_generation.templates import Template, read_templates
from vqa.clevr.split_protocols import CLOSURE_SHAPES
from vqa.errors import InputError

SHIPPED = Path(__file__).parent / "templates"
"""Our own templates: CLEVR's 90 families, and CLOSURE's seven forms (Bahdanau et al. 2019) in `closure/` below."""


def load_templates(
    directory: str | os.PathLike | None = None, families: Sequence[str] | None = None
) -> tuple[Template, ...]:
    """Read the template files of a folder, by name; without one, ours.

    `families` selects: a file ("one_hop"), a family in it ("one_hop:3"), or, of ours and only if named, "closure" for
    the seven CLOSURE forms, which test generalization, and a set of `COMPOSED` ("composition", "composition-2", ...).
    Raises InputError naming file and field.
    """
    folder = SHIPPED if directory is None else Path(directory)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --templates takes a folder of template files (*.json)")
    paths = {path.stem: path for path in sorted(folder.glob("*.json")) if not path.stem.endswith("_meta")}
    extra = {form: folder / "closure" / f"{form}.json" for form in CLOSURE_SHAPES} if directory is None else {}
    if not paths:
        raise InputError(f"{folder}: holds no template file (*.json)")
    if families is None:
        return tuple(template for path in paths.values() for template in read_templates(path))
    chosen: dict[tuple[str, int], Template] = {}
    for name in families:
        stem, colon, index = name.removesuffix(".json").replace(".json:", ":").partition(":")
        sources = list(extra.values()) if stem == "closure" and extra and not colon else [(paths | extra).get(stem)]
        if stem in COMPOSED and directory is None:
            found = list(COMPOSED[stem]())
        elif sources[0] is None:
            known = [*paths, *extra, *(COMPOSED if directory is None else [])]
            raise InputError(f"family {name!r:.80}: {folder.name} has {', '.join(known)}")
        else:
            found = [template for path in sources if path for template in read_templates(path)]
        if colon:
            if not (index.isascii() and index.isdigit() and int(index) < len(found)):
                raise InputError(f"family {name!r:.80}: {stem} has the families {stem}:0 to {stem}:{len(found) - 1}")
            found = [found[int(index)]]
        chosen.update((template.key, template) for template in found)
    return tuple(chosen.values())
