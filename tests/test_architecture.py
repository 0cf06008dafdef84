"""The rooms: imports point one way, every package says what it holds, files and functions stay of a readable size."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ("vqa", "app")
    for path in sorted((ROOT / room).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

MAX_LINES, MAX_FUNCTION = 420, 70

EVERYTHING = {"utils", "layers", "clevr", "model", "inference", "training", "evaluation", "explain"}
MAY_IMPORT = {
    "utils": set(),
    "layers": set(),
    "clevr": {"utils"},
    "model": {"utils", "layers", "clevr"},
    "inference": {"utils", "layers", "clevr", "model"},
    "training": EVERYTHING,
    "evaluation": EVERYTHING,
    "explain": EVERYTHING,
    "calibration": EVERYTHING,
    "ablation": EVERYTHING,
    "benchmarks": EVERYTHING,
}
"""What a room of `vqa` may import besides itself and `vqa.errors`; cli and app may import all."""


def imported(module: str, *, lazily: bool) -> set[str]:
    """Our modules that a module imports, those of functions and of `if TYPE_CHECKING` too if `lazily`."""
    found: set[str] = set()
    pending: list[ast.AST] = [TREES[module]]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert not node.level, f"{module}: import by the full name"
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name if name in FILES else node.module for name in names}
            elif lazily or not (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types(node)):
                pending.append(node)
    return {name for name in found if name in FILES}


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_no_import_goes_in_a_circle() -> None:
    arrows = {name: imported(name, lazily=False) - {name} for name in FILES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in FILES:
        visit(name, ())


@pytest.mark.parametrize("module", FILES)
def test_no_arrow_points_upward(module: str) -> None:
    root, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    for other in imported(module, lazily=True):
        other_root, _, other_rest = other.partition(".")
        target = other_rest.partition(".")[0]
        if root == "app":
            continue
        assert other_root != "app" or room == "cli", f"{module} imports {other}"
        if room not in MAY_IMPORT or target in ("", "errors", room):
            continue
        assert target in MAY_IMPORT[room], f"{module} imports {other}"


def test_every_package_says_what_it_holds() -> None:
    folders = {path.parent for path in FILES.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    packages = [name for name, path in FILES.items() if path.name == "__init__.py"]
    assert [name for name in packages if not ast.get_docstring(TREES[name])] == []


def test_files_and_functions_are_short() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in FILES.values()}
    long = [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION:
                    long.append(f"{name}.{node.name}: {length} lines")
    assert long == []
