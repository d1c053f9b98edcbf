"""FastReID's own plug-ins (projects/ of its master) with this package imported first, each in its smallest form.

FastAttr: an architecture with losses of its own names, labels that are vectors, a test set without queries.
FastClas: a dataset of classes, no gallery, the host's ClasEvaluator. FastRetri: a gallery that is the query.
FastDistill: a Distiller with one loss more. PartialReID: features that are more than one tensor.
"""

import copy
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.data_utils import read_image
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import DatasetEvaluator, ReidEvaluator
from fastreid.evaluation.clas_evaluator import ClasEvaluator
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline, Distiller
from torch import nn
from torch.utils.data import Dataset

from fastreid_projects import plugins
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError

LABELS = 5


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What a test registers is forgotten after it; this project's own is registered once for all tests."""
    plugins.register_all()
    for registry in (DATASET_REGISTRY, META_ARCH_REGISTRY, REID_HEADS_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))


def pictures(folder):
    return sorted(str(path) for path in folder.glob("Market-1501-v15.09.15/bounding_box_train/*.jpg"))


class Labelled(Dataset):
    """Images with whatever label they have, and no camera."""

    def __init__(self, items, transform, classes):
        self.img_items, self.transform, self.num_classes = items, transform, classes

    def __len__(self):
        return len(self.img_items)

    def __getitem__(self, index):
        path, label = self.img_items[index]
        return {
            "images": self.transform(read_image(path)),
            "targets": torch.as_tensor(label),
            "img_paths": path,
        }


def train_and_evaluate(trainer_class, cfg):
    cfg.freeze()
    trainer = trainer_class(cfg)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.resume_or_load(resume=False)
    results = trainer.train()
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    again = trainer_class.test(cfg, trainer.model)
    assert again == results
    return results


