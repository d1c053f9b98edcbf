"""Try the host without this package and print, as JSON, how each of its defects shows.

Run as a script in its own process: ``python unpatched.py FOLDER``. A test that compares with it notices
when the host fixes a defect itself.
"""

import collections
import collections.abc
import importlib
import json
import os
import signal
import sys
import types
import warnings
from pathlib import Path
from typing import Any

RESULTS: dict[str, Any] = {}
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def probe(function, limit=0.0):
    """Run a function for at most ``limit`` seconds; keep its result, or the name and text of its error."""

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        RESULTS[function.__name__] = function()
    except TimeoutError:
        RESULTS[function.__name__] = "hangs"
    except BaseException as error:
        RESULTS[function.__name__] = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def import_probes():
    @probe
    def torch_six():
        importlib.import_module("fastreid.data.build")

    six: Any = types.ModuleType("torch._six")
    six.string_classes = (str, bytes)
    sys.modules["torch._six"] = six

    @probe
    def collections_mapping():
        importlib.import_module("fastreid.data.build")

    collections.Mapping = collections.abc.Mapping


def config_probes():
    from fastreid.config import get_cfg

    def merge(text):
        path = FOLDER / "own.yml"
        path.write_text(text)
        get_cfg().merge_from_file(str(path))

    @probe
    def own_key():
        merge("MODEL:\n  LOSSES:\n    FIDI:\n      ALPHA: 1.5\n")

    @probe
    def list_of_bases():
        merge("_BASE_: [one.yml]\n")

    @probe
    def integer_for_a_float():
        merge("SOLVER:\n  BASE_LR: 1\n")


def optimizer_probes(nn, torch):
    from fastreid.config import get_cfg
    from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
    from fastreid.solver import build_lr_scheduler, build_optimizer
    from fastreid.utils.events import EventStorage

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.layer_head = nn.Linear(1, 1)

        def forward(self, batch):
            return {"loss": self.layer_head(self.layer(batch["x"])).square().mean()}

    def config(*opts):
        cfg = get_cfg()
        cfg.merge_from_list(list(opts))
        return cfg

    batches = [{"x": torch.ones(2, 2)}] * 5

    @probe
    def weights_move():
        model = Model()
        before = model.layer.weight.detach().clone()
        trainer = SimpleTrainer(model, batches, *build_optimizer(config(), model))
        with EventStorage():
            for _ in range(3):
                trainer.iter = 0
                trainer.run_step()
        return not torch.equal(before, model.layer.weight)

    @probe
    def amp_on_cpu():
        model = Model()
        AMPTrainer(model, batches, *build_optimizer(config(), model)).run_step()

    @probe
    def unknown_optimizer():
        build_optimizer(config("SOLVER.OPT", "Adm"), Model())

    @probe
    def lamb():
        build_optimizer(config("SOLVER.OPT", "Lamb"), Model())

    @probe
    def nothing_to_train():
        build_optimizer(config(), Model().requires_grad_(False), contiguous=False)

    @probe
    def freeze_by_prefix():
        cfg = config("MODEL.FREEZE_LAYERS", ["layer"], "SOLVER.FREEZE_ITERS", 1)
        groups = build_optimizer(cfg, Model(), contiguous=False)[1]
        return [group["freeze_status"] for group in groups]

    @probe
    def freeze_of_nothing():
        cfg = config("MODEL.FREEZE_LAYERS", ["lyer"], "SOLVER.FREEZE_ITERS", 1)
        groups = build_optimizer(cfg, Model(), contiguous=False)[1]
        return [group["freeze_status"] for group in groups]

    @probe
    def no_iterations():
        optimizer, _ = build_optimizer(config(), Model(), contiguous=False)
        build_lr_scheduler(config(), optimizer, 0)

    @probe
    def no_epoch_after_warmup():
        cfg = config("SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.MAX_EPOCH", 1, "SOLVER.WARMUP_ITERS", 5)
        optimizer, _ = build_optimizer(cfg, Model(), contiguous=False)
        build_lr_scheduler(cfg, optimizer, 5)["lr_sched"].step()

    @probe
    def unknown_schedule():
        optimizer, _ = build_optimizer(config(), Model(), contiguous=False)
        build_lr_scheduler(config("SOLVER.SCHED", "StepLR"), optimizer, 5)

    @probe
    def nan_loss():
        model = Model()
        trainer = SimpleTrainer(
            model, [{"x": torch.full((2, 2), torch.nan)}], *build_optimizer(config(), model)
        )
        trainer.iter = 0
        with EventStorage():
            trainer.run_step()

    @probe
    def seed_key():
        return "SEED" in config()


