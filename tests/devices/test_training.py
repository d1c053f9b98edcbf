"""Every config trains on a CUDA device that is not there: nothing is left on the CPU, and nothing waits for the GPU.

Configs that differ only in sizes and numbers do the same, so that one of each kind is tried.
"""

import pytest

from fastreid_projects import plugins
from fastreid_projects.device import AMP_DTYPES
from fastreid_projects.plugins import PAPERS
from tests.devices.fake_cuda import fake_cuda
from tests.devices.models import build, fitted, kinds_of, train
from tests.yaml_files import ROOT

plugins.register_all()
each_folder = pytest.mark.parametrize("folder", ["configs", *PAPERS])


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@each_folder
def test_in_a_step_the_scaler_alone_waits(folder):
    """Forward, losses, backward, log and update; all that is logged is brought aside, and the batch is there."""
    kinds = kinds_of(folder)
    assert kinds
    for name, cfg in kinds.items():
        with fake_cuda() as traffic:
            model = build(fitted(cfg))
            for dtype, half in AMP_DTYPES.items():
                traffic.convolved.clear()
                train(fitted(cfg), model, dtype, traffic)
                waits = [wait.place.split(":")[0] for wait in traffic.of("wait")]
                assert waits == ["train_loop/step.py"] * (dtype == "float16"), name
                assert len(traffic.of("down")) == 1, name
                assert traffic.of("up") == [], name
                assert half in traffic.convolved, name
