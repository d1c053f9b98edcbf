"""Each number is written once, also where it comes after the line of its iteration, as an evaluation's do."""

import json

import pytest
from fastreid.utils.events import CommonMetricPrinter, EventStorage, JSONWriter, TensorboardXWriter


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