def model_probes(torch):
    from fastreid.evaluation.evaluator import inference_context
    from fastreid.layers import get_norm
    from fastreid.layers.weight_init import weights_init_kaiming
    from fastreid.modeling.backbones import BACKBONE_REGISTRY
    from fastreid.modeling.meta_arch import baseline, mgn, moco

    def changes_images(arch):
        me = types.SimpleNamespace(pixel_mean=1.0, pixel_std=2.0, device=torch.device("cpu"))
        images = torch.zeros(1, 3, 2, 2)
        arch.preprocess_image(me, {"images": images})
        return images.any().item()

    @probe
    def baseline_changes_images():
        return changes_images(baseline.Baseline)

    @probe
    def mgn_changes_images():
        return changes_images(mgn.MGN)

    @probe
    def training_mode_after_error():
        model = torch.nn.Linear(1, 1)
        try:
            with inference_context(model):
                raise KeyError
        except KeyError:
            return model.training

    @probe
    def frozen_mode_after_evaluation():
        model = torch.nn.Sequential(torch.nn.Linear(1, 1).eval())
        model.training = True
        with inference_context(model):
            pass
        return model[0].training

    @probe
    def frozen_bn_head():
        get_norm("FrozenBN", 2).apply(weights_init_kaiming)

    @probe
    def shufflenet_traced():
        from fastreid.modeling.backbones.shufflenet import ShuffleV2Block

        block = ShuffleV2Block("BN", 4, 8, 4, ksize=3, stride=1).eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(block, torch.rand(2, 8, 4, 2))
            return list(traced(torch.rand(4, 8, 4, 2)).shape)

    @probe
    def moco_queue():
        moco.Memory(4, 6)(torch.rand(4, 4), torch.zeros(4, dtype=torch.long))

    @probe
    def unknown_name():
        BACKBONE_REGISTRY.get("build_resnet_backbon")

    @probe
    def regnet():
        from fastreid.config import get_cfg

        cfg = get_cfg()
        cfg.MODEL.BACKBONE.DEPTH = "800y"
        BACKBONE_REGISTRY.get("build_regnet_backbone")(cfg)


def data_probes(np, torch):
    import inspect

    from fastreid.config import get_cfg
    from fastreid.data import build
    from fastreid.data.data_utils import DataLoaderX, read_image
    from fastreid.data.datasets.market1501 import Market1501
    from fastreid.data.transforms import build_transforms
    from fastreid.data.transforms.functional import to_tensor
    from PIL import Image

    @probe
    def image_modes():
        found = {}
        for mode in ("RGBA", "LA", "CMYK"):
            path = FOLDER / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
            Image.new(mode, (2, 3)).save(path)
            found[mode] = read_image(str(path)).mode
        return found

    @probe
    def sixteen_bit_image():
        path = FOLDER / "16.png"
        Image.fromarray(np.full((3, 2), 40000, np.uint16)).save(path)
        return np.asarray(read_image(str(path)))

    @probe
    def truncated_image():
        path = FOLDER / "cut.jpg"
        Image.effect_noise((64, 64), 50).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[:700])
        to_tensor(read_image(str(path)))

    @probe
    def tensor_warning():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            to_tensor(Image.new("RGB", (2, 3)))
        return any("TypedStorage" in str(warning.message) for warning in caught)

    @probe
    def affine():
        cfg = get_cfg()
        cfg.INPUT.AFFINE.ENABLED = True
        build_transforms(cfg)

    @probe
    def collate_array():
        return build.fast_batch_collator([{"x": np.zeros(2)}, {"x": np.zeros(2)}])["x"]

    @probe
    def collate_broadcasts():
        return list(build.fast_batch_collator([torch.zeros(3), torch.zeros(1)]).shape)

    @probe
    def test_workers():
        return inspect.signature(build.build_reid_test_loader.__wrapped__).parameters["num_workers"].default

    @probe
    def root_read_at_import():
        os.environ["FASTREID_DATASETS"] = "elsewhere"
        return build._root != "elsewhere"

    @probe
    def loader_without_cuda():
        DataLoaderX(0, dataset=[1])

    def market(folder):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                data = Market1501(root=str(folder))
                return sorted({pid for _, pid, _ in data.train})
            except RuntimeError:
                return [str(warning.message)[:40] for warning in caught]

    @probe
    def pattern_in_path():
        return market(FOLDER / "run2_c3")

    @probe
    def missing_market():
        return market(FOLDER / "nowhere")


