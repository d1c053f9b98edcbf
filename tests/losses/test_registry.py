"""Losses by name: one that is unknown or cannot be fed is an error; the host's own are the host's."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fastreid_projects.errors import ConfigError
from fastreid_projects.losses import LOSSES, NamedLoss, build_losses, check_loss_names, register_loss
from fastreid_projects.losses.registry import loss_key

host = pytest.importorskip("fastreid.modeling.losses")
host_losses = pytest.importorskip("fastreid_projects.losses.host_losses")
plugins = pytest.importorskip("fastreid_projects.plugins")

BOTH = ("features", "logits")


@pytest.fixture
def registered():
    """The registry as it was, after a test that adds to it."""
    before = dict(LOSSES)
    yield LOSSES
    LOSSES.clear()
    LOSSES.update(before)


def make_loss(name, inputs="features", config_node=""):
    def from_config(cls, cfg):
        return cls()

    def forward(self, values, labels):
        return values.sum()

    body = {
        "inputs": inputs,
        "config_node": config_node,
        "from_config": classmethod(from_config),
        "forward": forward,
    }
    return type(name, (nn.Module,), body)


def batch(n=8, d=16, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) // 2 % classes
    return torch.randn(n, d, generator=generator), torch.randn(n, classes, generator=generator), labels


# Registry


def test_a_class_is_known_by_its_name_once(registered):
    cls = make_loss("ToyLoss")
    assert register_loss(cls) is cls
    assert registered["ToyLoss"] is cls
    with pytest.raises(ValueError, match="ToyLoss is already registered"):
        register_loss(make_loss("ToyLoss"))
    assert registered["ToyLoss"] is cls


@pytest.mark.parametrize("missing", ["inputs", "config_node", "from_config"])
def test_a_class_that_cannot_be_built_from_a_config_is_refused(registered, missing):
    cls = make_loss("ToyLoss")
    delattr(cls, missing)
    with pytest.raises(TypeError, match=f"ToyLoss has no '{missing}'"):
        register_loss(cls)
    assert "ToyLoss" not in registered


def test_every_registered_loss_keeps_the_registrys_promises():
    plugins.register_all()
    cfg = plugins.get_cfg()
    cfg.MODEL.LOSSES.SAC.LAYERS = ("backbone.layer3", "backbone.layer4")
    for name, cls in LOSSES.items():
        assert cls.__name__ == name
        assert issubclass(cls, nn.Module)
        assert isinstance(cls.inputs, str)
        if cls.config_node:
            assert isinstance(cfg.MODEL.LOSSES[cls.config_node].SCALE, float)
        assert isinstance(cls.from_config(cfg), cls)
        assert cls.__doc__


def test_keys_of_the_loss_dictionary_are_all_different():
    plugins.register_all()
    assert loss_key("TripletLoss") == "loss_triplet"
    assert loss_key("CrossEntropyLoss") == "loss_cross_entropy"
    assert loss_key("Cosface") == "loss_cosface"
    assert loss_key("FIDILoss") == "loss_fidi"
    assert len({loss_key(name) for name in LOSSES}) == len(LOSSES)


@pytest.mark.parametrize(
    ("name", "near"),
    [("TripletLos", "TripletLoss"), ("tripletloss", "TripletLoss"), ("Crossentropy", "CrossEntropyLoss")],
)
def test_a_misspelt_name_is_an_error_with_the_nearest_and_all_known_names(name, near):
    """The host trains such a model without that loss and says nothing."""
    with pytest.raises(ConfigError) as error:
        check_loss_names(("CrossEntropyLoss", name), BOTH, "Baseline")
    sentence = str(error.value)
    assert f"MODEL.LOSSES.NAME holds '{name}'" in sentence
    assert f"did you mean {near}?" in sentence
    assert all(known in sentence for known in ("CircleLoss", "FocalLoss", "Cosface"))
    assert "\n" not in sentence


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigError) as error:
        check_loss_names(("Xyzzy",), BOTH, "Baseline")
    assert "did you mean" not in str(error.value)
    assert "TripletLoss" in str(error.value)


def test_a_text_instead_of_a_list_is_an_error():
    """A text is a list of letters: 26 unknown losses."""
    with pytest.raises(ConfigError, match=r"the text 'TripletLoss'; write a list"):
        check_loss_names("TripletLoss", BOTH, "Baseline")


def test_a_loss_that_the_architecture_cannot_feed_is_an_error():
    with pytest.raises(ConfigError, match="which works on logits, but Toy offers features"):
        check_loss_names(("CrossEntropyLoss",), ("features",), "Toy")
    plugins.register_all()
    with pytest.raises(ConfigError, match="Baseline offers features and logits"):
        check_loss_names(("AttributePriorLoss",), BOTH, "Baseline")


def test_known_names_pass():
    check_loss_names(
        ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface", "FocalLoss"), BOTH, "Baseline"
    )
    check_loss_names((), BOTH, "Baseline")


def test_losses_are_built_with_their_scale(registered):
    register_loss(make_loss("ToyLoss", "logits", "TOY"))
    register_loss(make_loss("PlainLoss"))
    cfg = SimpleNamespace(MODEL=SimpleNamespace(LOSSES={"TOY": SimpleNamespace(SCALE=3)}))
    toy, plain = build_losses(cfg, ("ToyLoss", "PlainLoss"))
    assert isinstance(toy, NamedLoss)
    assert (toy.key, toy.inputs, toy.scale) == ("loss_toy", "logits", 3.0)
    assert (plain.key, plain.inputs, plain.scale) == ("loss_plain", "features", 1.0)
    assert isinstance(toy.module, LOSSES["ToyLoss"])
    assert build_losses(cfg, ()) == []


# The host's losses


def test_cross_entropy_is_what_the_hosts_architectures_compute():
    _, logits, labels = batch()
    for eps in (0.0, 0.1, -1.0):
        expected = host.cross_entropy_loss(logits, labels, eps, 0.2)
        torch.testing.assert_close(host_losses.CrossEntropyLoss(eps, 0.2)(logits, labels), expected)
    smoothed = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(host_losses.CrossEntropyLoss(0.1)(logits, labels), smoothed)


@pytest.mark.parametrize(
    ("cls", "function", "options"),
    [
        ("TripletLoss", "triplet_loss", {"margin": 0.3, "norm_feat": False, "hard_mining": True}),
        ("TripletLoss", "triplet_loss", {"margin": 0.0, "norm_feat": True, "hard_mining": False}),
        ("CircleLoss", "pairwise_circleloss", {"margin": 0.25, "gamma": 128}),
        ("Cosface", "pairwise_cosface", {"margin": 0.25, "gamma": 128}),
    ],
)
def test_pair_losses_are_the_hosts_in_value_and_gradient(cls, function, options):
    features, _, labels = batch()
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    loss, expected = LOSSES[cls](**options)(ours, labels), getattr(host, function)(theirs, labels, **options)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert repr(LOSSES[cls](**options)).startswith(f"{cls}(margin=")


def test_options_come_from_the_hosts_config_keys():
    cfg = plugins.get_cfg()
    losses = cfg.MODEL.LOSSES
    losses.TRI.MARGIN, losses.TRI.NORM_FEAT, losses.TRI.HARD_MINING = 0.7, True, False
    losses.CE.EPSILON, losses.CE.ALPHA = 0.3, 0.4
    losses.FL.ALPHA, losses.FL.GAMMA = 0.5, 3.0
    assert LOSSES["TripletLoss"].from_config(cfg).options == {
        "margin": 0.7,
        "norm_feat": True,
        "hard_mining": False,
    }
    ce, focal = LOSSES["CrossEntropyLoss"].from_config(cfg), LOSSES["FocalLoss"].from_config(cfg)
    assert (ce.eps, ce.alpha, focal.alpha, focal.gamma) == (0.3, 0.4, 0.5, 3.0)
    for name, node in (("CircleLoss", losses.CIRCLE), ("Cosface", losses.COSFACE)):
        assert LOSSES[name].from_config(cfg).options == {"margin": node.MARGIN, "gamma": node.GAMMA}


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_the_hosts_where_the_host_is_finite(gamma):
    _, logits, labels = batch(n=16)
    expected = host.focal_loss(logits, labels, 0.25, gamma)
    torch.testing.assert_close(host_losses.FocalLoss(0.25, gamma)(logits, labels), expected)


def test_focal_loss_at_gamma_zero_is_cross_entropy():
    _, logits, labels = batch()
    plain = nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(host_losses.FocalLoss(alpha=1.0, gamma=0.0)(logits, labels), plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("logit", [30.0, 200.0, 1e4])
def test_focal_loss_stays_finite_for_confident_logits(gamma, logit):
    """The host's log(softmax(x)) is -inf for the wrong class, and NaN in its gradient for the right one."""
    logits = torch.tensor([[logit, 0.0], [logit, 0.0], [-logit, 0.0]], requires_grad=True)
    loss = host_losses.FocalLoss(1.0, gamma)(logits, torch.tensor([0, 1, 0]))
    assert float(loss.detach()) == pytest.approx(2 * logit / 3, rel=1e-4)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["TripletLoss", "CircleLoss", "Cosface"])
def test_pair_losses_work_in_float32_under_autocast(name, dtype):
    """The mined distances of half-precision features would be those of their squares, which are inf."""
    features, _, labels = batch()
    features = (100 * features).to(dtype)
    loss = LOSSES[name].from_config(plugins.get_cfg())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(features, labels)
    assert inside.dtype == torch.float32
    assert math.isfinite(float(inside))
    torch.testing.assert_close(inside, loss(features.float(), labels))


def test_labels_may_be_a_list():
    """Every loss that this project adds for features, outside the host too."""
    from fastreid_projects.fidi.contrastive import BatchHardContrastiveLoss
    from fastreid_projects.fidi.losses import FIDILoss
    from fastreid_projects.losses import BatchHardTripletLoss
    from fastreid_projects.sal.losses import QuadrupletHardLoss

    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    for make in (FIDILoss, BatchHardContrastiveLoss, BatchHardTripletLoss, QuadrupletHardLoss):
        assert torch.equal(make()(features, labels), make()(features, torch.tensor(labels)))
