"""What an AMD evaluation prints."""

from __future__ import annotations

from tabulate import tabulate

from fastreid_projects.data.attributes import AttributeSet

from .faithfulness import MaskAttention

RANKS = (1, 5, 10)
_REWEIGHTED = {
    "reweighted_label_": "re-weighted by labels",
    "reweighted_free_": "re-weighted without",
}
# Result, words, and the result or number to be expected by chance.
_FAITHFULNESS: tuple[tuple[str, str, str | float], ...] = (
    ("attention_in_mask", "attention inside the attribute's true mask", "mask_area"),
    ("attention_density", "its density inside / outside, times", 1.0),
    ("pointing_game", "greatest attention lies inside the true mask", "mask_area"),
    (
        "counterfactual_rise",
        "rise of a contribution when its attribute is changed",
        "counterfactual_rise_others",
    ),
    ("counterfactual_first", "the changed attribute rises most", "random_counterfactual_first"),
    ("deletion", "distance left as attended pixels go blank (low is good)", "random_deletion"),
    ("insertion", "distance regained as they come back (high is good)", "random_insertion"),
)


def results_table(results: dict[str, float]) -> str:
    """The evaluator's metrics as one table: target, interpreter, re-weighted, and what chance would reach."""
    reweighted = {p: words for p, words in _REWEIGHTED.items() if f"{p}mAP" in results}
    prefixes = ["target_", "", *reweighted]
    blank = [None] * (len(prefixes) - 2)
    rows: list[list[str | float | None]] = [
        [name, *(results[f"{prefix}{name}"] for prefix in prefixes), None]
        for name in (*(f"Rank-{k}" for k in RANKS), "mAP", "mINP")
    ]
    rows.append(["ADRE (error of the sum of contributions)", None, results["ADRE"], *blank, None])
    for kind, words in (("e", "exclusive attributes rank first"), ("c", "common attributes rank last")):
        name = f"X-mAP_{kind}"
        rows.append([f"{name} ({words})", None, results[name], *blank, results[f"random_{name}"]])
    for name, words, chance in _FAITHFULNESS:
        if name in results:
            expected = results[chance] if isinstance(chance, str) else chance
            rows.append([words, None, results[name], *blank, expected])
    headers = ["per cent", "target", "interpreter", *reweighted.values(), "by chance"]
    return tabulate(rows, headers=headers, floatfmt=".2f", tablefmt="pipe", missingval="")


def attention_table(measured: MaskAttention, attribute_set: AttributeSet) -> str:
    """How much of each attribute's attention falls on its true pixels, the densest first."""
    inside, area, count = measured.per_attribute()
    density = (inside / area) / ((1 - inside) / (1 - area))
    rows = [
        (
            attribute_set.attributes[k].values[1],
            int(count[k]),
            100 * float(inside[k]),
            100 * float(area[k]),
            float(density[k]),
        )
        for k in density.nan_to_num(-1).argsort(descending=True).tolist()
        if count[k]
    ]
    headers = ["attribute", "images", "attention inside, %", "area, %", "inside / outside, times"]
    return tabulate(rows, headers=headers, floatfmt=".2f", tablefmt="pipe")
