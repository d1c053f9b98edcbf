"""Paths of configs in earlier versions; configs are now in folders, some under plainer names."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

logger = logging.getLogger("fastreid.projects.config")

_FOLDER = "configs"  # which used to hold all YAML files of a paper side by side
# Earlier name of a method -> present name; the backbone and the dataset follow.
_METHODS = {
    "airnet_baseline": "airnet_one_branch_max",
    "airnet_baseline_abp": "airnet_one_branch_attention",
    "airnet_baseline_gc": "airnet_one_branch_context",
    "airnet_gmp_abp": "airnet_two_branches_max_attention",
    "airnet_gmp_gc": "airnet_two_branches_max_context",
    "airnet_gmp_gmp_gc": "airnet_two_branches_max_maxcontext",
    "airnet_r50": "airnet_context_blocks_r50",
    **{f"amd_r50_n{count}": f"amd_shared_stages{count}_r50" for count in (1, 2, 4, 5)},
    "bcl_baseline1": "contrastive_bagtricks_noerasing",
    "bcl_baseline2": "contrastive_bagtricks",
    "bcl_bdb": "contrastive_bdb",
    "bcl_mgn": "contrastive_mgn",
    "fidi_baseline1": "fidi_bagtricks_noerasing",
    "fidi_baseline2": "fidi_bagtricks",
    "mpn_baseline": "mpn_auxiliary_tasks_uniform",
    "mpn_baseline_ub": "mpn_auxiliary_tasks_roi",
    "mpn_c1": "mpn_share_conv1",
    "mpn_c2": "mpn_share_conv2",
    "mpn_fsa": "mpn_align_class",
    "mpn_fsa_batch": "mpn_align_batch",
    "mpn_fsa_sample": "mpn_align_sample",
    "mpn_fsa_triplet": "mpn_align_sample_triplet",
    **{f"mpn_k{count}": f"mpn_parts{count}" for count in (2, 3, 4, 5, 7, 8)},
    "mpn_mtonly": "mpn_main_task",
    "mpn_naive": "mpn_naive_multitask",
    "mpn_noca": "mpn_no_attention",
    "mpn_psa": "mpn_share_conv1_conv2",
    "mpn_psa_batch": "mpn_share_align_batch",
    "mpn_psa_sample": "mpn_share_align_sample",
    "mpn_psa_triplet": "mpn_share_align_sample_triplet",
    "mpn_roi": "mpn_prior_roi",
    **{f"mpn_soft{layer}_001": f"mpn_soft_conv{layer}_w0p01" for layer in (1, 2)},
    **{f"mpn_soft{layer}_01": f"mpn_soft_conv{layer}_w0p1" for layer in (1, 2)},
    **{f"mpn_soft{layer}_1": f"mpn_soft_conv{layer}_w1" for layer in (1, 2)},
    **{f"mpn_soft{layer}_10": f"mpn_soft_conv{layer}_w10" for layer in (1, 2)},
    "mpn_uniform": "mpn_prior_uniform",
    "sal_ce_dil": "sal_ce_dilated",
    "sal_ce_dil_sac": "sal_ce_dilated_constraint",
    "sal_ce_quad": "sal_ce_quadruplet",
    "sal_ce_quad_dil": "sal_ce_quadruplet_dilated",
    "sal_quad": "sal_quadruplet",
    "sal_quad_dil_sac": "sal_quadruplet_dilated_constraint",
    "triplet_baseline1": "triplet_bagtricks_noerasing",
    "triplet_baseline2": "triplet_bagtricks",
}
# Whole names, including those of shared blocks.
_NAMES = {
    **{f"{name}_r50_cuhk03": f"{name}_r50_cuhk03_labeled" for name in ("agw", "bagtricks", "mgn", "sbs")},
    "airnet_context_r18_demo": "airnet_context_blocks_r18_demo",
    "amd_cross_demo": "amd_r18_demo_to_demob",
    "amd_demo": "amd_r18_demo",
    "amd_target_demo": "amd_target_r18_demo",
    "Base-AGW": "agw",
    "Base-AIRNet": "airnet",
    "Base-AMD": "amd",
    "Base-BDB": "bdb",
    "Base-Baseline1": "fidi_bagtricks_noerasing",
    "Base-Baseline2": "fidi_bagtricks",
    "Base-IDE": "ide",
    "Base-MGN": "*mgn",  # FIDI's block is fidi_mgn
    "Base-MPN": "mpn",
    "Base-SAL": "sal",
    "Base-SAL-cifar": "sal_cifar",
    "Base-SAL-cifar-demo": "sal_cifar_demo",
    "Base-SAL-market1501": "sal_r50_market1501",
    "Base-SAL-demo": "sal_demo",
    "Base-SBS": "sbs",
    "Base-bagtricks": "bagtricks",
}


def new_name(stem: str) -> str:
    """Return the present name of a config, which may be the same.

    Example:
        >>> new_name("mpn_soft1_001_r50_market1501")
        'mpn_soft_conv1_w0p01_r50_market1501'
    """
    if stem in _NAMES:
        return _NAMES[stem]
    for old in sorted(_METHODS, key=len, reverse=True):
        if stem.startswith(f"{old}_"):
            return _METHODS[old] + stem.removeprefix(old)
    return stem


def moved_config(path: str) -> str:
    """Return the present path of a config that an earlier version had at ``path``, and log it; "" if there is none.

    Args:
        path: such as ``projects/AMD/configs/amd_demo.yml``, where there is no file any longer.
    """
    folder, name = os.path.split(path)
    if os.path.basename(folder) != _FOLDER:
        return ""
    stem = Path(name).stem
    for today in (stem, new_name(stem)):
        found = sorted(Path(folder).glob(f"*/{today}.yml"))
        if len(found) == 1:
            _tell(path, str(found[0]))
            return str(found[0])
    return ""


@functools.cache
def _tell(old: str, new: str) -> None:
    logger.warning("%s is now %s", old, new)
