"""Multiple queries: averages by identity and camera, and a whole evaluation of Market-1501's gt_bbox."""

import shutil

import numpy as np
import pytest
import torch

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.multi_query import merge_queries


@pytest.mark.parametrize("normalize", [True, False])
def test_against_a_loop(normalize):
    rng = np.random.default_rng(0)
    features, pids, camids = rng.normal(size=(30, 4)), rng.integers(0, 4, 30), rng.integers(0, 3, 30)
    merged, found_pids, found_camids = merge_queries(
        torch.from_numpy(features), pids, camids, normalize=normalize
    )
    wanted = []
    for pid in range(4):
        for camid in range(3):
            rows = [f for f, p, c in zip(features, pids, camids, strict=True) if (p, c) == (pid, camid)]
            rows = [f / np.linalg.norm(f) if normalize else f for f in rows]
            if rows:
                wanted.append((pid, camid, sum(rows) / len(rows)))
    assert [(p, c) for p, c, _ in wanted] == list(
        zip(found_pids.tolist(), found_camids.tolist(), strict=True)
    )
    np.testing.assert_allclose(merged.numpy(), np.stack([row for *_, row in wanted]))


def test_one_image_each_changes_nothing():
    features = torch.randn(5, 3)
    merged, pids, camids = merge_queries(features, np.arange(5), np.zeros(5, int), normalize=False)
    assert torch.equal(merged, features)
    assert (pids.tolist(), camids.tolist()) == ([0, 1, 2, 3, 4], [0] * 5)


def test_market_1501(tiny_market, tiny_cfg, monkeypatch):
    """Queries are the identities and cameras of query/, with all their images of gt_bbox; both columns in one run."""
    from fastreid.modeling.meta_arch import build_model

    from fastreid_projects.data.multi_query import Market1501MultiQuery
    from fastreid_projects.engine.trainer import Trainer

    folder = tiny_market(ids=3, test_ids=4, cameras=3, images=3)
    with pytest.raises(DataError, match="gt_bbox"):
        Market1501MultiQuery(root=str(folder.parent))
    (folder / "gt_bbox").mkdir()
    for path in [
        *folder.glob("query/*.jpg"),
        *folder.glob("bounding_box_test/*.jpg"),
        *folder.glob("bounding_box_train/*"),
    ]:
        shutil.copy(path, folder / "gt_bbox" / path.name)
    dataset = Market1501MultiQuery(root=str(folder.parent))
    single = {
        (pid, camid)
        for _, pid, camid in super(Market1501MultiQuery, dataset).process_dir(str(folder / "query"), False)
    }
    assert {(pid, camid) for _, pid, camid in dataset.query} == single
    assert len(dataset.query) == 3 * len(single)

    cfg = tiny_cfg("DATASETS.TESTS", ("Market1501", "Market1501MultiQuery"), "MODEL.HEADS.NUM_CLASSES", 3)
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    results = Trainer.test(cfg, model)
    assert set(results) == {"Market1501", "Market1501MultiQuery"}

    loader, _ = Trainer.build_test_loader(cfg, "Market1501MultiQuery")
    with torch.no_grad():
        batches = [(model(b), b["targets"], b["camids"]) for b in loader]
    features, pids, camids = (torch.cat(column) for column in zip(*batches, strict=True))
    q = len(dataset.query)
    unit = torch.nn.functional.normalize(features, dim=1)
    hits = []
    for pid, camid in sorted(single):
        mine = [i for i in range(q) if (int(pids[i]), int(camids[i])) == (pid, camid)]
        query = torch.nn.functional.normalize(unit[mine].mean(0), dim=0)
        kept = [j for j in range(q, len(pids)) if (int(pids[j]), int(camids[j])) != (pid, camid)]
        nearest = max(kept, key=lambda j: float(unit[j] @ query))
        hits.append(int(pids[nearest]) == pid)
    assert results["Market1501MultiQuery"]["Rank-1"] == pytest.approx(100 * np.mean(hits))
