"""Starting the page: flags, addresses, and what stays behind."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from serving import served_page

from vqa.cli import main
from vqa.utils.resources import shipped


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--port", "0"], "--port 0: must lie from 1 to 65,535"),
        (["--port", "70000"], "--port 70000: must lie from 1 to 65,535"),
        (["--checkpoint", "no/such/folder"], "no/such/folder"),
        (["--device", "abacus"], "abacus"),
        (["--results", "no/such/reports"], "no/such/reports"),
        (["--export-space", "."], "is there already"),
    ],
)
def test_flags_out_of_range(capsys, flags, complaint):
    assert main(["app", *flags]) == 2
    assert complaint in capsys.readouterr().err


def test_a_port_in_use(address, checkpoint):
    port = address.rpartition(":")[2]
    run = subprocess.run(
        [sys.executable, "-m", "app", "--checkpoint", checkpoint, "--port", port],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 2
    assert f"--port {port}: cannot listen there" in run.stderr
    assert "Traceback" not in run.stderr


def test_it_says_where_it_is_and_leaves_nothing_behind(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served_page(checkpoint, tmp_path / "log") as address:
        folder = next(tmp_path.glob("vqa-app-*"))
        assert folder.stat().st_mode & 0o077 == 0
    log = (tmp_path / "log").read_text()
    steps = ["loading PyTorch", "loading the model", "building the page", "starting the server", address]
    assert sorted(steps, key=log.index) == steps
    assert list(tmp_path.glob("vqa-app-*")) == []


def test_a_space_has_all_that_the_page_needs(checkpoint, tmp_path):
    space = tmp_path / "space"
    assert main(["app", "--export-space", str(space), "--checkpoint", str(checkpoint)]) == 0
    head = (space / "README.md").read_text().split("---")[1]
    assert "sdk: gradio" in head
    assert f"sdk_version: {version('gradio')}" in head
    assert "app_file: space.py" in head
    needed = (space / "requirements.txt").read_text()
    assert "torch>=" in needed
    assert "gradio[mcp]" in needed
    assert not list(space.rglob("__pycache__"))
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from vqa.utils.resources import shipped as s; print(s('checkpoints'), s('data/clevr-mini'))",
        ],
        cwd=space,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert found.stdout.split() == [str(space / "checkpoints"), str(space / "data/clevr-mini")]
    names = [checkpoint.name, "film-base-clevr", "film-qcse-clevr", "film-qcse-cogent-a"]
    served = ", ".join(f'"checkpoints/{name}"' for name in names)
    assert f"serve([{served}]" in (space / "space.py").read_text()
    for name in names:
        assert (space / "checkpoints" / name / "model.safetensors").exists()
    for name in ("LICENSE", "NOTICE"):
        assert (space / name).read_bytes() == shipped(name).read_bytes()
    assert needed.startswith("--extra-index-url https://download.pytorch.org/whl/cpu\n")
