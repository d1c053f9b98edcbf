"""Parameters and operations of models small enough to count by hand."""

import torch
from torch import nn

from fastreid_projects.benchmarks.cost import Cost, model_cost
from fastreid_projects.benchmarks.measure import compare, report


class Small(nn.Module):
    """A convolution 3 -> 4 without padding, and a layer 4 -> 2 on its mean."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.linear = nn.Linear(4, 2)
        self.modes = []

    def forward(self, images):
        self.modes.append(self.training)
        return self.linear(self.conv(images).mean(dim=(2, 3)))


def test_a_model_counted_by_hand():
    model = Small().train()
    positions = (10 - 2) * (6 - 2)
    expected = Cost(3 * 4 * 9 + 4 * 2 + 2, 2 * (positions * 3 * 4 * 9 + 4 * 2))
    assert model_cost(model, (10, 6)) == expected
    assert model.training
    assert model.modes == [False]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_costs_stand_below_the_times(tmp_path):
    ways = [("small", lambda: torch.ones(1)), ("other", lambda: torch.ones(1))]
    measured = compare("case", ways, repeats=1, costs={"small": Cost(2_500_000, 3_000_000_000)})
    assert [m.cost is None for m in measured] == [False, True]
    table = report(measured, tmp_path / "b.json").splitlines()
    row = next(line for line in table if "small" in line and "case" not in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["small", "2.50", "3.00"]
    assert not any("million" in line for line in report(measured[1:], tmp_path / "c.json").splitlines())
