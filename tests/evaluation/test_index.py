"""The faiss index: exact when flat, close when compressed, the same from disk, honest about what it cannot do."""

from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation import index as index_module
from fastreid_projects.evaluation.index import GalleryIndex, gallery_key


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 32)).astype(np.float32)
    return centres[rng.integers(0, 40, 1200)] + 0.3 * rng.standard_normal((1200, 32)).astype(np.float32)


def brute_force(queries, gallery, k):
    distances = np.linalg.norm(queries[:, None].astype(np.float64) - gallery[None], axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def test_flat_equals_brute_force(features):
    distances, positions = GalleryIndex.build(features[20:]).search(features[:20], 7)
    expected, order = brute_force(features[:20], features[20:], 7)
    assert np.array_equal(positions, order)
    np.testing.assert_allclose(distances, expected, rtol=1e-3)


def test_an_image_of_the_gallery_finds_itself(features):
    distances, positions = GalleryIndex.build(features).search(features[5:9], 1)
    assert positions[:, 0].tolist() == [5, 6, 7, 8]
    assert (distances < 1e-2).all()


def test_compressed_finds_the_neighbourhood(features, monkeypatch):
    monkeypatch.setattr(index_module, "_LEAST", 1000)
    gallery, queries = features[50:], features[:50]
    _, positions = GalleryIndex.build(gallery, "ivfpq").search(queries, 10)
    _, order = brute_force(queries, gallery, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(positions.tolist(), order.tolist(), strict=True)]
    assert np.mean(shared) > 0.5


@pytest.mark.parametrize("kind", ["flat", "ivfpq", "hnsw"])
def test_the_same_from_disk(features, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "_LEAST", 1000)
    built = GalleryIndex.build(features, kind, key="k")
    loaded = GalleryIndex.load(built.save(tmp_path / "a" / "gallery.faiss"))
    assert (loaded.key, len(loaded), loaded.exact) == ("k", 1200, kind != "ivfpq")
    for a, b in zip(built.search(features[:3], 5), loaded.search(features[:3], 5), strict=True):
        assert np.array_equal(a, b)


def test_only_the_same_gallery_is_taken_from_disk(features, tmp_path):
    path = tmp_path / "gallery.faiss"
    assert GalleryIndex.load_if_current(path, "k") is None
    GalleryIndex.build(features, key="k").save(path)
    assert len(GalleryIndex.load_if_current(path, "k")) == 1200
    assert GalleryIndex.load_if_current(path, "other") is None


def test_the_key_changes_with_images_and_weights(tmp_path):
    image = tmp_path / "a.jpg"
    image.write_bytes(b"1")
    first = gallery_key([str(image)], "weights")
    assert first == gallery_key([str(image)], "weights")
    assert first != gallery_key([str(image)], "other weights")
    image.write_bytes(b"12")
    assert first != gallery_key([str(image)], "weights")


def test_damaged_files_name_themselves(features, tmp_path):
    path = GalleryIndex.build(features, key="k").save(tmp_path / "gallery.faiss")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"gallery\.faiss.*remove it"):
        GalleryIndex.load(path)
    assert GalleryIndex.load_if_current(path, "k") is None  # built again
    for text in ("[]", "7", "null", '"key"', "{}", "no json"):
        path.with_name("gallery.faiss.json").write_text(text)
        assert GalleryIndex.load_if_current(path, "k") is None
    with pytest.raises(DataError, match=r"missing\.faiss does not exist"):
        GalleryIndex.load(tmp_path / "missing.faiss")
    (tmp_path / "photo.jpg").write_bytes(b"1")
    with pytest.raises(DataError, match=r"photo\.jpg\.json does not exist; name an index, or"):
        GalleryIndex.load(tmp_path / "photo.jpg")


@pytest.mark.parametrize("k", [0, 1201])
def test_more_than_there_are(features, k):
    with pytest.raises(ConfigError, match="1200 images"):
        GalleryIndex.build(features).search(features[:1], k)


