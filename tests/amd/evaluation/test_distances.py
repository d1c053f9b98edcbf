"""Distances of queries to a gallery attribute by attribute: right for any chunk, and never all at once."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fastreid_projects.amd.evaluation import distances
from fastreid_projects.amd.evaluation.distances import iter_attribute_distances


def make_features(m=4, q=11, g=23, d=32, offset=0.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(m, q, d, generator=generator) + offset
    gallery = torch.randn(m, g, d, generator=generator) + offset
    return query.to(dtype), gallery.to(dtype)


def naive(query, gallery):
    return (query.double()[:, :, None] - gallery.double()[:, None]).norm(dim=3)


@pytest.fixture(autouse=True, params=[7, 512])
def tile(request, monkeypatch):
    """Galleries of several tiles and of one."""
    monkeypatch.setattr(distances, "_TILE_CPU", request.param)


def collect(query, gallery, chunk):
    """The whole (M, Q, G); every pair comes once."""
    whole = torch.full((query.shape[0], query.shape[1], gallery.shape[1]), torch.nan)
    for rows, columns, part in iter_attribute_distances(query, gallery, chunk):
        assert whole[:, rows, columns].isnan().all()
        whole[:, rows, columns] = part
    assert not whole.isnan().any()
    return whole


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_equal_the_differences(offset):
    """Features after a ReLU are far from the origin: cancellation may cost digits, but not distances."""
    query, gallery = make_features(offset=offset)
    result = collect(query, gallery, chunk=4)
    assert result.shape == (4, 11, 23)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), naive(query, gallery), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 3, 11, 12, 1000])
def test_do_not_depend_on_the_chunk(chunk):
    query, gallery = make_features()
    torch.testing.assert_close(
        collect(query, gallery, chunk), collect(query, gallery, 11), atol=1e-5, rtol=1e-5
    )


def test_half_precision_features_are_multiplied_in_float32():
    """Norms of 300 have squares beyond float16; only the storage is rounded."""
    query, gallery = make_features(d=64, dtype=torch.float16)
    query, gallery = 60 * query, 60 * gallery
    result = collect(query, gallery, chunk=5)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), naive(query, gallery), atol=1e-2, rtol=1e-4)


def test_storing_in_half_precision_costs_little():
    query, gallery = make_features(d=512)
    full, half = collect(query, gallery, 5), collect(query.half(), gallery.half(), 5)
    torch.testing.assert_close(half, full, atol=0, rtol=1e-3)


def test_equal_images_are_near_zero_and_never_nan():
    query, _ = make_features(offset=3.0)
    result = collect(query, query, chunk=4)
    assert torch.isfinite(result).all()
    assert (result >= 0).all()
    assert result.diagonal(dim1=1, dim2=2).max() < 2e-3 * query.norm(dim=2).max()


def test_tiles_do_not_share_memory():
    """A list of all tiles must hold each one's own distances."""
    query, gallery = make_features()
    tiles = list(iter_attribute_distances(query, gallery, 4))
    for rows, columns, part in tiles:
        torch.testing.assert_close(
            part.double(), naive(query, gallery)[:, rows, columns], atol=1e-4, rtol=1e-4
        )
    assert len({part.data_ptr() for _, _, part in tiles}) == len(tiles)


def test_inputs_are_not_changed_and_need_no_gradient():
    query, gallery = make_features()
    copies = query.clone(), gallery.clone()
    result = collect(query.requires_grad_(), gallery, 4)
    assert not result.requires_grad
    assert torch.equal(query, copies[0])
    assert torch.equal(gallery, copies[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_never_holds_query_by_gallery_nor_a_float32_gallery(dtype):
    """At Market size M x Q x G is 5.2 GiB, and a float32 copy of the gallery twice the stored half."""
    m, q, g, d, chunk = 8, 64, 80, 48, 4
    query, gallery = make_features(m, q, g, d, dtype=dtype)
    with Largest() as seen:
        for _ in iter_attribute_distances(query, gallery, chunk):
            pass
    inputs = gallery.untyped_storage().nbytes()  # views of it are seen too
    assert seen.bytes <= max(4 * m * chunk * g, 4 * g * d, inputs)
    assert seen.bytes < 4 * m * q * g


def test_no_query_gives_no_chunk():
    query, gallery = make_features(q=0)
    assert list(iter_attribute_distances(query, gallery, 4)) == []
