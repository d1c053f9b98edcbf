"""CUHK03 with detected boxes is the host's dataset with its other split."""

import json

import pytest

import fastreid_projects  # noqa: F401  (mends the host)

pytest.importorskip("fastreid")
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.cuhk03 import CUHK03

from fastreid_projects import plugins


@pytest.fixture
def cuhk03(tmp_path, monkeypatch):
    """The files that the host asks for, its splits written already."""
    folder = tmp_path / "cuhk03"
    for name in (
        "cuhk03_release/cuhk-03.mat",
        "cuhk03_new_protocol_config_detected.mat",
        "cuhk03_new_protocol_config_labeled.mat",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for kind in ("detected", "labeled"):
        split = {part: [[f"{kind}/{part}.png", 3, 0]] for part in ("train", "query", "gallery")}
        for protocol in ("new", "classic"):
            path = folder / f"splits_{protocol}_{kind}.json"
            path.write_text(json.dumps([split]))
    for kind in ("detected", "labeled"):
        (folder / f"images_{kind}").mkdir()
    return str(tmp_path)


@pytest.mark.parametrize("name, kind", [("CUHK03", "labeled"), ("CUHK03Detected", "detected")])
def test_which_boxes(cuhk03, name, kind):
    plugins.register_all()
    dataset = DATASET_REGISTRY.get(name)(root=cuhk03)
    assert isinstance(dataset, CUHK03)
    for part in (dataset.train, dataset.query, dataset.gallery):
        assert [str(item[0]).startswith(kind) for item in part] == [True]
