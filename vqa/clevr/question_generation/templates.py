"""Question templates: reading and checking the format of CLEVR's public question generator (Johnson et al. 2017, 3.2).

A template file is a JSON list of families. Each has `text` (wordings: `<Z>` stands for a parameter, `[...]` for words
that may be left out), `nodes` (the program, where a node such as `relate_filter_unique` stands for several steps),
`params` (what each parameter is) and `constraints` (NULL: a parameter stays unsaid; OUT_NEQ: two nodes must differ).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from vqa.clevr.programs import ARITY, KINDS, check_inputs
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError

PARAMETER = re.compile(r"<[A-Za-z]\w*>")
_KINDS = {**{name.capitalize(): name for name in ATTRIBUTES}, "Relation": "relation"}
_TERMINALS = ("unique", "count", "exist")
_NODES: dict[str, tuple[str, list[str], str]] = {
    **{name: (name, [], "") for name in ARITY},
    "relate": ("relate", ["relation"], ""),
    **{f"filter_{name}": ("", [name], "") for name in ATTRIBUTES},
    **{name: ("", [], name) for name in _TERMINALS},
    "filter": ("", [*ATTRIBUTES], ""),
    **{f"filter_{name}": ("", [*ATTRIBUTES], name) for name in _TERMINALS},
    "relate_filter": ("relate", ["relation", *ATTRIBUTES], ""),
    **{f"relate_filter_{name}": ("relate", ["relation", *ATTRIBUTES], name) for name in _TERMINALS},
}
"""Type of a node -> its operation, what its side inputs are, and what is then asked of the set; see `Node`."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: an operation that yields a set or a value, filters on the set, and what is then asked of the set.

    `operation` is a function of `vqa.clevr.programs.ARITY` or "" (filters only); `relation` names the parameter that
    holds a relation; `filters` are (attribute, parameter) pairs; `terminal` is unique, count, exist or "";
    `unsaid` are the attributes that a constraint keeps out of the filters.
    """

    operation: str
    inputs: tuple[int, ...]
    relation: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    terminal: str = ""
    unsaid: frozenset[str] = frozenset()

    @property
    def attribute(self) -> str:
        """The attribute of same_*, query_* and equal_*."""
        return self.operation.partition("_")[2]


@dataclass(frozen=True)
class Template:
    """One question family, checked: `key` is (file name, index in the file), `parameters` name -> kind."""

    key: tuple[str, int]
    texts: tuple[str, ...]
    nodes: tuple[Node, ...]
    parameters: Mapping[str, str]
    unequal: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The family's name as files give it: "one_hop.json:3"."""
        return f"{self.key[0]}:{self.key[1]}"

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The parameters that nodes give a value, in the nodes' order: a node's relation, then its filters."""
        return tuple(name for node in self.nodes for name in (node.relation, *(n for _, n in node.filters)) if name)

    @cached_property
    def pair(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The parameters of the two objects that a family of no other parameters describes, by attribute."""
        described = [tuple(name for _, name in node.filters) for node in self.nodes if node.filters]
        alone = len(self.parameters) == 2 * len(ATTRIBUTES) and len(described) == 2
        return (described[0], described[1]) if alone else None


def read_templates(path: str | os.PathLike) -> list[Template]:
    """Read one template file. Raises InputError naming the file, the family and the field."""
    path = Path(path)
    try:
        records = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(records, list) or not records:
        raise InputError(f"{path}: expected a list of question families")
    return [template_from_json(record, (path.name, i)) for i, record in enumerate(records)]


def template_from_json(record: Any, key: tuple[str, int]) -> Template:
    """Check one family's record; `key` is its file's name and its index there. Raises InputError naming the field."""
    where = f"{key[0]}[{key[1]}]"
    if not isinstance(record, Mapping):
        raise InputError(f"{where}: expected an object with text, nodes, params and constraints, got {record!r:.60}")
    parameters = _parameters(_list(record, "params", where), f"{where}.params")
    constraints = _list(record, "constraints", where)
    unsaid, unequal = _constraints(constraints, parameters, f"{where}.constraints")
    nodes: list[Node] = []
    kinds: list[str] = []
    used: set[str] = set()
    for i, item in enumerate(_list(record, "nodes", where)):
        node = _node(item, parameters, unsaid, kinds, f"{where}.nodes[{i}]")
        for parameter in (node.relation, *(name for _, name in node.filters)):
            if parameter and parameter in used:
                raise InputError(f"{where}.nodes[{i}].side_inputs: {parameter} has its value from an earlier node")
            used.add(parameter)
        nodes.append(node)
        kinds.append(KINDS[node.terminal or node.operation or "filter_size"][1])
    if not nodes or kinds[-1] in ("set", "object"):
        raise InputError(f"{where}.nodes: the last node must answer: count, exist, query_* or a comparison")
    for pair in unequal:
        if max(pair) >= len(nodes):
            raise InputError(f"{where}.constraints: OUT_NEQ names node {max(pair)} of {len(nodes)}")
    texts = _texts(_list(record, "text", where), parameters, used - unsaid - {""}, f"{where}.text")
    return Template(key, texts, tuple(nodes), parameters, tuple(unequal))


