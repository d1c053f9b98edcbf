"""Each number is written once, also where it comes after the line of its iteration, as an evaluation's do."""

import json

import pytest
import torch
from fastreid.utils.events import CommonMetricPrinter, EventStorage, JSONWriter, TensorboardXWriter

from fastreid_projects.host.utils import events


@pytest.fixture
def opened():
    with EventStorage(0) as storage:
        storage.epoch = 0
        yield storage


def train_and_evaluate(storage, writer):
    storage.put_scalar("loss", 2.0)
    writer.write()
    storage.put_scalars(mAP=50.0, smoothing_hint=False)
    writer.write()
    writer.write()
    storage.step()
    storage.put_scalar("loss", 1.0)
    writer.write()
    storage.put_scalars(mAP=60.0, smoothing_hint=False)
    writer.write()
    writer.close()


def test_metrics_json_has_every_evaluation(opened, tmp_path):
    train_and_evaluate(opened, JSONWriter(str(tmp_path / "m.json")))
    lines = [json.loads(line) for line in (tmp_path / "m.json").read_text().splitlines()]
    assert [(line["iteration"], line.get("mAP")) for line in lines] == [
        (0, None),
        (0, 50),
        (1, None),
        (1, 60),
    ]


def test_tensorboard_has_every_evaluation(opened, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_and_evaluate(opened, TensorboardXWriter(str(tmp_path)))
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("mAP")] == [(0, 50), (1, 60)]
    assert [e.step for e in read.Scalars("loss")] == [0, 1]


def test_an_iteration_is_printed_once(opened, host_log):
    host_log.set_level("INFO")
    printer = CommonMetricPrinter(5)
    for time in (None, 0.5):
        if time:
            opened.put_scalar("time", time)
        opened.put_scalar("total_loss", 1.0)
        printer.write()
        printer.write()
        opened.step()
    assert [record.message.count("epoch/iter") for record in host_log.records] == [1, 1]


@pytest.fixture
def far(monkeypatch):
    """Numbers of tensors have to be waited for, as on a GPU."""
    monkeypatch.setattr(events, "is_far", lambda value: True)


def test_a_number_of_a_gpu_is_not_asked_for_before_it_is_read(opened, far):
    """events.py:304 waits for it in the middle of a step."""
    waited_for = torch.zeros((), device="meta")  # whose number nobody could say
    with opened.name_scope("a"):
        opened.put_scalar("accuracy", torch.tensor([0.5]))
    opened.put_scalar("later", waited_for, smoothing_hint=False)
    waiting = events.take_waiting(opened)
    assert [entry.name for entry in waiting] == ["a/accuracy", "later"]
    opened.step()
    events.put_numbers(opened, waiting, [0.5, 2.0])
    assert opened.latest() == {"a/accuracy": (0.5, 0), "later": (2.0, 0)}
    assert opened.smoothing_hints() == {"a/accuracy": True, "later": False}
    assert opened.iter == 1


@pytest.mark.parametrize("read", ["latest", "histories", "latest_with_smoothing_hint"])
def test_whoever_reads_gets_the_numbers(opened, far, read):
    opened.put_scalar("accuracy", torch.tensor([0.25]))
    opened.step()
    assert list(getattr(opened, read)()) == ["accuracy"]
    assert opened.history("accuracy").latest() == 0.25
    assert opened.latest()["accuracy"] == (0.25, 0)
