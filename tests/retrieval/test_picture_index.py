"""A gallery that is searched: as the evaluation ranks it, kept on disk, following its folder, on a page."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.commands.table import run_command
from fastreid_projects.config import load_config
from fastreid_projects.data.sources import Picture, read_source
from fastreid_projects.engine.run import evaluate
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.extractor import Extractor
from fastreid_projects.retrieval.matching import Matcher
from fastreid_projects.retrieval.picture_index import PictureIndex


@pytest.fixture
def extractor(run_folder):
    return Extractor.from_config(run_folder())


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_the_nearest_pictures(extractor, album, kind):
    index = PictureIndex.build(extractor, album, kind)
    query = f"{album}/p03/c1_0.png"
    hits = index.search(query, 5)
    features = extractor(album)
    distances = np.linalg.norm(features - extractor([query]), axis=1)
    order = np.argsort(distances, kind="stable")[:5]
    paths = [picture.path for picture in read_source(album)]
    assert [hit.picture.path for hit in hits] == [paths[i] for i in order]
    np.testing.assert_allclose([hit.distance for hit in hits], distances[order], atol=1e-3)
    assert hits[0].picture.path == query
    assert len(index.search(Image.open(query), 1000)) == 36


def test_the_index_follows_its_folder(extractor, album, tmp_path):
    index = PictureIndex.build(extractor, album)
    path = index.save(tmp_path / "g.faiss")
    shutil.rmtree(f"{album}/p00")
    shutil.copytree(f"{album}/p01", f"{album}/p99")
    shutil.copy(f"{album}/p02/c1_0.png", f"{album}/p03/c1_0.png")  # another picture under the same name
    index = PictureIndex.load(path, extractor)
    assert index.follow(album) == (4, 4)
    assert index.follow(album) == (0, 0)
    again = PictureIndex.load(index.save(path), extractor)
    assert again.follow(album) == (0, 0)
    assert {picture.path for picture in again.pictures.values()} == {p.path for p in read_source(album)}
    for one in (index, again):
        near = {hit.picture.path for hit in one.search(f"{album}/p02/c1_0.png", 2)}
        assert near == {f"{album}/p02/c1_0.png", f"{album}/p03/c1_0.png"}


def test_pictures_are_added_and_removed_by_name(extractor, album, pictures):
    index = PictureIndex.build(extractor, album)
    index.add(pictures)
    assert len(index) == 46
    assert index.search(pictures[4], 1)[0].picture.path == pictures[4]
    assert index.remove([pictures[4], "nowhere.png"]) == 1
    assert index.remove(pictures[5]) == index.remove(Path(pictures[6])) == 1
    assert index.search(pictures[4], 1)[0].picture.path != pictures[4]


def test_what_is_known_of_the_pictures_is_kept(extractor, pictures, tmp_path):
    known = [
        Picture(pictures[0], 7, 2, people="x"),
        Picture(pictures[1], "anna", "door"),
        Picture(pictures[2]),
    ]
    index = PictureIndex.build(extractor, known)
    assert list(PictureIndex.load(index.save(tmp_path / "g"), extractor).pictures.values()) == known


def test_only_its_own_model_reads_it(extractor, run_folder, album, tmp_path):
    path = PictureIndex.build(extractor, album).save(tmp_path / "g.faiss")
    with pytest.raises(WeightsError, match="belongs to another model"):
        PictureIndex.load(path, Extractor.from_config(run_folder(seed=1)))
    names = tmp_path / "g.faiss.csv"
    names.write_text(names.read_text().replace("p00", "p77", 1))
    with pytest.raises(DataError, match=r"g\.faiss\.csv cannot be read: it does not fit"):
        PictureIndex.load(path, extractor)


@pytest.mark.parametrize("same_camera", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_rank_1_is_the_evaluations(run_folder, tiny_market, capsys, tmp_path, metric, same_camera):
    queries = sorted((tiny_market(test_ids=8, images=3) / "query").iterdir())
    for one, other in zip(queries[:4], queries[4:], strict=True):
        shutil.copy(other, one)  # looks like another person
    opts = ["TEST.METRIC", metric, "TEST.SAME_CAMERA", str(same_camera)]
    folder = run_folder("DATASETS.TESTS", ("Market1501",))
    cfg = load_config(f"{folder}/config.yaml", [*opts, "MODEL.WEIGHTS", f"{folder}/model_final.pth"])
    expected = evaluate(cfg)["Rank-1"]
    assert expected == 50
    words = ["--config-file", folder, "--output", str(tmp_path / "out"), "--queries", "3", *opts]
    assert run_command("search", words, "search") == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "search.json").read_text())
    assert found["Rank-1"] == pytest.approx(expected)
    assert f"Rank-1 {expected:.2f} %" in capsys.readouterr().out


def test_the_command_on_folders_with_a_threshold(run_folder, album, tmp_path, capsys):
    model = run_folder()
    matcher = Matcher.fit(Extractor.from_config(model), album, rate=0.05, draws=2)
    threshold = str(matcher.save(tmp_path / "t.json"))
    index, query = str(tmp_path / "g.faiss"), f"{album}/p00/c1_0.png"
    words = ["--config-file", model, "--query", query, "--gallery", album, "--top-k", "4"]
    words += ["--index", index, "--threshold", threshold, "--output", str(tmp_path / "out")]
    assert run_command("search", words, "search") == 0, capsys.readouterr().err
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2] == "1 query, 36 pictures in the gallery"
    assert printed[-1].startswith("Open")
    rows = list(csv.DictReader((tmp_path / "out" / "search.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0]["gallery"] == query
    assert rows[0]["same"] == "True"
    assert {row["right"] for row in rows} == {""}
    page = (tmp_path / "out" / "search.html").read_text()
    assert page.count("data:image/jpeg") == 4  # the query is the nearest picture, too: each is embedded once
    assert "<span>same</span>" in page
    assert "http" not in page
    os.remove(f"{album}/p05/c1_0.png")
    assert run_command("search", words, "search") == 0
    assert "0 pictures added, 1 removed" in capsys.readouterr().out
    assert run_command("search", [*words, "--index-type", "hnsw"], "search") == 2
    assert "--index-type flat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--query", "album"], "--gallery is missing"),
        (["--query", "album", "--gallery", "nowhere"], "neither an image, a folder nor"),
        (["--query", "album", "--gallery", "album", "--top-k", "99"], "36 image"),
        (["--query", "album", "--gallery", "album", "--queries", "0"], "--queries is 0"),
        (["TEST.RERANK.ENABLED", "True"], "TEST.RERANK.ENABLED False"),
        (["--query", "album", "--gallery", "album", "--index-type", "ivfpq"], "use 'flat'"),
    ],
)
def test_mistakes_are_sentences(run_folder, album, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert run_command("search", ["--config-file", run_folder(), *words], "search") == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_of_own_pictures_is_a_dataset(run_folder, album, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for person in ("p00", "p01", "p02"):
        for split, camera in (("train", 1), ("query", 1), ("gallery", 2)):
            target = tmp_path / "shop" / split / f"{split[0]}{person}".replace("g", "q") / f"c{camera}_0.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(next(Path(album, person).glob(f"c{camera}_*")), target)
    assert run_command("search", ["--config-file", run_folder(), "--query", "shop"], "search") == 0
    assert "3 queries, 3 pictures in the gallery\nRank-1 " in capsys.readouterr().out


def test_a_gallery_of_nothing(extractor, album):
    index = PictureIndex.build(extractor, album)
    index.remove([picture.path for picture in index.pictures.values()])
    with pytest.raises(ConfigError, match="0 image"):
        index.search(f"{album}/p00/c1_0.png")


def test_galleries_in_all_forms(extractor, album, tmp_path):
    for gallery in (Path(album), [album], [Path(album)], sorted(Path(album).glob("*/*"))):
        assert len(PictureIndex.build(extractor, gallery)) == 36
    (Path(album) / ".trash").mkdir()
    for hidden in ("p00/._c1_0.png", ".trash/c1_0.png"):  # as file managers leave them
        (Path(album) / hidden).write_bytes(b"no picture")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "album").symlink_to(album)
    assert len(PictureIndex.build(extractor, tmp_path / "link")) == 36


def test_file_names_of_any_bytes(run_folder, album, tmp_path, capsys):
    odd = os.fsdecode(os.fsencode(album) + b"/p\xe9")
    os.rename(f"{album}/p00", odd)
    os.rename(f"{album}/p01/c1_0.png", f'{album}/p01/\u4eba, "a\nb.png')
    words = [
        "--config-file",
        run_folder(),
        "--query",
        odd,
        "--gallery",
        album,
        "--output",
        str(tmp_path / "o"),
    ]
    assert run_command("search", words, "search") == 0, capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "o" / "search.csv").open(errors="surrogateescape", newline="")))
    assert rows[0]["query"] == f"{odd}/c1_0.png"
    assert "p\ufffd/c1_0.png" in (tmp_path / "o" / "search.html").read_text(encoding="utf-8")
