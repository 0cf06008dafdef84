"""The models that the page can ask."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqa import VisualQuestionAnswerer, load
from vqa.errors import InputError
from vqa.explain.atlas import Atlas, read_atlas
from vqa.inference.checkpoints import checkpoint_folder
from vqa.utils.resources import shipped


class Models:
    """Checkpoint folders by name, the first being the page's own; each is loaded when it is first asked."""

    def __init__(self, folders: Mapping[str, Path], device: str | None = None) -> None:
        self.folders, self.device = dict(folders), device
        self._loaded: dict[str, VisualQuestionAnswerer] = {}
        self._atlases: dict[str, Atlas | None] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The models' names, the page's own first."""
        return list(self.folders)

    def answerer(self, name: object = None) -> VisualQuestionAnswerer:
        """The model of this name, the page's own by default. Raises InputError for another name."""
        name = self._known(name)
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load(self.folders[name], self.device)
            return self._loaded[name]

    def atlas(self, name: object = None) -> Atlas | None:
        """The channel atlas beside that model; None where there is none that fits it."""
        name = self._known(name)
        with self._lock:
            if name not in self._atlases:
                try:
                    self._atlases[name] = read_atlas(self.folders[name])
                except InputError:
                    self._atlases[name] = None
            return self._atlases[name]

    def _known(self, name: object) -> str:
        if name is None:
            return self.names[0]
        if not isinstance(name, str) or name not in self.folders:
            raise InputError(f"model: {name!r:.60} is none of {', '.join(self.names)}")
        return name


def find_models(checkpoints: Sequence[str] | None = None, device: str | None = None) -> Models:
    """The given checkpoints (folders or hub ids; by default the shipped one), then the other shipped ones.

    Raises InputError for a given checkpoint that is missing.
    """
    folders: dict[str, Path] = {}
    given = [checkpoint_folder(source) for source in checkpoints] if checkpoints else [checkpoint_folder()]
    for folder in given + _shipped():
        if all(folder.resolve() != known.resolve() for known in folders.values()):
            folders[_distinct(folder.name, folders)] = folder
    return Models(folders, device)


def _shipped() -> list[Path]:
    try:
        return sorted(path.parent for path in shipped("checkpoints").glob("*/config.json"))
    except InputError:
        return []


def _distinct(name: str, taken: Mapping[str, Path]) -> str:
    return name if name not in taken else next(n for k in range(2, 99) if (n := f"{name} ({k})") not in taken)
