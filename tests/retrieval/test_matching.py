"""A threshold for a wanted rate, kept in a file, that belongs to one model; the commands that fit and use it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.extractor import Extractor
from fastreid_projects.retrieval.matching import Matcher


def test_the_rate_is_kept(run_folder, album):
    extractor = Extractor.from_config(run_folder())
    matcher = Matcher.fit(extractor, album, rate=0.05, draws=20)
    fitted = matcher.fitted
    assert (fitted.people, fitted.pictures, fitted.pairs_same) == (12, 36, 24)
    assert fitted.pairs_different == 36 * 33 / 2
    assert matcher.distances.far(fitted.threshold) <= 0.05
    assert fitted.threshold_interval[0] <= fitted.threshold <= fitted.threshold_interval[1]
    assert {"TAR@FAR=1e-02", "TAR@FAR=1e-01", "EER"} <= set(fitted.verification)
    first, second = f"{album}/p00/c1_0.png", f"{album}/p00/c2_1.png"
    match = matcher.compare(first, second)
    assert match.distance == pytest.approx(np.linalg.norm(np.subtract(*extractor([first, second]))), rel=1e-5)
    assert match.same == (match.distance < fitted.threshold)


def test_people_by_a_list_and_without_cameras(run_folder, album, pictures):
    extractor = Extractor.from_config(run_folder())
    matcher = Matcher.fit(extractor, pictures, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], rate=0.1, draws=5)
    assert (matcher.fitted.pairs_same, matcher.fitted.pairs_different) == (5, 40)
    with pytest.raises(DataError, match="10 pictures need 10 persons, not 3"):
        Matcher.fit(extractor, pictures, [1, 2, 3])


def test_only_its_own_model_reads_it(run_folder, album, tmp_path):
    extractor = Extractor.from_config(run_folder())
    matcher = Matcher.fit(extractor, album, rate=0.05, draws=5)
    path = matcher.save(tmp_path / "t.json")
    again = Matcher.load(path, Extractor.from_config(run_folder()))
    assert again.fitted.threshold == matcher.fitted.threshold
    for other in (
        Extractor.from_config(run_folder(seed=1)),
        Extractor.from_config(run_folder(), opts=["INPUT.SIZE_TEST", "[48, 16]"]),
        Extractor.from_config(run_folder(), opts=["TEST.FLIP.ENABLED", "True"]),
        Extractor.from_config(run_folder(), normalize=not extractor.normalize),
    ):
        with pytest.raises(WeightsError, match="belongs to another model"):
            Matcher.load(path, other)
    with pytest.raises(DataError, match="does not contain distances"):
        again.det_curve()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"threshold": "x"}'])
def test_what_is_no_threshold_is_a_sentence(run_folder, tmp_path, content):
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"t\.json cannot be read: it was not written"):
        Matcher.load(path, Extractor.from_config(run_folder()))


@pytest.mark.parametrize(
    ("rate", "error", "words"),
    [(0, ConfigError, "above 0"), (1, ConfigError, "below 1"), (1e-6, DataError, "at least 1000000 pairs")],
)
def test_a_rate_that_cannot_be_told(run_folder, album, rate, error, words):
    with pytest.raises(error, match=words):
        Matcher.fit(Extractor.from_config(run_folder()), album, rate=rate)


def test_the_commands(run_folder, album, tmp_path, capsys):
    model, output = run_folder(), tmp_path / "t.json"
    words = ["--config-file", model, "--pictures", album, "--rate", "0.05", "--output", str(output)]
    assert run_command("threshold", words, "threshold") == 0, capsys.readouterr().err
    assert "at a false-match rate of 0.05" in capsys.readouterr().out
    assert json.loads(output.read_text())["false_match_rate"] == 0.05
    assert Image.open(tmp_path / "t_det.png").size == (600, 600)
    assert (tmp_path / "t_det.csv").read_text().startswith("threshold,FAR,FRR\n")
    images = [f"{album}/p00/c1_0.png", f"{album}/p00/c1_0.png", f"{album}/p05/c2_1.png"]
    words = ["--config-file", model, "--threshold", str(output), "--images", *images]
    assert run_command("match", words, "match") == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("0, the same person")
    assert len(lines) == 3
    assert run_command("match", words[:-2], "match") == 2
    assert "two pictures or more" in capsys.readouterr().err


def test_datasets_tables_and_split_folders(run_folder, tiny_market, album, tmp_path):
    tiny_market(test_ids=6)
    extractor = Extractor.from_config(run_folder())
    assert Matcher.fit(extractor, "Market1501", rate=0.1, draws=2).fitted.people == 6
    rows = [f"album/p{n:02d}/c1_0.png,{n // 2},{n % 2},query" for n in range(12)]
    (tmp_path / "labels.csv").write_text("path,pid,camid,split\n" + "\n".join(rows))
    for source in (tmp_path / "labels.csv", tmp_path):
        assert Matcher.fit(extractor, str(source), rate=0.1, draws=2).fitted.people == 6
    with pytest.raises(DataError, match="who is in its pictures"):
        Matcher.fit(extractor, f"{album}/p00")


def test_too_few_persons_and_pairs_say_what_is_possible(run_folder, album):
    extractor = Extractor.from_config(run_folder())
    with pytest.raises(DataError, match="all pictures show one person"):
        Matcher.fit(extractor, [f"{album}/p00/c1_0.png"] * 2, ["anna", "anna"])
    with pytest.raises(DataError, match=r"give 594: .* 0\.0017 \(--rate\) or more"):
        Matcher.fit(extractor, Path(album), rate=1e-3)
    two = [f"{album}/p00/c1_0.png", f"{album}/p01/c1_0.png"]
    with pytest.raises(DataError, match=r"needs at least 2 pairs .* give 1: add pictures$"):
        Matcher.fit(extractor, two, ["anna", "bert"], rate=0.9)
    assert Matcher.fit(extractor, Path(album), rate=0.0017, draws=2).fitted.pairs_different == 594
