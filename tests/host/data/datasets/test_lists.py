"""List files: blank lines are nothing, and a line that cannot be read is named."""

from pathlib import Path

import pytest
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.errors import DataError
from tests.layouts import LAYOUTS

# dataset -> its list, and lines that cannot be read
LISTS = {
    "VehicleID": ("VehicleID/train_test_split/train_list.txt", ["0000001", "0000001 a", "0000001 2 3"]),
    "VeRiWild": ("VERI-Wild/train_test_split/test_10000.txt", ["00001", "x/000001.jpg", "00001/999999.jpg"]),
    "MSMT17": ("MSMT17_V1/list_query.txt", ["0000/0000_000_01_x.jpg", "0000.jpg 1", "0000/0000_000_01_x.jpg a"]),
    "AirportALERT": ("AirportALERT/filepath.txt", ["cam1\\11001", "cam1\\x\\1.jpg"]),
}  # fmt: skip


def items(name, root):
    data = DATASET_REGISTRY.get(name)(root=str(root))
    return data.train, data.query, data.gallery


@pytest.mark.parametrize("name", LISTS)
def test_blank_lines_are_nothing(name, tmp_path):
    LAYOUTS[name](tmp_path)
    before = items(name, tmp_path)
    path = tmp_path / LISTS[name][0]
    path.write_text("\n" + path.read_text().replace("\n", "\r\n\r\n", 1) + "\n  \n")
    assert items(name, tmp_path) == before


@pytest.mark.parametrize("name, line", [(name, line) for name, (_, lines) in LISTS.items() for line in lines])
def test_a_line_that_cannot_be_read(name, line, tmp_path):
    LAYOUTS[name](tmp_path)
    path = tmp_path / LISTS[name][0]
    path.write_text("\n" + path.read_text().split("\n")[0] + "\n" + line + "\n")
    with pytest.raises(DataError) as caught:
        items(name, tmp_path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert line in str(caught.value)


def test_an_image_of_veri_wild_without_a_row(tmp_path):
    LAYOUTS["VeRiWild"](tmp_path)
    info = tmp_path / "VERI-Wild" / "train_test_split" / "vehicle_info.txt"
    rows = info.read_text().splitlines()
    info.write_text("\n".join([rows[0], *rows[2:], ""]))
    with pytest.raises(
        DataError, match=r"train_list\.txt, line 1: the image 00001/000001\.jpg has no row in .*info"
    ):
        items("VeRiWild", tmp_path)
    info.write_text("\n".join([*rows[:3], "00001;38", *rows[3:]]))
    with pytest.raises(DataError, match=r"vehicle_info\.txt, line 4: '00001;38' is not a row such as"):
        items("VeRiWild", tmp_path)


def test_a_list_that_is_missing(tmp_path, monkeypatch):
    from fastreid_projects.data.datasets import build_dataset

    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    LAYOUTS["MSMT17"](tmp_path)
    Path(tmp_path / "MSMT17_V1" / "list_val.txt").unlink()
    with pytest.raises(DataError, match=r"list_val\.txt is not found: .*MSMT17_V1 holds list_gallery\.txt"):
        build_dataset("MSMT17")
