"""The notebooks run from their first cell to their last on a few synthetic people, and hold no more than they need."""

import json
import os
from pathlib import Path

import pytest

from tests.docs.pages import DOCS
from tests.shortened import draw_few, shortened

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
CONFIGS = {"first_steps": "bagtricks_r18_demo.yml", "explain_a_match": "amd_r18_demo.yml"}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def shortened_notebook(path):
    """The notebook, its cell of parameters with pairs that make seconds of its training."""
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert cell.source == "OPTIONS: list[str] = []"
    cell.source = f"OPTIONS = {shortened(CONFIGS[path.stem])!r}"
    return notebook


@each
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(draw_few(tmp_path / "datasets", train_ids=8, test_ids=6)))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    notebook = shortened_notebook(path)
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert list((tmp_path / "logs").rglob("model_final.pth"))


@each
def test_a_notebook_is_small_and_names_no_folder_of_a_machine(path):
    text = path.read_text()
    assert len(text) < 200_000
    for cell in json.loads(text)["cells"]:
        for output in cell.get("outputs", ()):
            assert output["output_type"] != "error"
            assert "/" not in "".join(output.get("text", ())).replace("±", "")


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == sorted(CONFIGS)
    assert Path(DOCS / "tutorials" / "index.md").read_text().count(".ipynb") == 2
