"""Loaders: on the config's device, with its workers, deterministic, and errors arrive as one sentence."""

import contextlib
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.build import DataLoaderX, fast_batch_collator
from fastreid.data.samplers import TrainingSampler
from torch.utils.data import Dataset

from fastreid_projects.data import device_loader
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.host.data import build as loaders


class Numbers(Dataset):
    """Sample i is {"x": i}; number 3 cannot be read."""

    def __init__(self, broken=False):
        self.broken = broken

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if self.broken and index == 3:
            raise DataError("Image three cannot be read.")
        return {"x": torch.tensor(float(index)), "random": np.random.rand() + torch.rand(1).item()}


def test_a_loader_on_the_cpu(unpatched):
    if not torch.cuda.is_available():
        assert "NVIDIA" in unpatched["loader_without_cuda"]
    loader = DataLoaderX(0, device=torch.device("cpu"), dataset=Numbers(), batch_size=2, pin_memory=True)
    assert not loader.pin_memory
    assert [batch["x"].tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    assert len(loader) == 3
    assert loader.device.type == "cpu"


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_as_one_sentence(workers):
    loader = DataLoaderX(
        0, device=torch.device("cpu"), dataset=Numbers(broken=True), batch_size=1, num_workers=workers
    )
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value) == "Image three cannot be read."


def test_other_errors_keep_their_traceback():
    class Fails(Numbers):
        def __getitem__(self, index):
            raise KeyError("bug")

    with pytest.raises(KeyError):
        next(iter(DataLoaderX(0, device=torch.device("cpu"), dataset=Fails(), batch_size=1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_batches(workers):
    def draw():
        torch.manual_seed(5)
        np.random.seed(5)
        loader = DataLoaderX(
            0, device=torch.device("cpu"), dataset=Numbers(), batch_size=2, num_workers=workers
        )
        return torch.cat([batch["random"] for batch in loader])

    first, second = draw(), draw()
    assert torch.equal(first, second)
    assert len(first.unique()) == 6


def test_the_configs_device_decides(tiny_market, tiny_cfg, monkeypatch):
    tiny_market()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    loader = build_reid_train_loader(tiny_cfg())
    assert loader.device.type == "cpu"
    assert not loader.pin_memory
    monkeypatch.undo()
    tiny_market()
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert build_reid_train_loader(tiny_cfg("MODEL.DEVICE", "cuda")).device.type == expected


def test_train_loader(tiny_market, tiny_cfg):
    tiny_market()
    batch = next(iter(build_reid_train_loader(tiny_cfg())))
    assert batch["images"].shape == (8, 3, 32, 16)
    assert sorted(batch["targets"].unique().tolist()) == sorted(set(batch["targets"].tolist()))
    assert all(Path(path).is_file() for path in batch["img_paths"])


def test_train_loader_of_explicit_values(tiny_market, tiny_cfg):
    tiny_market()
    cfg = tiny_cfg()
    data = build_reid_train_loader(cfg).dataset
    sampler = TrainingSampler(len(data), shuffle=False)
    given = build_reid_train_loader(cfg, train_set=data, sampler=sampler, num_workers=1)
    assert (given.dataset, given.batch_sampler.sampler, given.num_workers) == (data, sampler, 1)
    explicit = build_reid_train_loader(data, sampler=sampler, total_batch_size=4, num_workers=0)
    assert len(next(iter(explicit))["img_paths"]) == 4
    keyword = build_reid_train_loader(cfg=cfg, transforms=lambda image: torch.zeros(1))
    assert next(iter(keyword))["images"].shape == (8, 1)


def test_test_loader_has_the_configs_workers(tiny_market, tiny_cfg, unpatched):
    assert unpatched["test_workers"] == 4
    tiny_market()
    loader, num_query = build_reid_test_loader(
        tiny_cfg("DATALOADER.NUM_WORKERS", 1), dataset_name="Market1501"
    )
    assert (loader.num_workers, num_query, len(loader.dataset)) == (1, 2, 8)
    fewer, _ = build_reid_test_loader(tiny_cfg(), dataset_name="Market1501", num_workers=2)
    assert fewer.num_workers == 2
    explicit, _ = build_reid_test_loader(loader.dataset, 4, 2, num_workers=0)
    assert sum(len(batch["img_paths"]) for batch in explicit) == 8
    _, num_query = build_reid_test_loader(tiny_cfg(), test_set=loader.dataset, num_query=3)
    assert num_query == 3


def test_a_batch_larger_than_the_dataset(tiny_market, tiny_cfg):
    tiny_market()
    with pytest.raises(ConfigError, match=r"SOLVER\.IMS_PER_BATCH 20 is larger than .* 16 images"):
        build_reid_train_loader(tiny_cfg("SOLVER.IMS_PER_BATCH", 20))


def test_a_batch_that_does_not_divide_among_processes(tiny_market, tiny_cfg, monkeypatch):
    tiny_market()
    monkeypatch.setattr(loaders.comm, "get_world_size", lambda: 3)
    with pytest.raises(ConfigError, match=r"SOLVER\.IMS_PER_BATCH 8 is not divisible by the 3 processes"):
        build_reid_train_loader(tiny_cfg())


def test_empty_folders(tiny_market, tiny_cfg):
    folder = tiny_market(ids=0, test_ids=0)
    with pytest.raises(DataError, match=f"has no train images: {folder}/bounding_box_train"):
        build_reid_train_loader(tiny_cfg())
    with pytest.raises(DataError, match=f"has no query images: {folder}/query"):
        build_reid_test_loader(tiny_cfg(), dataset_name="Market1501")


def test_a_broken_image_is_named_by_a_worker(tiny_market, tiny_cfg):
    folder = tiny_market()
    broken = folder / "query" / "0006_c1s1_000001_00.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    loader, _ = build_reid_test_loader(tiny_cfg(), dataset_name="Market1501", num_workers=1)
    with pytest.raises(DataError, match=rf"^Image {broken} cannot be read \(.*\): replace or remove it\.$"):
        next(iter(loader))


def test_a_spawned_worker_mends_its_host(tiny_market, tiny_cfg):
    tiny_market()
    loader, _ = build_reid_test_loader(tiny_cfg(), dataset_name="Market1501", num_workers=1)
    loader.multiprocessing_context = multiprocessing.get_context("spawn")
    assert next(iter(loader))["images"].shape == (8, 3, 32, 16)


def test_collate():
    def sample(i):
        numbers = {"number": np.float32(i), "flag": np.bool_(i), "int": i, "float": float(i), "bool": bool(i)}
        return {
            "tensor": torch.ones(2) * i,
            "array": np.ones(2) * i,
            "text": str(i),
            "nested": {"x": i},
            **numbers,
        }

    batch = fast_batch_collator([sample(0), sample(1)])
    assert batch["tensor"].tolist() == batch["array"].tolist() == [[0, 0], [1, 1]]
    assert (batch["number"].dtype, batch["number"].tolist()) == (torch.float32, [0, 1])
    assert batch["flag"].tolist() == batch["bool"].tolist() == [False, True]
    assert (batch["int"].dtype, batch["float"].dtype) == (torch.int64, torch.float64)
    assert batch["text"] == ["0", "1"]
    assert batch["nested"]["x"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, None], "is of type NoneType"),
        ([[1], [2]], "is of type list"),
        ([1, None], "cannot be collated"),
        ([torch.zeros(3), torch.zeros(1)], "cannot be collated"),
        ([np.zeros(3), np.zeros(1)], "cannot be collated"),
    ],
)
def test_what_cannot_be_collated_is_named(values, message, unpatched):
    assert unpatched["collate_array"] is None
    assert unpatched["collate_broadcasts"] == [2, 3]
    with pytest.raises(DataError, match=f"Field 'outer.x' of the samples {message}"):
        fast_batch_collator([{"outer": {"x": value}} for value in values])


