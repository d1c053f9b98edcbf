"""The evaluator against a plain computation, and what a run of the interpreter leaves behind."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastreid.utils import comm

from fastreid_projects.amd.evaluation.evaluator import AttributeEvaluator
from fastreid_projects.amd.evaluation.faithfulness import MaskAttention, attention_in_mask
from fastreid_projects.amd.evaluation.feature_store import FeatureStore
from fastreid_projects.amd.evaluation.tables import KIND_WORDS, attention_table, maps_table, results_table
from fastreid_projects.amd.explain.measures import measure_tables
from fastreid_projects.amd.explain.run_report import choose_pairs
from fastreid_projects.data.attributes import DEMO
from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.ranking import evaluate_rank

M = 26


def make_set(queries=5, gallery=40, d=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = queries + gallery
    features = torch.randn(n, 1 + M, d, generator=generator)
    pids = torch.cat([torch.arange(queries), torch.arange(gallery) % 9])
    camids = torch.cat([torch.zeros(queries, dtype=torch.long), 1 + torch.arange(gallery) % 3])
    table = torch.randint(0, 2, (9, M), generator=generator, dtype=torch.int8)
    return features, pids, camids, table[pids]


def run(evaluator, features, pids, camids, attributes, batch=7):
    for rows in torch.arange(len(features)).split(batch):
        inputs = {
            "targets": pids[rows],
            "camids": camids[rows],
            "attributes": attributes[rows],
            "img_paths": [f"{int(i)}.jpg" for i in rows],
        }
        evaluator.process(inputs, features[rows])
    return evaluator.evaluate()


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_scores_equal_a_plain_computation(chunk):
    features, pids, camids, attributes = make_set()
    q = 5
    evaluator = AttributeEvaluator(q, len(features), DEMO, chunk=chunk, half=False)
    results = run(evaluator, features, pids, camids, attributes)
    whole = (features[:q, None, 0] - features[None, q:, 0]).norm(dim=2)
    parts = (features[:q, None, 1:] - features[None, q:, 1:]).norm(dim=3)
    labels = (pids[:q].numpy(), pids[q:].numpy(), camids[:q].numpy(), camids[q:].numpy())
    for prefix, distances in (("target_", whole), ("", parts.sum(dim=2))):
        cmc, ap, inp = evaluate_rank(distances.numpy(), *labels)
        assert results[f"{prefix}Rank-1"] == pytest.approx(100 * cmc[0])
        assert results[f"{prefix}mAP"] == pytest.approx(100 * np.mean(ap))
        assert results[f"{prefix}mINP"] == pytest.approx(100 * np.mean(inp))
    error = ((whole - parts.sum(dim=2)).abs() / whole).mean()
    assert results["ADRE"] == pytest.approx(100 * float(error), rel=1e-4)
    assert results["metric"] == pytest.approx((results["mAP"] + results["Rank-1"]) / 2)


def test_data_without_cameras_are_scored_where_same_camera_says_so(build_amd, amd_config):
    """As if each query were by its own camera; the config's key reaches the evaluator."""
    features, pids, _, attributes = make_set()
    none, own = torch.zeros(45, dtype=torch.long), torch.tensor([1] * 5 + [0] * 40)
    options = {"half": False, "gamma": 1.0}
    with pytest.raises(DataError, match=r"TEST\.SAME_CAMERA"):
        run(AttributeEvaluator(5, 45, DEMO, **options), features, pids, none, attributes)
    expected = run(AttributeEvaluator(5, 45, DEMO, **options), features, pids, own, attributes)
    cfg = amd_config(
        *("TEST.SAME_CAMERA", "True", "MODEL.AMD.TEST.GAMMA", "1.0", "MODEL.AMD.TEST.HALF", "False"),
        *("MODEL.AMD.TEST.SPATIAL_MEAN", "False"),
    )
    items = [(f"{i}.jpg", int(pid), 0) for i, pid in enumerate(pids)]
    dataset = type("Images", (list,), {"img_items": items})(items)
    evaluator = build_amd().build_evaluator(cfg, "Market1501", SimpleNamespace(dataset=dataset), 5)
    evaluator.studies = ()
    assert run(evaluator, features, pids, none, attributes) == expected


def test_half_precision_features_change_little():
    data = make_set(seed=1)
    full = run(AttributeEvaluator(5, 45, DEMO, half=False), *data)
    half = run(AttributeEvaluator(5, 45, DEMO, half=True), *data)
    for name, value in full.items():
        assert half[name] == pytest.approx(value, abs=0.5), name