def test_wrong_requests_are_sentences(features):
    with pytest.raises(ConfigError, match="flat or ivfpq or hnsw"):
        GalleryIndex.build(features, "lsh")
    with pytest.raises(DataError, match="use 'flat'"):
        GalleryIndex.build(features, "ivfpq")
    with pytest.raises(DataError, match="32-d"):
        GalleryIndex.build(features).search(np.zeros((1, 16)), 1)


def test_a_graph_finds_nearly_all(features):
    gallery, queries = features[50:], features[:50]
    distances, numbers = GalleryIndex.build(gallery, "hnsw").search(queries, 10)
    expected, order = brute_force(queries, gallery, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(numbers.tolist(), order.tolist(), strict=True)]
    assert np.mean(shared) > 0.95
    same = numbers == order
    np.testing.assert_allclose(distances[same], expected[same], rtol=1e-3)


@pytest.mark.parametrize("kind", ["flat", "ivfpq", "hnsw"])
def test_images_are_added_and_removed(features, kind, monkeypatch, tmp_path):
    """Numbers stay with their images and are not given twice, also after the index was on disk."""
    monkeypatch.setattr(index_module, "_LEAST", 1000)
    index = GalleryIndex.build(features[:1100], kind)
    index.remove([3, 1099])
    index.remove([3, 5000])
    assert len(index) == 1098
    index = GalleryIndex.load(index.save(tmp_path / "g.faiss"))
    assert index.add(features[1100:]) == range(1100, 1200)
    assert len(index) == 1198
    _, numbers = index.search(features, 5)
    assert not {3, 1099} & set(numbers.flatten().tolist())
    own = [number in row for number, row in enumerate(numbers.tolist())]
    assert np.mean(own[:3] + own[4:1099] + own[1100:]) > 0.95
    with pytest.raises(DataError, match="new features"):
        index.add(np.zeros((1, 16)))


def test_all_that_is_left_can_be_found(features):
    for kind in ("flat", "hnsw"):
        index = GalleryIndex.build(features, kind)
        index.remove(range(5, 1200))
        assert set(index.search(features[:1], 5)[1][0].tolist()) == {0, 1, 2, 3, 4}
        assert len(index) == 5


@pytest.fixture
def one_gpu(monkeypatch):
    """A faiss that says it has a GPU and copies to it: what was copied, with which options."""
    copied = []

    def copy(index, options):
        copied.append((index, options.useFloat16))
        return faiss.clone_index(index)

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "GpuMultipleClonerOptions", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", copy, raising=False)
    monkeypatch.setattr(faiss, "index_gpu_to_cpu", faiss.clone_index, raising=False)
    return copied


@pytest.mark.parametrize(("kind", "half"), [("flat", False), ("ivfpq", True)])
def test_a_gpu_holds_the_index(features, kind, half, one_gpu, monkeypatch):
    """A flat index stays exact; the tables of a compressed one are halved, or no block of a GPU holds them."""
    monkeypatch.setattr(index_module, "_LEAST", 1000)
    index = GalleryIndex.build(features, kind)
    one_gpu.clear()
    assert (index.search(features[:5], 1)[1][:, 0] == range(5)).all()
    index.search(features[:5], 3)
    assert one_gpu == [(index.index, half)]
    index.remove([0])
    assert 0 not in index.search(features[:1], 3)[1]
    assert len(one_gpu) == 2


def test_a_graph_and_more_neighbours_than_a_gpu_finds_stay_on_the_cpu(features, one_gpu):
    GalleryIndex.build(features, "hnsw").search(features[:1], 1)
    many = GalleryIndex.build(np.tile(features, (2, 1)))
    assert many.search(features[:1], 2049)[0].shape == (1, 2049)
    assert not one_gpu


def test_a_gpu_that_cannot_hold_the_index_is_said(features, one_gpu, monkeypatch, caplog):
    def full(index, options):
        raise RuntimeError("Error in alloc:\nout of memory")

    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", full)
    with caplog.at_level("WARNING"):
        assert GalleryIndex.build(features).search(features[:1], 1)[1].tolist() == [[0]]
    assert "searched on the CPU, as faiss cannot use the GPU: Error in alloc: out of memory" in caplog.text