def test_a_missing_field_is_named():
    with pytest.raises(DataError, match="Field 'y' of the samples is missing"):
        fast_batch_collator([{"y": 1}, {"x": 1}])


class Stream:
    """Stands in for a CUDA stream."""

    def __init__(self, *_):
        pass

    def wait_stream(self, _):
        pass


def test_batches_for_the_gpu_are_loaded_one_ahead(monkeypatch):
    """The order of events, with CUDA stubbed."""
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    recorded = []
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, _: recorded.append(tensor.item()))
    loaded = []

    def source():
        for i in range(3):
            loaded.append(i)
            yield {"x": torch.tensor(i), "nested": {"y": torch.tensor(10 + i)}, "img_paths": ["a"]}
        raise DataError("The fourth cannot be read.")

    batches = device_loader.CudaBatches(source(), torch.device("cpu"))
    assert loaded == []
    first = next(batches)
    assert (first["x"].item(), first["img_paths"], loaded, recorded) == (0, ["a"], [0, 1], [0, 10])
    next(batches)
    assert loaded == [0, 1, 2]
    with pytest.raises(DataError, match=r"fourth"):
        next(batches)
    finite = device_loader.CudaBatches(iter([{"x": torch.tensor(5)}]), torch.device("cpu"))
    assert [batch["x"].item() for batch in finite] == [5]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_on_the_gpu(workers):
    loader = DataLoaderX(0, dataset=Numbers(), batch_size=2, num_workers=workers, pin_memory=True)
    batches = list(loader)
    assert all(batch["x"].is_cuda for batch in batches)
    assert torch.cat([batch["x"] for batch in batches]).tolist() == list(range(6))
    broken = DataLoaderX(0, dataset=Numbers(broken=True), batch_size=1, num_workers=workers, pin_memory=True)
    with pytest.raises(DataError, match=r"^Image three cannot be read\.$"):
        list(broken)