def test_half_precision_of_large_features_that_differ_little():
    """What all images share is of no account: each attribute's distances are rounded by their own size."""
    features, *labels = make_set(seed=1)
    generator = torch.Generator().manual_seed(7)
    large = features.clone()
    large[:, 1:] += 1000 * torch.rand(M, features.shape[2], generator=generator)
    full = run(AttributeEvaluator(5, 45, DEMO, half=False), features, *labels)
    for batch in (1, 7, 100):
        evaluator = AttributeEvaluator(5, 45, DEMO, half=True)
        half = run(evaluator, large, *labels, batch=batch)
        kept = evaluator._features.gather()
        assert kept.dtype == torch.float16
        differences = kept[:, 1:].float() - kept[:, :-1].float()
        expected = (large[1:, 1:] - large[:-1, 1:]).transpose(0, 1)
        torch.testing.assert_close(differences, expected, rtol=0, atol=0.01)
        for name, value in full.items():
            assert half[name] == pytest.approx(value, abs=0.5), name


@pytest.mark.parametrize("half", [False, True])
def test_a_reset_forgets(half):
    evaluator = AttributeEvaluator(5, 45, DEMO, half=half)
    first = run(evaluator, *make_set(seed=2))
    evaluator.reset()
    run(evaluator, *make_set(seed=5))
    evaluator.reset()
    assert run(evaluator, *make_set(seed=2)) == first


def test_a_batch_is_not_kept_alive_by_its_first_feature():
    features, *labels = make_set()
    evaluator = AttributeEvaluator(5, 45, DEMO)
    run(evaluator, features, *labels)
    for kept in evaluator._embeddings:
        assert kept.untyped_storage().nbytes() == kept.nbytes


def test_other_datasets_share_attributes_by_name():
    """Columns that are unknown for the whole set are left out; the others still count."""
    features, pids, camids, attributes = make_set()
    attributes = attributes.clone()
    attributes[:, 3:] = -1
    results = run(AttributeEvaluator(5, 45, DEMO, half=False), features, pids, camids, attributes)
    assert 0 < results["X-mAP_e"] <= 100
    attributes[:] = -1
    results = run(AttributeEvaluator(5, 45, DEMO, half=False), features, pids, camids, attributes)
    assert np.isnan(results["X-mAP_e"])
    assert results["ADRE"] > 0


def test_images_without_attributes_are_measured_only_if_asked_for():
    """As the authors' code takes distractors: as persons whose every attribute has its first value."""
    features, pids, camids, attributes = make_set()
    attributes = attributes.clone()
    pids[-6:], attributes[-6:] = 0, -1
    pids[0] = 11  # no query is a distractor
    plain = run(AttributeEvaluator(5, 45, DEMO, half=False), features, pids, camids, attributes)
    counted = run(
        AttributeEvaluator(5, 45, DEMO, half=False, count_unlabelled=True), features, pids, camids, attributes
    )
    written = attributes.clone()
    written[-6:] = 0
    expected = run(AttributeEvaluator(5, 45, DEMO, half=False), features, pids, camids, written)
    assert counted == expected
    assert counted["X-mAP_e"] != plain["X-mAP_e"]
    for name in ("mAP", "ADRE", "target_Rank-1"):
        assert counted[name] == plain[name]


def test_what_the_scores_are_of_is_counted_and_said(host_log):
    features, pids, camids, attributes = make_set()
    pids[0], pids[-6:] = 77, 0  # a query without a match; distractors
    pids[1:5] = torch.arange(1, 5)
    evaluator = AttributeEvaluator(5, 45, DEMO, half=False, junk=3)
    with host_log.at_level("INFO", logger="fastreid"):
        run(evaluator, features, pids, camids, attributes)
    names = ("queries", "counted", "gallery", "junk", "tied")
    assert [evaluator.counts[name] for name in names] == [5, 4, 40, 3, 0]
    assert evaluator.counts["distractors"] == int((~torch.isin(pids[5:], pids[:5])).sum()) > 6
    assert "Counted: 4 of 5 queries; the others have no match" in host_log.text
    assert "3 junk images are left out" in host_log.text


def test_features_of_nan_name_the_image():
    features, *rest = make_set()
    features[11, 4, 2] = float("nan")
    with pytest.raises(DataError, match=r"11\.jpg"):
        run(AttributeEvaluator(5, 45, DEMO, half=False), features, *rest)


def test_table_names_both_columns():
    results = run(AttributeEvaluator(5, 45, DEMO, half=False), *make_set())
    table = results_table(results)
    for word in ("target", "interpreter", "chance", "Rank-1", "mAP", "ADRE", "X-mAP_e", "X-mAP_c"):
        assert word in table


