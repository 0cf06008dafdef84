"""A stand-in for Blender: same arguments, same answers, images of one color; and what tests of rendering share."""

import stat
import sys
import textwrap
import time
from pathlib import Path

STAND_IN = """\
    #!{python}
    import json, os, sys, time
    from pathlib import Path
    from PIL import Image

    folder = Path(__file__).parent
    mode = (folder / "mode").read_text() if (folder / "mode").exists() else ""
    settings = json.loads(sys.argv[-1])
    print("Blender says hello")
    if mode == "broken":
        sys.exit("libGL is missing")
    if mode == "old":
        print('@{{"error": "Blender 3.4.1 is too old"}}', flush=True)
        sys.exit()
    with (folder / "started").open("a") as log:
        log.write(f"{{os.getpid()}}\\n")
    print('@{{"blender": "stand-in"}}', flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        with (folder / "jobs").open("a") as log:
            log.write(f"{{job['seed']}}\\n")
        if mode == "dies" or (mode == "dies once" and not (folder / "died").exists()):
            (folder / "died").touch()
            Path(job["path"]).write_bytes(b"half a pict")
            sys.exit("Segmentation fault")
        if mode == "refuses":
            print('@{{"error": "no such color"}}', flush=True)
            continue
        if mode == "slow":
            time.sleep(0.4)
        color = tuple(job["seed"].to_bytes(4, "big")[1:])
        Image.new("RGB", (settings["width"], settings["height"]), color).save(job["path"])
        print("Saved an image", "@{{}}", sep="\\n", flush=True)
    """


class StandIn:
    """A program that behaves like Blender with our worker, and what it noted down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "blender"
        self.path.write_text(textwrap.dedent(STAND_IN).format(python=sys.executable))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def behave(self, mode: str) -> None:
        self.path.with_name("mode").write_text(mode)

    def started(self) -> list[int]:
        return [int(line) for line in self._lines("started")]

    def jobs(self) -> int:
        return len(self._lines("jobs"))

    def _lines(self, name: str) -> list[str]:
        path = self.path.with_name(name)
        return path.read_text().splitlines() if path.exists() else []


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