def sampler_probes():
    from fastreid.data.datasets.bases import ImageDataset
    from fastreid.data.samplers import (
        BalancedIdentitySampler,
        ImbalancedDatasetSampler,
        NaiveIdentitySampler,
        SetReWeightSampler,
        TrainingSampler,
    )

    def items(ids, fields=3):
        return [("path", f"p{pid}", f"c{cam}", 0)[:fields] for pid in range(ids) for cam in range(4)]

    for name, kind in (("naive", NaiveIdentitySampler), ("balanced", BalancedIdentitySampler)):
        for case, ids, batch in (("few_ids", 3, 16), ("odd_batch", 16, 10), ("small_batch", 16, 2)):

            def sample(kind=kind, ids=ids, batch=batch):
                return int(next(iter(kind(items(ids), batch, 4))))

            sample.__name__ = f"{name}_{case}"
            probe(sample, limit=0.5)

    @probe
    def balanced_four_fields():
        return int(next(iter(BalancedIdentitySampler(items(4, 4), 16, 4))))

    @probe
    def combine_four_fields():
        part = [("path", 1, 2, 3)]
        ImageDataset(list(part), part, part, combineall=True)

    @probe
    def set_reweight():
        next(iter(SetReWeightSampler(items(16), 16, 2, [1, 1, 1, 1])))

    @probe
    def empty_training():
        TrainingSampler(0)

    def empty_imbalanced():
        next(iter(ImbalancedDatasetSampler([])))

    probe(empty_imbalanced, limit=0.5)


def hook_probes():
    from fastreid.engine import hooks
    from fastreid.utils.checkpoint import PeriodicCheckpointer
    from fastreid.utils.events import CommonMetricPrinter, EventStorage

    @probe
    def evaluation_period_0():
        hook = hooks.EvalHook(0, dict)
        hook.trainer = types.SimpleNamespace(epoch=0, max_epoch=1)
        hook.after_train()

    @probe
    def finished_run():
        hook = hooks.EvalHook(1, dict)
        hook.trainer = types.SimpleNamespace(max_epoch=1)
        hook.after_train()

    @probe
    def no_test_set():
        hook = hooks.PeriodicCheckpointer(None, 1)
        hook.trainer = types.SimpleNamespace(
            max_epoch=1, cfg=types.SimpleNamespace(DATASETS=types.SimpleNamespace(TESTS=()))
        )
        hook.before_train()

    @probe
    def best_metric_saved():
        saved = []
        checkpointer = types.SimpleNamespace(save=lambda name, **kwargs: saved.append(kwargs))
        PeriodicCheckpointer(checkpointer, 1, 3).step(0, metric=5.0)
        return "best_metric" in saved[0]

    @probe
    def printing_twice():
        printer = CommonMetricPrinter(1)
        with EventStorage() as storage:
            storage.epoch = 0
            printer.write()
            printer.write()


def head_probes(nn):
    from fastreid.config import get_cfg
    from fastreid.layers import pooling
    from fastreid.modeling.heads import build_heads

    @probe
    def pooling_with_channels():
        class WeightedPooling(nn.Module):
            def __init__(self, channels):
                super().__init__()

        pooling.WeightedPooling = WeightedPooling
        cfg = get_cfg()
        cfg.MODEL.HEADS.POOL_LAYER, cfg.MODEL.HEADS.NUM_CLASSES = "WeightedPooling", 2
        build_heads(cfg)


def main():
    import numpy as np
    import torch

    import_probes()
    config_probes()
    optimizer_probes(torch.nn, torch)
    model_probes(torch)
    data_probes(np, torch)
    sampler_probes()
    hook_probes()
    head_probes(torch.nn)
    print(json.dumps(RESULTS, default=str))


if __name__ == "__main__":
    sys.path[:] = [
        path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent
    ]
    main()