def test_re_weighting_by_labels_is_left_out_where_there_are_none():
    *data, attributes = make_set()
    headers = [
        "per cent",
        "target",
        "interpreter",
        "re-weighted",
        "re-weighted by labels (oracle)",
        "by chance",
    ]
    for labels, expected in (
        (attributes, headers),
        (-torch.ones_like(attributes), headers[:4] + headers[5:]),
    ):
        results = run(AttributeEvaluator(5, 45, DEMO, half=False, gamma=1.0), *data, labels)
        first, *rows = results_table(results).splitlines()
        assert [cell.strip() for cell in first.strip("|").split("|")] == expected
        assert f"{results['reweighted_free_mAP']:.2f}" in next(row for row in rows if row.startswith("| mAP"))


def test_an_oracle_is_called_one_beside_its_numbers():
    results = run(AttributeEvaluator(5, 45, DEMO, half=False, gamma=1.0), *make_set())
    assert "Re-weighting by labels is an oracle" in results_table(results)
    assert list(results).index("reweighted_free_mAP") < list(results).index("reweighted_label_mAP")
    plain = run(AttributeEvaluator(5, 45, DEMO, half=False), *make_set())
    assert "oracle" not in results_table(plain)


@pytest.mark.parametrize("half", [False, True])
def test_attention_without_place_is_scored_beside_it(half):
    """Of the same features the same numbers; of others, those that these have by themselves."""
    features, *rest = make_set()
    other = make_set(seed=1)[0]
    plain = run(AttributeEvaluator(5, 45, DEMO, half=half), features, *rest)
    alone = run(AttributeEvaluator(5, 45, DEMO, half=half), other, *rest)
    for own, expected in ((features, plain), (other, alone)):

        def placeless(inputs, own=own):
            return own[[int(path.removesuffix(".jpg")) for path in inputs["img_paths"]], 1:]

        evaluator = AttributeEvaluator(5, 45, DEMO, half=half, placeless_features=placeless)
        results = run(evaluator, features, *rest)
        for name in ("mAP", "Rank-1", "X-mAP_e", "X-mAP_c"):
            assert results[f"placeless_{name}"] == pytest.approx(expected[name])
            assert results[name] == plain[name]
        assert "A without place" in results_table(results)


def test_every_kind_of_map_is_printed_also_where_it_is_bad():
    results = run(AttributeEvaluator(5, 45, DEMO, half=False), *make_set())
    assert maps_table(results) == ""
    results |= {"contribution_deletion": 70.0, "attention_deletion": 87.2, "random_deletion": 80.9}
    results |= {"contribution_density_alone": 2.21, "random_density_alone": 1.0}
    header, _, density, deletion = maps_table(results).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")][1:] == list(KIND_WORDS.values())
    assert [cell.strip() for cell in density.strip("|").split("|")][1:] == ["2.21", "", "", "", "1.00"]
    assert [cell.strip() for cell in deletion.strip("|").split("|")][1:] == [
        "70.00",
        "87.20",
        "",
        "",
        "80.90",
    ]
    assert maps_table(results) in results_table(results)
    tables = {table.title: table for table in measure_tables(results, {"Rank-1": 1.5})}
    maps = tables["Do the maps show the right places?"]
    (printed,) = [row for row in maps.rows if row.name == "deletion"]
    assert (maps.columns, printed.values, printed.chance) == (
        ["contributions", "attention"],
        ["70.00", "87.20"],
        "80.90",
    )
    printed = [value for table in tables.values() for row in table.rows for value in row.values if value]
    assert len(printed) == sum(not name.startswith("random_") for name in results)  # each once
    (rank_1,) = [r for t in tables.values() for r in t.rows if r.name == "Rank-1"]
    assert rank_1.chance == "1.50"


def test_attention_inside_a_mask():
    attention = torch.zeros(2, 4, 2)
    attention[0, :2] = 1.0
    attention[1] = 1.0
    masks = torch.zeros(2, 64, 32, dtype=torch.bool)
    masks[:, :32] = True
    inside, area = attention_in_mask(attention, masks)
    assert area.tolist() == [0.5, 0.5]
    assert inside[0] > 0.9
    assert inside[1] == pytest.approx(0.5)


def test_attention_by_attribute_puts_the_densest_first():
    masks = np.zeros((M, 8, 4), dtype=bool)
    masks[:, :4] = True
    attention = torch.ones(1, M, 4, 2)
    attention[0, 3, 2:] = 0.1
    meter = MaskAttention(lambda inputs: attention, lambda path: masks)
    meter.update({"attributes": torch.ones(1, M, dtype=torch.int8), "img_paths": ["a.jpg"]})
    lines = attention_table(meter, DEMO).splitlines()
    assert len(lines) == 2 + M
    assert DEMO.attributes[3].values[1] in lines[2]


