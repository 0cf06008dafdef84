"""The cost table: counted by hand where it can be, and the command around it."""

import json

import pytest
import torch

from vqa.benchmarks.layers import MECHANISMS, QUERY_FEATURES, benchmark_layers, count_flops, format_costs
from vqa.cli import main


def test_flops_by_hand() -> None:
    c, hw, hidden = 64, 6 * 5, 4
    pool_and_scale = 2 * c * hw
    assert count_flops("se", c, 6, 5) == pool_and_scale + 2 * (2 * c * hidden) + hidden + c
    assert count_flops("film", c, 6, 5) == 2 * QUERY_FEATURES * 2 * c + c + pool_and_scale
    assert count_flops("eca", c, 6, 5) == pool_and_scale + c * 2 * 3 + c
    assert count_flops("spatial", c, 6, 5) == 2 * c * hw + hw * 2 * 2 * 49 + 2 * hw + hw + c * hw
    assert count_flops("cbam", c, 6, 5) > count_flops("spatial", c, 6, 5) + pool_and_scale


def test_every_mechanism_is_measured_and_compared_where_there_is_another() -> None:
    rounds = []
    costs = list(benchmark_layers((16,), ((3, 4),), batch=2, runs=2, on_round=lambda: rounds.append(1)))
    assert [cost.mechanism for cost in costs] == list(MECHANISMS)
    assert len(rounds) == 5
    by_name = {cost.mechanism: cost for cost in costs}
    assert by_name["se"].parameters == 16 * 1 + 1 + 1 * 16 + 16
    assert {name for name, cost in by_name.items() if cost.reference} >= {"se", "mbconv"}
    for cost in costs:
        assert 0 < cost.forward_ms < cost.train_ms
        assert cost.forward_to_block > (0 if cost.mechanism == "mbconv" else 1)
        assert (cost.reference is None) == (cost.train_to_reference is None)
    table = format_costs(costs).splitlines()
    assert len(table) == 2 + len(MECHANISMS)
    assert len({line.count("|") for line in table}) == 1


def test_a_slower_layer_is_measured_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = torch.nn.Sequential(*[torch.nn.Conv2d(16, 16, 3, padding=1) for _ in range(20)])
    monkeypatch.setitem(MECHANISMS, "eca", MECHANISMS["eca"]._replace(make=lambda channels: heavy))
    costs = {cost.mechanism: cost for cost in benchmark_layers((16,), ((10, 15),), ("se", "eca"), batch=8, runs=5)}
    assert costs["eca"].forward_ms > 2 * costs["se"].forward_ms
    assert costs["eca"].forward_to_block > 2


def test_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["benchmark", "layers", "--channels", "16", "--sizes", "3x4", "--batch", "2", "--runs", "1"]
    assert main([*small, "--mechanisms", "se", "film"]) == 0
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[3:]] == ["| se       ", "| film     "]
    assert main([*small, "--mechanisms", "qcse", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["mechanism"], record["height"], record["width"]) == ("qcse", 3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes", "3"], "--sizes: '3'"),
        (["--mechanisms", "foo"], "mechanism must be one of se, film"),
        (["--batch", "0"], "batch must be at least 1"),
        (["--channels", "-4"], "channels must be at least 1"),
        (["--sizes", "0x5"], "height must be at least 1"),
        (["--device", "tpu"], "--device: 'tpu'"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_mistakes_are_named(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "layers", "--runs", "1", *options]) == 2
    assert message in capsys.readouterr().err
