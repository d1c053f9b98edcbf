"""A model is evaluated with the weights of all that its features pass, or not at all."""

from pathlib import Path

import pytest
import torch

from fastreid_projects.config import load_config
from fastreid_projects.engine.load_model import load_trained, trained_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, WeightsError

BOT = "configs/demo/bagtricks_r18_demo.yml"
MPN = "projects/MPN/configs/demo/mpn_naive_multitask_r18_demo.yml"


def saved(folder, config, *opts, drop=""):
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "9", "STAGES", "[]", *opts])
    state = Trainer.build_model(cfg).state_dict()
    path = folder / "model_final.pth"
    torch.save({"model": {k: v for k, v in state.items() if not drop or drop not in k}}, path)
    return str(path), state


def load(config, path, *opts):
    basic = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", path, "STAGES", "[]"]
    return load_trained(load_config(config, [*basic, *opts]))


@pytest.mark.parametrize("classes", ["0", "9", "751"])
@pytest.mark.parametrize("config", [BOT, MPN])
def test_classifiers_may_have_other_classes(tmp_path, config, classes):
    path, state = saved(tmp_path, config)
    model = load(config, path, "MODEL.HEADS.NUM_CLASSES", classes)
    loaded = {name: value for name, value in model.state_dict().items() if "classifier" not in name}
    loaded.pop("heads.weight", None)
    assert loaded
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_a_head_that_was_not_trained_is_one_sentence(tmp_path):
    path, _ = saved(tmp_path, BOT)
    with pytest.raises(
        WeightsError, match=r"'heads\.bottleneck\.0\.weight' is \(64, 512, 1, 1\) in the model and"
    ):
        load(BOT, path, "MODEL.HEADS.EMBEDDING_DIM", "64")
    path, _ = saved(tmp_path, BOT, drop="heads.")
    with pytest.raises(WeightsError, match=r"absent in the file.*MODEL\.WEIGHTS"):
        load(BOT, path)
    with pytest.raises(WeightsError, match="entries are missing"):
        load(MPN, path)


def test_other_parts_are_one_sentence(tmp_path):
    path, _ = saved(tmp_path, MPN)
    with pytest.raises(WeightsError, match="MODEL settings of the run that wrote it"):
        load(MPN, path, "MODEL.MPN.PARTS", "2")


def test_a_classifier_that_is_the_output_has_to_fit(tmp_path):
    config = "projects/SAL/configs/demo/sal_r18_cifar_demo.yml"
    path, _ = saved(tmp_path, config)
    assert load(config, path, "MODEL.HEADS.NUM_CLASSES", "9")
    with pytest.raises(WeightsError, match=r"'heads\.weight' is \(7, "):
        load(config, path, "MODEL.HEADS.NUM_CLASSES", "7")


def test_mpn_is_tested_without_its_auxiliary_tasks(tmp_path):
    path, state = saved(tmp_path, MPN)
    model = load(MPN, path)
    assert any("auxiliary" in name for name in state)
    assert not any("auxiliary" in name for name in model.state_dict())
    whole = Trainer.build_model(
        load_config(MPN, ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "9"])
    ).eval()
    whole.load_state_dict(state)
    images = torch.rand(2, 3, 64, 32) * 255
    torch.testing.assert_close(model.eval()({"images": images}), whole({"images": images}))


def test_weights_that_nobody_names_are_those_of_the_run(run_folder, tmp_path):
    folder = Path(run_folder("MODEL.WEIGHTS", "start.pth"))  # as of a run that started from these
    named = folder / "config.yaml"
    for config in (str(folder), str(named)):
        assert str(folder / "model_final.pth") == trained_config(config).MODEL.WEIGHTS
        assert trained_config(config, "other.pth").MODEL.WEIGHTS == "other.pth"
        assert trained_config(config, opts=["MODEL.WEIGHTS", "other.pth"]).MODEL.WEIGHTS == "other.pth"
    (folder / "model_final.pth").unlink()
    assert trained_config(str(named), opts=["OUTPUT_DIR", str(tmp_path)]).MODEL.WEIGHTS == "start.pth"
    (folder / "log.txt").touch()  # a run that is not finished
    with pytest.raises(ConfigError, match=r"no weights are named, and .*model_final\.pth does not exist"):
        trained_config(str(folder))
    with pytest.raises(ConfigError, match="does not hold a config"):
        trained_config(str(tmp_path))