def _parameters(records: list, where: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for i, item in enumerate(records):
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or not PARAMETER.fullmatch(name):
            raise InputError(f"{where}[{i}].name: expected a name such as <Z2>, got {name!r:.60}")
        kind = item.get("type")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise InputError(f"{where}[{i}].type: {kind!r:.60} is not one of {', '.join(_KINDS)}")
        parameters[name] = _KINDS[kind]
    return parameters


def _constraints(
    records: list, parameters: Mapping[str, str], where: str
) -> tuple[frozenset[str], list[tuple[int, int]]]:
    unsaid: set[str] = set()
    unequal: list[tuple[int, int]] = []
    for i, item in enumerate(records):
        kind, values = (item.get("type"), item.get("params")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(values, list):
            raise InputError(f"{where}[{i}].params: expected a list, got {values!r:.60}")
        if kind == "NULL":
            if not values or not all(isinstance(name, str) and name in parameters for name in values):
                raise InputError(f"{where}[{i}].params: {values!r:.60} must name parameters of this family")
            unsaid.update(values)
        elif kind == "OUT_NEQ":
            if len(values) != 2 or not all(type(j) is int and j >= 0 for j in values):
                raise InputError(f"{where}[{i}].params: OUT_NEQ takes two node numbers, got {values!r:.60}")
            unequal.append((values[0], values[1]))
        else:
            raise InputError(f"{where}[{i}].type: {kind!r:.60} is not one of NULL, OUT_NEQ")
    return frozenset(unsaid), unequal


def _node(item: Any, parameters: Mapping[str, str], unsaid: frozenset[str], kinds: list[str], where: str) -> Node:
    kind = item.get("type") if isinstance(item, Mapping) else None
    if not isinstance(kind, str) or kind not in _NODES:
        raise InputError(f"{where}.type: {kind!r:.60} is unknown; known are {', '.join(_NODES)}")
    operation, wanted, terminal = _NODES[kind]
    inputs, names = item.get("inputs", []), item.get("side_inputs") or []
    check_inputs(inputs, kind, ARITY.get(kind, 1), KINDS[operation or "unique"][0], kinds, where)
    found = [parameters.get(name) if isinstance(name, str) else None for name in names] if type(names) is list else None
    if found != wanted:
        raise InputError(f"{where}.side_inputs: {kind} takes {wanted or 'none'}, got {names!r:.80} ({found})")
    filters = tuple((parameters[name], name) for name in names if parameters[name] != "relation")
    hidden = frozenset(attribute for attribute, name in filters if name in unsaid)
    return Node(operation, tuple(inputs), names[0] if operation == "relate" else "", filters, terminal, hidden)


def _texts(records: list, parameters: Mapping[str, str], needed: set[str], where: str) -> tuple[str, ...]:
    """The wordings that say every parameter which may hold a value; a wording that hides one would mislead."""
    texts = []
    for i, text in enumerate(records):
        if not isinstance(text, str):
            raise InputError(f"{where}[{i}]: expected words, got {text!r:.60}")
        names = set(PARAMETER.findall(text))
        if names - parameters.keys():
            raise InputError(f"{where}[{i}]: {', '.join(sorted(names - parameters.keys()))} is not among the params")
        if re.sub(r"[^][]", "", re.sub(r"\[[^][]*\]", "", text)):
            raise InputError(f"{where}[{i}]: brackets do not close, or lie in each other: {text!r:.100}")
        if needed <= set(PARAMETER.findall(re.sub(r"\[[^][]*\]", "", text))):
            texts.append(text)
    if not texts:
        raise InputError(f"{where}: no wording says all of {', '.join(sorted(needed))}")
    return tuple(texts)


def _list(record: Mapping, name: str, where: str) -> list:
    value = record.get(name)
    if not isinstance(value, list):
        raise InputError(f"{where}.{name}: expected a list, got {value!r:.60}")
    return value
