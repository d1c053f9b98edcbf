"""Write a clean file of a model's weights: under the model's names, without the state of training."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor

from fastreid_projects.checkpoints.dialects import in_own_names
from fastreid_projects.checkpoints.matching import check_weights, counted_names
from fastreid_projects.checkpoints.weights import SAFETENSORS, load_state_dict_file
from fastreid_projects.config.ready import ready
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from fastreid_projects.extras import need
from fastreid_projects.files import check_writable, write_aside

_MOST = 20  # the maximum number of rows in the table


class Converted(NamedTuple):
    """The fate of a file's entries.

    Attributes:
        project: the project whose names they had; "" for the model's names.
        kept: the names of the entries in the clean file.
        missing: entries of the model that the clean file lacks.
        left_out: entries of the file that the model lacks or has with another shape.
    """

    project: str
    kept: list[str]
    missing: list[str]
    left_out: list[str]

    def table(self) -> str:
        """Return the unmatched entries as a table, below a line with their numbers."""
        whose = f", renamed from those of {self.project}" if self.project else ""
        head = f"{len(self.kept)} entries kept{whose}; {len(self.missing)} missing, {len(self.left_out)} left out"
        rows = [(name, "missing in the file") for name in self.missing]
        rows += [(name, "not part of this model") for name in self.left_out]
        if not rows:
            return head
        more = f"\n... and {len(rows) - _MOST} more" if len(rows) > _MOST else ""
        return f"{head}\n\n{tabulate(rows[:_MOST], headers=['entry', 'why'], tablefmt='pipe')}{more}"


def convert(cfg: Any, output: str | Path) -> Converted:
    """Write the weights of ``MODEL.WEIGHTS`` under the names of the config's model.

    A classifier keeps the classes of the file. Weights of FastReID's earlier versions, BoT, TransReID, torchreid,
    timm and of training frameworks are recognised by their names.

    Args:
        cfg: the config of the model, not frozen.
        output: a ``.pth`` or ``.safetensors`` file.

    Raises:
        ConfigError: no weights are named, or the output has another suffix.
        WeightsError: the file is unusable, or belongs to another model.
        MissingExtraError: safetensors is not installed.
        DataError: the output cannot be written.
    """
    output = Path(output)
    if output.suffix not in (".pth", SAFETENSORS):
        raise ConfigError(f"--output is {output}: its name has to end in .pth or {SAFETENSORS}")
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError("no weights are named: add --weights and the path of a checkpoint")
    check_writable(output)
    cfg = build_stages(cfg)[-1].cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.PRETRAIN = "cpu", False
    model = Trainer.build_model(ready(cfg))
    state, project = in_own_names(model.state_dict(), load_state_dict_file(cfg.MODEL.WEIGHTS))
    check_weights(model, state, cfg.MODEL.WEIGHTS)
    own = model.state_dict()
    kept = {name: value for name, value in state.items() if name in own and _fits(value, own[name])}
    write_aside(output, _content(kept, output.suffix))
    missing = [name for name in counted_names(own) if name not in kept]
    return Converted(project, list(kept), missing, [name for name in state if name not in kept])


def _fits(value: Tensor, own: Tensor) -> bool:
    """Return whether an entry has the model's shape, or that of a classifier with other classes."""
    return value.shape == own.shape or (value.dim() == own.dim() == 2 and value.shape[1:] == own.shape[1:])


def _content(state: dict[str, Tensor], suffix: str) -> bytes:
    state = {name: value.contiguous() for name, value in state.items()}
    if suffix == SAFETENSORS:
        content: bytes = need("safetensors.torch", "convert", "Writing safetensors").save(state)
        return content
    buffer = io.BytesIO()
    torch.save({"model": state}, buffer)
    return buffer.getvalue()
