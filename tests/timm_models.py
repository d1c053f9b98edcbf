"""Tiny models of those families of timm that have none among its own ``test_*``, under timm's own registry."""

from timm.models import generate_default_cfgs, register_model
from timm.models.eva import _create_eva
from timm.models.swin_transformer import _create_swin_transformer
from timm.models.vision_transformer import _create_vision_transformer

_OF_ONE_SIZE = {
    "url": "",
    "input_size": (3, 64, 64),
    "fixed_input_size": True,
    "pool_size": None,
    "mean": (0.4, 0.5, 0.6),
    "std": (0.2, 0.25, 0.3),
    "classifier": "head",
}
default_cfgs = generate_default_cfgs(
    {f"tiny_{family}.none": _OF_ONE_SIZE for family in ("swin", "dinov2", "dinov3", "clip")}
)


@register_model
def tiny_swin(pretrained=False, **kwargs):
    own = {
        "patch_size": 4,
        "window_size": 4,
        "embed_dim": 16,
        "depths": (1, 1, 2, 1),
        "num_heads": (1, 1, 2, 2),
    }
    return _create_swin_transformer("tiny_swin", pretrained=pretrained, **(own | kwargs))


@register_model
def tiny_dinov2(pretrained=False, **kwargs):
    own = {"patch_size": 14, "embed_dim": 32, "depth": 3, "num_heads": 2, "init_values": 0.5, "reg_tokens": 4}
    return _create_vision_transformer("tiny_dinov2", pretrained=pretrained, **(own | kwargs))


@register_model
def tiny_clip(pretrained=False, **kwargs):
    own = {"patch_size": 16, "embed_dim": 32, "depth": 3, "num_heads": 2, "pre_norm": True}
    return _create_vision_transformer("tiny_clip", pretrained=pretrained, **(own | kwargs))


@register_model
def tiny_dinov3(pretrained=False, **kwargs):
    """Positions are rotations, as in DINOv3; classes derive from timm's Eva."""
    own = {
        "patch_size": 16,
        "dynamic_img_size": True,
        "embed_dim": 32,
        "depth": 3,
        "num_heads": 2,
        "init_values": 0.5,
        "rope_type": "dinov3",
        "use_rot_pos_emb": True,
        "use_abs_pos_emb": False,
        "num_reg_tokens": 4,
        "use_fc_norm": False,
    }
    return _create_eva("tiny_dinov3", pretrained=pretrained, **(own | kwargs))
