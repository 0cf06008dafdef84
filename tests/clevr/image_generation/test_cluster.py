"""Rendering on a Dask cluster: real schedulers and worker processes over loopback, and Blender where it is here."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blender_stand_in import StandIn, contents, is_running, wait_for

import vqa
from vqa.clevr.image_generation.blender import RenderSettings, find_blender
from vqa.clevr.image_generation.render_images import SceneSource, render_dataset
from vqa.cli import main
from vqa.errors import InputError

pytest.importorskip("distributed")

SOURCE = SceneSource(seed=3, split="val")
FLAGS = ["--num", "10", "--split", "val", "--seed", "3", "--width", "60"]


@pytest.fixture
def stand_in(tmp_path):
    folder = tmp_path / "stand-in"
    folder.mkdir()
    return StandIn(folder)


class Processes:
    """A scheduler, workers and clients, each a process, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.all = folder, []
        self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json"
        )
        wait_for((folder / "s.json").exists)
        self.address = json.loads((folder / "s.json").read_text())["address"]

    def start(self, command: str, *flags: str, prefix: tuple = (), **environment: str) -> subprocess.Popen:
        with (self.folder / f"log{len(self.all)}").open("wb") as log:
            command = [*prefix, sys.executable, "-m", f"distributed.cli.{command}", *flags]
            self.all.append(
                subprocess.Popen(command, cwd=self.folder, stderr=log, stdout=log, env={**os.environ, **environment})
            )
        return self.all[-1]

    def worker(self, name: str, **more) -> subprocess.Popen:
        flags = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", name)
        return self.start("dask_worker", self.address, *flags, **more)


@pytest.fixture
def processes(tmp_path):
    (tmp_path / "cluster").mkdir()
    started = Processes(tmp_path / "cluster")
    yield started
    for process in reversed(started.all):
        process.kill()
        process.wait()


def render(out: Path, stand_in: StandIn, **more) -> int:
    return render_dataset(out, 10, SOURCE, RenderSettings(60, 40), blender=stand_in.path, **more)


def test_two_workers_with_blender_make_the_bytes_of_one_machine(tmp_path):
    try:
        find_blender(fetch=False)
    except InputError as error:
        pytest.skip(f"no Blender here: {error}")
    flags = ["data", "make", "--num", "3", "--width", "60", "--samples", "1", "--masks", "--per-image", "2"]
    assert main([*flags, "--out", str(tmp_path / "one"), "--workers", "1"]) == 0
    assert main([*flags, "--out", str(tmp_path / "two"), "--cluster", "local:2"]) == 0
    assert len(contents(tmp_path / "one")) == 8
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_worker_and_a_killed_client_lose_nothing(tmp_path, stand_in, processes, shared):
    render(tmp_path / "fresh", stand_in)
    stand_in.behave("slow")
    first, out = processes.worker("worker-0"), tmp_path / "set"
    command = [sys.executable, "-m", "vqa", "data", "render", "--out", str(out), *FLAGS, "--cluster", processes.address]
    command += ["--blender", str(stand_in.path), *["--shared"] * shared]
    images = out / "images/val"
    client = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    processes.all.append(client)
    wait_for(lambda: len(list(images.glob("CLEVR*"))) >= 4)
    client.send_signal(signal.SIGKILL)
    client.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in images.glob("CLEVR*")}
    again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    processes.all.append(again)
    before = stand_in.jobs()
    wait_for(lambda: stand_in.jobs() > before)
    first.kill()
    processes.worker("worker-1")
    assert "Traceback" not in again.communicate(timeout=240)[1]
    assert again.returncode == 0
    assert contents(out) == contents(tmp_path / "fresh")
    assert all((images / name).stat().st_mtime_ns == time for name, time in kept.items())
    for process in processes.all:
        process.kill()
    wait_for(lambda: not any(map(is_running, stand_in.started())))


def test_a_worker_of_another_version_is_refused_by_name(tmp_path, stand_in, processes):
    shutil.copytree(Path(vqa.__file__).parent, tmp_path / "old/vqa", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "old/vqa/clevr/image_generation/camera.py").open("a") as file:
        file.write("# older\n")
    processes.worker("node7", PYTHONPATH=str(tmp_path / "old"))
    with pytest.raises(InputError, match=r"worker node7 at tcp://.*: has vqa .*restart it"):
        render(tmp_path / "set", stand_in, cluster=processes.address)
    assert not list((tmp_path / "set").glob("images/*/*"))


def test_a_worker_without_blender_is_refused_by_name_and_what_stands_is_kept(tmp_path, stand_in, processes):
    processes.worker("node7")
    assert render_dataset(tmp_path / "set", 3, SOURCE, RenderSettings(60, 40), blender=stand_in.path) == 3
    before = contents(tmp_path / "set/images")
    for mode, message in (("broken", "libGL is missing"), ("refuses", "no such color")):
        stand_in.behave(mode)
        with pytest.raises(InputError, match=f"(?s)worker node7 at tcp://.*{message}"):
            render(tmp_path / "set", stand_in, cluster=processes.address)
    stand_in.path.unlink()
    with pytest.raises(InputError, match=r"worker node7 at .*no such program"):
        render(tmp_path / "set", stand_in, cluster=processes.address)
    assert contents(tmp_path / "set/images") == before


def test_a_folder_that_a_worker_does_not_see_is_refused(tmp_path, stand_in, processes):
    out = tmp_path / "set"
    out.mkdir()
    hidden = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {out} && exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    processes.worker("node7", prefix=hidden)
    with pytest.raises(InputError, match=rf"worker node7 at .*does not see {out}.*without --shared"):
        render(out, stand_in, cluster=processes.address, shared=True)
    assert render(out, stand_in, cluster=processes.address) == 10


def test_a_lost_scheduler_is_an_error_and_what_stands_is_kept(tmp_path, stand_in, processes):
    stand_in.behave("slow")
    processes.worker("worker-0")

    def kill_the_scheduler():
        wait_for(lambda: len(list((tmp_path / "set").glob("images/val/CLEVR*"))) >= 4)
        processes.all[0].kill()

    with ThreadPoolExecutor() as threads:
        threads.submit(kill_the_scheduler)
        with pytest.raises(InputError, match="scheduler was lost; the same command"):
            render(tmp_path / "set", stand_in, cluster=processes.address)
    stand_in.behave("")
    assert render(tmp_path / "set", stand_in) == 6


def test_a_worker_without_vqa_is_an_error(tmp_path, stand_in, processes):
    (tmp_path / "none/vqa").mkdir(parents=True)
    (tmp_path / "none/vqa/__init__.py").touch()
    processes.worker("node7", PYTHONPATH=str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"worker at tcp://.*lacks this version of vqa.*No module named"):
        render(tmp_path / "set", stand_in, cluster=processes.address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("local:0", "local:N with N from 1"),
        ("local:-1", "local:N with N from 1"),
        ("somewhere", "local:N with N from 1"),
        ("tcp://127.0.0.1:1", "no Dask scheduler there"),
        ("tcp://no-such-host.invalid:8786", "no Dask scheduler there"),
    ],
)
def test_a_cluster_that_cannot_be_reached_ends_with_a_message(tmp_path, capsys, monkeypatch, address, message):
    monkeypatch.setattr("vqa.clevr.image_generation.cluster.CONNECT_SECONDS", 2)
    assert main(["data", "render", "--out", str(tmp_path / "set"), *FLAGS, "--cluster", address]) == 2
    assert message in capsys.readouterr().err
