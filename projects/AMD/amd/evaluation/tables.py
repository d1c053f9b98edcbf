"""The tables that an AMD evaluation prints."""

from __future__ import annotations

from collections.abc import Mapping

from tabulate import tabulate

from fastreid_projects.data.attributes import AttributeSet

from .faithfulness import MaskAttention

RANKS = (1, 5, 10)
# Additional columns beside target and interpreter, by the prefix of their results.
_COLUMNS = {
    "reweighted_free_": "re-weighted",
    "reweighted_label_": "re-weighted by labels (oracle)",
    "placeless_": "A without place",
}
_NOTES = {
    "reweighted_label_": "Re-weighting by labels is an oracle: it is told who differs in what, so that even an "
    "interpreter at chance on attributes may gain by it. Re-weighted alone needs no labels.",
    "placeless_": "A without place: each attention map is replaced by its mean over the positions. The loss shows how "
    "much the positions contribute.",
}
# Result, words, and the result or number expected by chance.
FAITHFULNESS: tuple[tuple[str, str, str | float], ...] = (
    ("attention_in_mask", "attention inside the attribute's true mask, all images", "mask_area"),
    ("attention_density", "its density inside / outside, times", 1.0),
    ("pointing_game", "greatest attention is inside the true mask", "mask_area"),
    (
        "counterfactual_rise",
        "rise of a contribution when its attribute is changed",
        "counterfactual_rise_others",
    ),
    (
        "counterfactual_first",
        "the changed attribute's contribution rises most",
        "random_counterfactual_first",
    ),
)
# Measures of several kinds of maps: what follows the kind in a result's name, and words.
MEASURES = {
    "density_alone": "density in the mask of what only this image shows, times that outside",
    "pointing_alone": "highest value in that mask, per cent",
    "density_differs": "density in the mask of what this image shows and the other person lacks, times that outside",
    "pointing_differs": "highest value in that mask, per cent",
    "density_shown": "density in the mask of what this image shows, times that outside",
    "pointing_shown": "highest value in that mask, per cent",
    "density_changed": "density in the pixels altered by changing an attribute, times that outside",
    "pointing_changed": "highest value in those pixels, per cent",
    "deletion": "distance left while marked pixels are blanked, per cent (low is good)",
    "insertion": "distance regained while they are restored, per cent (high is good)",
}
KIND_WORDS = {
    "contribution": "contributions",
    "attention": "attention",
    "gradient": "gradient x activation",
    "distance": "the distance's own",
    "random": "random",
}

# Statements about people without labels: result, words, the result of contributions alone, and that of chance.
WORDS: tuple[tuple[str, str, str, str | float], ...] = (
    ("words_AUC", 'area under the curve of "differs", mean over attributes', "share_AUC", 50.0),
    ("words_Brier", "Brier score x 100 (low is good)", "", "base_Brier"),
    ("words_error", "mean error of the probabilities, points", "", ""),
    ("words_told", "attributes that are predicted, of those with enough people", "", ""),
    ("words_right", "attributes said to differ that do differ", "", "random_words_right"),
    (
        "words_of_one_person",
        "pairs of one person that are said to differ in anything (low is good)",
        "",
        "random_words_of_one_person",
    ),
    ("first_by_words", "a differing attribute comes first", "first_by_share", "random_first"),
    (
        "first_by_words_near",
        "the same for the nearest tenth of the pairs",
        "first_by_share_near",
        "random_first_near",
    ),
)


def results_table(results: Mapping[str, float]) -> str:
    """Return the metrics of target and interpreter beside those of chance, then those of all kinds of maps."""
    more = {p: words for p, words in _COLUMNS.items() if f"{p}mAP" in results}
    prefixes = ["target_", "", *more]
    rows: list[list[str | float | None]] = [
        [name, *(results[f"{prefix}{name}"] for prefix in prefixes), None]
        for name in (*(f"Rank-{k}" for k in RANKS), "mAP", "mINP")
    ]

    def row(words: str, name: str, chance: float | None) -> list[str | float | None]:
        return [words, *(results.get(f"{p}{name}") if p != "target_" else None for p in prefixes), chance]

    rows.append(row("ADRE (error of the sum of contributions)", "ADRE", None))
    for kind, words in (("e", "exclusive attributes rank first"), ("c", "common attributes rank last")):
        name = f"X-mAP_{kind}"
        rows.append(row(f"{name} ({words})", name, results[f"random_{name}"]))
    for name, words, chance in FAITHFULNESS:
        if name in results:
            rows.append(row(words, name, results[chance] if isinstance(chance, str) else chance))
    headers = ["per cent", "target", "interpreter", *more.values(), "by chance"]
    table = tabulate(rows, headers=headers, floatfmt=".2f", tablefmt="pipe", missingval="")
    parts = [table, *(_NOTES[p] for p in more if p in _NOTES), maps_table(results), answers_table(results)]
    return "\n\n".join(part for part in parts if part)


def maps_table(results: Mapping[str, float]) -> str:
    """Return every measure of every kind of map, including bad values; "" if none was measured."""
    measured = {
        name: words for name, words in MEASURES.items() if any(f"{k}_{name}" in results for k in KIND_WORDS)
    }
    rows = [
        [words, *(results.get(f"{kind}_{name}") for kind in KIND_WORDS)] for name, words in measured.items()
    ]
    headers = ["maps of a pair", *KIND_WORDS.values()]
    if not rows:
        return ""
    return tabulate(rows, headers=headers, floatfmt=".2f", tablefmt="pipe", missingval="")


def answers_table(results: Mapping[str, float]) -> str:
    """Return the scores of statements on held-out people, beside contributions alone and chance; "" if not measured."""
    rows = [
        (words, results[name], results.get(share), results.get(chance) if isinstance(chance, str) else chance)
        for name, words, share, chance in WORDS
        if name in results
    ]
    headers = ["people without labels", "contribution and words", "contribution alone", "by chance"]
    return tabulate(rows, headers=headers, floatfmt=".2f", tablefmt="pipe", missingval="") if rows else ""


def attention_table(measured: MaskAttention, attribute_set: AttributeSet) -> str:
    """Return a table of how much of each attribute's attention falls on its true pixels, the densest first."""
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
