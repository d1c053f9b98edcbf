"""Where the parts are, from masks, and the matrix that cuts."""

import pytest
import torch
import torch.nn.functional as F

from fastreid_projects.mpn.data.part_masks import ARM, HEAD, LEG, OTHER, TORSO
from fastreid_projects.mpn.reference import plain_pieces
from fastreid_projects.mpn.regions import Regions, cut_matrix, find_regions, has_head_and_leg, resize_rows


def person(top=32, bottom=352, left=48, right=80, head=True, leg=True):
    """A mask 384 x 128: head, torso, leg in three equal blocks."""
    mask = torch.zeros(384, 128, dtype=torch.uint8)
    third = (bottom - top) // 3
    mask[top : top + third, left:right] = HEAD if head else OTHER
    mask[top + third : bottom - third, left:right] = TORSO
    mask[bottom - third : bottom, left:right] = LEG if leg else ARM
    return mask


def test_the_pipeline_of_figure_5():
    """Cells of 16 pixels: rows 2 to 21, columns 3 and 4, one more to the right by the 1x2 dilation."""
    mask = person()[None]
    regions = find_regions(mask, mask, (24, 8))
    assert (regions.top.tolist(), regions.bottom.tolist(), regions.found.tolist()) == ([2], [22], [True])
    wanted = torch.zeros(24, 8)
    wanted[2:22, 3:6] = 1
    assert torch.equal(regions.mask[0], wanted)


def test_without_head_or_legs_the_image_is_divided_evenly():
    masks = torch.stack([person(head=False), person(leg=False), torch.zeros(384, 128, dtype=torch.uint8)])
    regions = find_regions(masks, masks, (24, 8))
    assert not regions.found.any()
    assert regions.top.tolist() == [0] * 3
    assert regions.bottom.tolist() == [24] * 3
    assert torch.equal(regions.mask, torch.ones(3, 24, 8))


def test_a_few_pixels_are_no_head():
    few = person(head=False)
    few[0:5, 0:19] = HEAD  # 95 pixels; 0.2 % of the image are 98
    assert has_head_and_leg(few[None]).tolist() == [False]
    few[5, 0:4] = HEAD
    assert has_head_and_leg(few[None]).tolist() == [True]


def test_an_erased_head_still_bounds_the_body():
    """Its place is known although it is not seen; it is masked."""
    whole = person()
    visible = whole.clone()
    visible[:120] = 0
    regions = find_regions(visible[None], whole[None], (24, 8))
    assert (regions.top.item(), regions.bottom.item()) == (2, 22)
    assert regions.mask[0, :7].sum() == 0
    assert regions.mask[0, 8:22, 3:6].all()


def test_cells_are_body_from_one_half_on():
    mask = torch.zeros(384, 128, dtype=torch.uint8)
    mask[0:32, 0:8] = HEAD  # half of cell (0, 0)
    mask[32:64, 16:32] = LEG  # the whole of cell (2, 1)
    mask[32:64, 40:47] = LEG  # less than half of cell (2, 2), which the dilation takes, and not of (2, 3)
    regions = find_regions(mask[None], mask[None], (24, 8))
    assert regions.bottom.item() == 4
    assert regions.mask[0].nonzero().tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
        [2, 1],
        [2, 2],
        [3, 1],
        [3, 2],
    ]


def test_a_row_without_a_full_cell_keeps_its_fullest():
    mask = person()
    mask[32:64] = 0
    mask[32:64, 50:55] = HEAD  # 5 of 16 pixels
    regions = find_regions(mask[None], mask[None], (24, 8))
    assert regions.top.item() == 2
    assert regions.mask[0, 2].nonzero().flatten().tolist() == [3, 4]


@pytest.mark.parametrize(("size", "rows"), [((384, 128), 24), ((128, 64), 8), ((64, 32), 4)])
def test_a_body_has_its_head_and_its_rows_at_any_size(size, rows):
    """A head of an eighth of the height, narrower than half a cell, from the first row of the image on."""
    height, width = size
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    mask[:, : height // 8, width * 3 // 8 : width // 2] = HEAD
    mask[:, height // 8 :, width // 4 : width * 3 // 4] = TORSO
    mask[:, height // 2 :, width // 4 : width * 3 // 4] = LEG
    regions = find_regions(mask, mask, (rows, rows // 2), parts=4)
    assert regions.found.item()
    assert (regions.top.item(), regions.bottom.item()) == (0, rows)
    assert regions.mask.any(2).all(), "every row sees the body"


def test_a_body_of_fewer_rows_than_parts_is_divided_evenly():
    mask = person(top=96, bottom=96 + 3 * 21)[None]  # rows 6 to 9
    assert find_regions(mask, mask, (24, 8), parts=4).found.item()
    regions = find_regions(mask, mask, (24, 8), parts=6)
    assert (regions.found.item(), regions.top.item(), regions.bottom.item()) == (False, 0, 24)
    assert regions.mask.all()


def test_a_speck_does_not_move_the_boundary():
    mask = person()
    mask[5:9, 3:6] = OTHER  # 3 of 128 pixels
    assert find_regions(mask[None], mask[None], (24, 8)).top.item() == 2


def test_resize_is_interpolate():
    column = torch.randn(1, 1, 24, 1, dtype=torch.float64)
    for top, bottom, rows in ((0, 24, 24), (3, 20, 24), (7, 8, 24), (0, 24, 30), (5, 23, 12)):
        matrix = resize_rows(torch.tensor([top]), torch.tensor([bottom]), 24, rows, torch.float64)
        wanted = F.interpolate(column[:, :, top:bottom], size=(rows, 1), mode="bilinear", align_corners=False)
        torch.testing.assert_close((matrix[0] @ column[0, 0])[:, 0], wanted[0, 0, :, 0])
    whole = resize_rows(torch.tensor([0]), torch.tensor([24]), 24, 24, torch.float32)
    assert torch.equal(whole[0], torch.eye(24)), "nothing to resize"


def test_the_matrix_cuts_as_the_steps_do(maps, regions):
    for parts in (1, 3, 5, 6):
        matrix = cut_matrix(regions, parts, torch.float64)
        pieces = plain_pieces(maps, regions, parts)
        for k in range(parts):
            torch.testing.assert_close(maps.flatten(2) @ matrix[:, k], pieces[k].flatten(2))


def test_uniform_pieces_are_stripes(maps):
    whole = Regions(torch.ones(4, 12, 4), torch.zeros(4).long(), torch.full((4,), 12), torch.zeros(4).bool())
    for got, none, stripe in zip(
        plain_pieces(maps, whole, 3), plain_pieces(maps, None, 3), maps.chunk(3, dim=2), strict=True
    ):
        torch.testing.assert_close(got, stripe)
        torch.testing.assert_close(none, stripe)