def register_attribute_model():
    @REID_HEADS_REGISTRY.register()
    class AttributeHeadForTest(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.classify = nn.Linear(cfg.MODEL.BACKBONE.FEAT_DIM, LABELS)

        def forward(self, features, targets=None):
            logits = self.classify(features.mean(dim=(2, 3)))
            return {"cls_outputs": logits} if self.training else logits.sigmoid()

    @META_ARCH_REGISTRY.register()
    class AttributeModelForTest(Baseline):
        @classmethod
        def from_config(cls, cfg):
            arguments = Baseline.from_config(cfg)
            arguments["loss_kwargs"]["own"] = {"scale": 2.0}
            return arguments

        def losses(self, outputs, gt_labels):
            assert self.loss_kwargs["loss_names"] == ("MultiLabelLossOfItsOwn",)
            value = F.binary_cross_entropy_with_logits(outputs["cls_outputs"], gt_labels.float())
            return {"loss_bce": value * self.loss_kwargs["own"]["scale"]}


class AttributeTrainer(DefaultTrainer):
    folder = None

    @classmethod
    def items(cls):
        paths = pictures(cls.folder)
        return [(path, [float(path.count(str(digit)) % 2) for digit in range(LABELS)]) for path in paths]

    @classmethod
    def build_train_loader(cls, cfg):
        train_set = Labelled(cls.items(), build_transforms(cfg, is_train=True), LABELS)
        return build_reid_train_loader(cfg, train_set=train_set)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        test_set = Labelled(cls.items(), build_transforms(cfg, is_train=False), LABELS)
        loader, num_query = build_reid_test_loader(cfg, test_set=test_set)
        assert num_query == 0
        return loader, AttributeEvaluator()


class AttributeEvaluator(DatasetEvaluator):
    def reset(self):
        self.right, self.count = 0.0, 0

    def process(self, inputs, outputs):
        self.right += float(((outputs > 0.5) == (inputs["targets"].to(outputs.device) > 0.5)).float().sum())
        self.count += outputs.numel()

    def evaluate(self):
        return OrderedDict(accuracy=100 * self.right / self.count, metric=100 * self.right / self.count)


def test_an_architecture_with_losses_of_its_own_and_vectors_as_labels(tiny_cfg, tiny_market):
    AttributeTrainer.folder = tiny_market().parent
    register_attribute_model()
    cfg = tiny_cfg(
        *("MODEL.META_ARCHITECTURE", "AttributeModelForTest", "MODEL.HEADS.NAME", "AttributeHeadForTest"),
        *("MODEL.LOSSES.NAME", ("MultiLabelLossOfItsOwn",), "DATALOADER.SAMPLER_TRAIN", "TrainingSampler"),
    )
    results = train_and_evaluate(AttributeTrainer, cfg)
    assert 0 <= results["accuracy"] <= 100


def test_a_misspelt_loss_of_the_hosts_own_architecture_is_still_refused(tiny_cfg, tiny_market):
    tiny_market()
    with pytest.raises(ConfigError, match="holds 'MultiLabelLossOfItsOwn', which is not a known loss"):
        DefaultTrainer.build_model(tiny_cfg("MODEL.LOSSES.NAME", ("MultiLabelLossOfItsOwn",)))


class ClassTrainer(DefaultTrainer):
    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        data = DATASET_REGISTRY.get(dataset_name)()
        data.show_test()
        classes = sorted({item[1] for item in data.query})
        items = [(path, classes.index(label)) for path, label, _ in data.query]
        test_set = Labelled(items, build_transforms(cfg, is_train=False), len(classes))
        return build_reid_test_loader(cfg, test_set=test_set)[0]

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        return cls.build_test_loader(cfg, dataset_name), ClasEvaluator(cfg, output_dir)


def register_set_without_gallery(folder):
    paths = pictures(folder)

    @DATASET_REGISTRY.register()
    class NoGalleryForTest(ImageDataset):
        def __init__(self, root="datasets", **kwargs):
            items = [(path, path.rsplit("/", 1)[1][:4], "0") for path in paths]
            query = (
                [(path, int(label), 0) for path, label, _ in items] if kwargs.pop("as_ids", False) else items
            )
            super().__init__(items, query, [], **kwargs)


def test_classes_without_a_gallery_and_the_hosts_evaluator_of_classes(tiny_cfg, tiny_market):
    register_set_without_gallery(tiny_market().parent)
    cfg = tiny_cfg(
        *("DATASETS.NAMES", ("NoGalleryForTest",), "DATASETS.TESTS", ("NoGalleryForTest",)),
        *("MODEL.HEADS.NAME", "ClasHead", "MODEL.LOSSES.NAME", ("CrossEntropyLoss",)),
    )
    results = train_and_evaluate(ClassTrainer, cfg)
    assert 0 <= float(results["Acc@1"]) <= 100


class RecallEvaluator(DatasetEvaluator):
    def __init__(self, num_query):
        self.num_query = num_query

    def reset(self):
        self.features, self.labels = [], []

    def process(self, inputs, outputs):
        self.features.append(outputs.cpu())
        self.labels.extend(inputs["targets"])

    def evaluate(self):
        features = F.normalize(torch.cat(self.features), dim=1)
        assert self.num_query == len(features)
        similarity = (features @ features.t()).fill_diagonal_(-2)
        found = [self.labels[i] == self.labels[int(n)] for i, n in enumerate(similarity.argmax(dim=1))]
        recall = 100 * sum(map(bool, found)) / len(found)
        return OrderedDict({"Recall@1": recall, "metric": recall})


class RetrievalTrainer(DefaultTrainer):
    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return build_reid_test_loader(cfg, dataset_name=dataset_name, as_ids=True)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        loader, num_query = cls.build_test_loader(cfg, dataset_name)
        return loader, RecallEvaluator(num_query)


def test_a_gallery_that_is_the_query(tiny_cfg, tiny_market):
    register_set_without_gallery(tiny_market().parent)
    cfg = tiny_cfg("DATASETS.NAMES", ("NoGalleryForTest",), "DATASETS.TESTS", ("NoGalleryForTest",))
    assert 0 <= train_and_evaluate(RetrievalTrainer, cfg)["Recall@1"] <= 100


def test_without_a_gallery_a_ranking_is_refused_before_the_training(tiny_cfg, tiny_market):
    register_set_without_gallery(tiny_market().parent)
    cfg = tiny_cfg("DATASETS.TESTS", ("NoGalleryForTest",))
    with pytest.raises(DataError, match=r"NoGalleryForTest"):
        Trainer.open_tests(_with_own_keys(cfg), None)
    evaluator = ReidEvaluator(cfg, num_query=2)
    evaluator.reset()
    batch = {"targets": torch.tensor([1, 1]), "camids": torch.tensor([0, 1])}
    evaluator.process(batch, torch.rand(2, 3))
    with pytest.raises(DataError, match="needs query and gallery images, not 2 of 2 as queries"):
        evaluator.evaluate()


def _with_own_keys(cfg):
    from fastreid_projects import plugins

    whole = plugins.get_cfg()
    whole.merge_from_other_cfg(cfg)
    return whole


def test_a_distiller_with_one_loss_more(tiny_cfg, tiny_market, tmp_path):
    tiny_market()
    teacher = tiny_cfg("MODEL.HEADS.NUM_CLASSES", 4, "MODEL.BACKBONE.PRETRAIN", False)
    (tmp_path / "teacher.yaml").write_text(teacher.dump())
    torch.save({"model": DefaultTrainer.build_model(teacher).state_dict()}, tmp_path / "teacher.pth")

    @META_ARCH_REGISTRY.register()
    class DistillerForTest(Distiller):
        def losses(self, s_outputs, t_outputs, gt_labels):
            loss_dict = super().losses(s_outputs, t_outputs, gt_labels)
            loss_dict["loss_extra"] = s_outputs["features"].pow(2).mean()
            return loss_dict

    cfg = tiny_cfg(
        *("MODEL.META_ARCHITECTURE", "DistillerForTest", "MODEL.BACKBONE.PRETRAIN", False),
        *(
            "KD.MODEL_CONFIG",
            [str(tmp_path / "teacher.yaml")],
            "KD.MODEL_WEIGHTS",
            [str(tmp_path / "teacher.pth")],
        ),
    )
    assert 0 <= train_and_evaluate(DefaultTrainer, cfg)["mAP"] <= 100


class PartialEvaluator(DatasetEvaluator):
    def __init__(self, cfg, num_query):
        self.cfg, self.num_query = cfg, num_query

    def reset(self):
        self.kept = []

    def process(self, inputs, outputs):
        whole, parts = outputs
        self.kept.append((torch.cat([whole, parts.flatten(1)], dim=1), inputs["targets"], inputs["camids"]))

    def evaluate(self):
        from fastreid.evaluation.rank import evaluate_rank

        features, pids, camids = (torch.cat(parts) for parts in zip(*self.kept, strict=True))
        q = self.num_query
        dist = torch.cdist(features[:q], features[q:]).numpy()
        labels = (pids[:q].numpy(), pids[q:].numpy(), camids[:q].numpy(), camids[q:].numpy())
        cmc, average_precision, _ = evaluate_rank(dist, *labels)
        return copy.deepcopy(OrderedDict({"Rank-1": cmc[0], "metric": sum(average_precision)}))


class PartialTrainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        loader, num_query = cls.build_test_loader(cfg, dataset_name)
        return loader, PartialEvaluator(cfg, num_query)


def test_features_that_are_more_than_one_tensor(tiny_cfg, tiny_market):
    tiny_market()

    @REID_HEADS_REGISTRY.register()
    class PartialHeadForTest(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.classify = nn.Linear(cfg.MODEL.BACKBONE.FEAT_DIM, cfg.MODEL.HEADS.NUM_CLASSES)

        def forward(self, features, targets=None):
            whole = features.mean(dim=(2, 3))
            if not self.training:
                return whole, features.mean(dim=3)
            logits = self.classify(whole)
            return {"cls_outputs": logits, "pred_class_logits": logits, "features": whole}

    cfg = tiny_cfg("MODEL.HEADS.NAME", "PartialHeadForTest")
    assert 0 <= train_and_evaluate(PartialTrainer, cfg)["Rank-1"] <= 1