def test_absent_and_unseen_attributes_are_left_out():
    masks = np.zeros((3, 8, 4), dtype=bool)
    masks[0, :4] = True
    masks[2] = True
    meter = MaskAttention(lambda inputs: torch.ones(1, 3, 4, 2), lambda path: masks)
    meter.update({"attributes": torch.tensor([[1, 1, 0]], dtype=torch.int8), "img_paths": ["a.jpg"]})
    result = meter.compute()
    assert result["mask_area"] == pytest.approx(50.0)  # the second is not seen, the third is absent
    assert result["attention_density"] == pytest.approx(1.0)
    inside, area, count = meter.per_attribute()
    assert count.tolist() == [1, 0, 0]
    assert area[0] == pytest.approx(0.5)
    assert inside.isnan().tolist() == [False, True, True]


def test_chosen_pairs_are_what_their_captions_say():
    rng = np.random.default_rng(0)
    queries, gallery = 12, 60
    distances = rng.random((queries, gallery))
    pids = np.concatenate([1 + np.arange(queries), 1 + np.arange(gallery) % 15])
    camids = np.concatenate([np.zeros(queries, int), 1 + np.arange(gallery) % 2])
    chosen = choose_pairs(distances, pids, camids, 6)
    assert len(chosen) == 6
    for query, other, caption, wrong_match in chosen:
        same = pids[query] == pids[other]
        assert same == caption.startswith("The same person")
        others = np.flatnonzero(pids[queries:] != pids[query])
        if caption.startswith("The nearest other"):
            nearest = distances[query, others].min()
            assert distances[query, other - queries] == nearest
            right = np.flatnonzero(pids[queries:] == pids[query])
            assert wrong_match == (nearest < distances[query, right].min())
        else:
            assert not wrong_match
    assert len({choice.wrong_match for choice in choose_pairs(distances, pids, camids, 12)}) == 2


def test_results_are_plain_numbers():
    assert json.dumps(run(AttributeEvaluator(5, 45, DEMO, half=False), *make_set()))


class OneMask(MaskAttention):
    """Counts the images that it is given."""

    def __init__(self):
        super().__init__(
            lambda inputs: torch.ones(len(inputs["img_paths"]), M, 2, 2), lambda path: torch.ones(M, 2, 2) > 0
        )

    def seen(self):
        return len(self._inside)


@pytest.mark.parametrize("batch", [1, 4, 7, 100])
@pytest.mark.parametrize("rank, seen", [(None, 5), (0, 5), (1, 0)])
def test_attention_of_queries_alone_whatever_the_batches_and_processes(monkeypatch, batch, rank, seen):
    features, pids, camids, attributes = make_set()
    rows = slice(None)
    if rank is not None:
        monkeypatch.setattr(comm, "get_world_size", lambda: 2)
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        rows = slice(rank * 23, (rank + 1) * 23)
    masks = OneMask()
    evaluator = AttributeEvaluator(5, len(features), DEMO, mask_attention=masks, half=False)
    monkeypatch.setattr(evaluator, "evaluate", dict)
    run(evaluator, features[rows], pids[rows], camids[rows], attributes[rows], batch)
    assert masks.seen() == seen


def test_features_of_all_processes_in_order_also_of_one_without_images(monkeypatch):
    features, pids, camids, attributes = make_set()
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    full, empty = (AttributeEvaluator(5, 2 * len(features), DEMO, half=False) for _ in range(2))
    monkeypatch.setattr(full, "evaluate", dict)
    run(full, features, pids, camids, attributes)
    sent = []
    monkeypatch.setattr(comm, "gather", lambda own, dst: sent.append(own) or [])
    assert not len(empty._features.gather()), "not the main process"
    monkeypatch.setattr(comm, "gather", lambda own, dst: [own, sent.pop(0)])
    assert torch.equal(full._features.gather(), features[:, 1:].transpose(0, 1))


def test_half_precision_features_are_the_same_whatever_the_processes(monkeypatch):
    """All subtract what the first process says, one without images as well: the collective calls are as many."""
    features, *_ = make_set()
    parts, names = features[:, 1:].split(23), [""] * 45
    one = FeatureStore(M, 45, half=True)
    one.add(features[:, 1:], names)
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    stores = [FeatureStore(M, 23, half=True) for _ in range(3)]
    said = []
    monkeypatch.setattr(comm, "all_gather", lambda own: said.append(own) or said)
    sent = []
    monkeypatch.setattr(comm, "gather", lambda own, dst: sent.append(own) or [])
    for store, part in zip(stores, parts, strict=False):
        for batch in part.split(5):
            store.add(batch, names)
    for store in reversed(stores):
        store.gather()
    assert [own is None for own in said] == [False, False, True]
    rows = zip(*(iter(sent[i * M : (i + 1) * M]) for i in (2, 1, 0)), strict=True)
    assert torch.equal(torch.stack([torch.cat(row) for row in rows]), one._features)
