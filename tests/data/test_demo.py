"""The drawn dataset: layout, determinism, masks, identities, and drawings that are cut short."""

from __future__ import annotations

import dataclasses
import filecmp
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from fastreid_projects.data.attributes import DEMO, read_attribute_file
from fastreid_projects.data.demo import (
    PARTS,
    SPECS,
    DemoSpec,
    attribute_masks,
    build,
    draw_person,
    ensure_drawn,
    find_frame,
    load_masks,
    plan_dataset,
)
from fastreid_projects.data.demo.__main__ import main
from fastreid_projects.data.demo.counterfactual import counterfactuals
from fastreid_projects.data.demo.sheet import contact_sheet
from fastreid_projects.errors import DataError

TINY = DemoSpec("Tiny", train_ids=4, test_ids=4, distractors=8, junk=3)
SMALL = DemoSpec("Tiny", train_ids=1, test_ids=1, distractors=1, junk=1)
NAME = re.compile(r"(-1|\d{4})_c[1-6]s1_\d{6}_\d{2}\.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ensure_drawn(TINY, tmp_path_factory.mktemp("demo"), workers=1)


def images(folder, split):
    return sorted((folder / split).glob("*.jpg"))


def pids(paths):
    return [int(path.name.split("_")[0]) for path in paths]


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def relative_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestLayout:
    def test_names_and_sizes_are_those_of_market(self, folder):
        for split in ("bounding_box_train", "query", "bounding_box_test"):
            paths = images(folder, split)
            assert paths
            assert all(NAME.fullmatch(path.name) for path in paths)
            assert read(paths[0]).shape == (256, 128, 3)

    def test_no_identity_is_in_both_train_and_test(self, folder):
        train = set(pids(images(folder, "bounding_box_train")))
        query = set(pids(images(folder, "query")))
        gallery = set(pids(images(folder, "bounding_box_test")))
        assert len(train) == 4
        assert len(query) == 4
        assert not train & (query | gallery)
        assert query <= gallery

    def test_gallery_has_junk_distractors_and_same_camera_images(self, folder):
        gallery = images(folder, "bounding_box_test")
        assert Counter(pids(gallery))[-1] == 3
        assert Counter(pids(gallery))[0] == 8
        seen = {path.name[:7] for path in images(folder, "query")}
        assert seen & {path.name[:7] for path in gallery}

    def test_attribute_file_reads_like_the_real_one(self, folder):
        table = read_attribute_file(folder / "market_attribute.mat", DEMO)
        plan = plan_dataset(TINY)
        assert set(table.rows) == set(plan.train) | set(plan.test)
        for pid, person in {**plan.train, **plan.test}.items():
            assert tuple(table.lookup(pid)) == person.attributes

    def test_attribute_file_has_age_and_two_orders_of_fields(self, folder):
        content = loadmat(str(folder / "market_attribute.mat"))["market_attribute"]
        train, test = content["train"][0, 0], content["test"][0, 0]
        assert set(train.dtype.names) == set(test.dtype.names) == {*DEMO.names, "age", "image_index"}
        assert train.dtype.names != test.dtype.names
        assert train["image_index"][0, 0].shape == (1, 4)
        assert len(str(train["image_index"][0, 0][0, 0][0])) == 4


class TestDrawing:
    @pytest.mark.slow
    def test_equal_bytes_with_more_workers(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "_CHUNK", 8)
        again = ensure_drawn(TINY, tmp_path, workers=2)
        names = relative_files(folder)
        assert relative_files(again) == names
        assert filecmp.cmpfiles(folder, again, names, shallow=False) == (names, [], [])

    def test_says_so_and_shows_no_bar_in_a_file(self, tmp_path, caplog, capsys):
        with caplog.at_level("INFO"):
            ensure_drawn(SMALL, tmp_path, workers=1)
        assert re.fullmatch(r"drawing Tiny: \d+ images, once", caplog.messages[0])
        assert capsys.readouterr().err == ""

    def test_drawn_once(self, folder, monkeypatch):
        monkeypatch.setattr(build, "_draw", lambda *_: pytest.fail("drawn again"))
        assert ensure_drawn(TINY, folder.parent) == folder

    def test_image_is_drawn_again_from_its_frame(self, folder):
        for path in images(folder, "query")[:3]:
            frame = find_frame(TINY, path)
            image, masks = draw_person(frame.person, frame.shot)
            assert np.abs(image.astype(int) - read(path)).mean() < 1.5  # the file is one JPEG further
            assert np.array_equal(masks.parts, load_masks(path).parts)

    def test_unknown_image_has_no_frame(self):
        with pytest.raises(DataError, match=r"9999_c1s1_000001_00\.jpg"):
            find_frame(TINY, "query/9999_c1s1_000001_00.jpg")

    def test_cut_short_leaves_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            build, "write_attribute_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            ensure_drawn(SMALL, tmp_path, workers=1)
        assert [path.name for path in tmp_path.iterdir()] == [".Tiny.lock"]

    def test_leftovers_older_versions_and_gaps_are_replaced(self, tmp_path):
        (tmp_path / ".Tiny.drawing-killed" / "query").mkdir(parents=True)
        target = ensure_drawn(SMALL, tmp_path, workers=1)
        marker = json.loads((target / build.MARKER).read_text())
        (target / build.MARKER).write_text(json.dumps({**marker, "version": -1}))
        assert not build.is_drawn(SMALL, target)
        assert build.is_drawn(SMALL, ensure_drawn(SMALL, tmp_path, workers=1))
        images(target, "query")[0].unlink()
        assert not build.is_drawn(SMALL, target)
        assert build.is_drawn(SMALL, ensure_drawn(SMALL, tmp_path, workers=1))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".Tiny.lock", "Tiny"]

    def test_foreign_folder_is_left_alone(self, tmp_path):
        (tmp_path / "Tiny").mkdir()
        (tmp_path / "Tiny" / "mine.txt").write_text("keep")
        with pytest.raises(DataError, match="not drawn by this program"):
            ensure_drawn(TINY, tmp_path)
        assert (tmp_path / "Tiny" / "mine.txt").read_text() == "keep"

    def test_folder_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match=re.escape(str(tmp_path / "file"))):
            ensure_drawn(TINY, tmp_path / "file")

    def test_command_reports_an_error_in_one_line(self, tmp_path, capsys):
        (tmp_path / "file").write_text("")
        assert main(["--root", str(tmp_path / "file")]) == 2
        said = capsys.readouterr().err
        assert "cannot be drawn" in said
        assert "FASTREID_DATASETS" in said
        assert "Errno" not in said


class TestMasks:
    def test_every_image_has_masks(self, folder):
        for path in images(folder, "query") + images(folder, "bounding_box_test"):
            masks = load_masks(path)
            assert masks.parts.shape == (256, 128)
            assert masks.parts.max() < len(PARTS)

    def test_attribute_masks_follow_the_identity(self, folder):
        table = read_attribute_file(folder / "market_attribute.mat", DEMO)
        for path in images(folder, "query"):
            masks, row = attribute_masks(path), table.lookup(pids([path])[0])
            assert masks.shape == (26, 256, 128)
            for attribute, value, mask in zip(DEMO.attributes, row, masks, strict=True):
                if attribute.is_thing and not value:
                    assert not mask.any()
            assert masks[DEMO.index("gender")].any()

    @pytest.mark.parametrize("name", ["upred", "upgreen", "upblue", "downgreen", "downblue"])
    def test_colour_lies_on_its_mask(self, name):
        channel = {"red": 0, "green": 1, "blue": 2}[re.sub("^(up|down)", "", name)]
        for frame in plain_frames(6):
            person = dataclasses.replace(frame.person, details=plain(frame.person.details))
            image, masks = draw_person(person.with_attribute(name, 1), frame.shot)
            inside = np.median(image[masks.attribute(name)], axis=0)
            others = [inside[c] for c in range(3) if c != channel]
            assert inside[channel] > max(others) + 4

    @pytest.mark.parametrize("name, value", [("hat", 1), ("handbag", 1), ("upred", 1), ("downgreen", 1)])
    def test_only_the_mask_changes_with_an_attribute(self, name, value):
        seen = 0
        for frame in plain_frames(4):
            without = frame.person.with_attribute(name, 0)
            first, _ = draw_person(without, frame.shot)
            second, masks = draw_person(without.with_attribute(name, value), frame.shot)
            near = cv2.dilate(masks.attribute(name).astype(np.uint8), np.ones((17, 17))) > 0
            changed = np.abs(first.astype(int) - second).max(-1) > 24
            assert changed[near].sum() >= 0.98 * changed.sum()
            seen += int(changed.any())
        assert seen >= 2  # a thing may be hidden, or have the colour of what is behind

    def test_occluder_is_cut_out_of_the_masks(self):
        frame = plain_frames(1)[0]
        _, whole = draw_person(frame.person, frame.shot)
        _, cut = draw_person(frame.person, dataclasses.replace(frame.shot, occluder="bush"))
        assert (cut.parts > 0).sum() < (whole.parts > 0).sum()
        assert np.isin(cut.parts, (0,)).sum() + (cut.parts == whole.parts).sum() >= cut.parts.size

    def test_backpack_shows_its_pack_behind_and_its_straps_in_front(self):
        frame = plain_frames(1)[0]
        person = frame.person.with_attribute("backpack", 1).with_attribute("hair", 0)
        area = {
            yaw: draw_person(person, dataclasses.replace(frame.shot, yaw=yaw))[1].attribute("backpack").sum()
            for yaw in (0.0, 180.0)
        }
        assert area[180.0] > 2 * area[0.0] > 0

    def test_image_without_masks_is_named(self, tmp_path):
        with pytest.raises(DataError, match="0001_c1s1_000001_00"):
            load_masks(tmp_path / "query" / "0001_c1s1_000001_00.jpg")


def plain_frames(count):
    """Frames of whole people without occluder in good light."""
    frames = [f for f in plan_dataset(SPECS["A"]).frames if f.split == "query" and f.shot.camera in (0, 3)]
    whole = [f for f in frames if f.shot.occluder == "none" and f.shot.zoom < 1 and f.shot.light > 0.9]
    return whole[:count]


def plain(details):
    return dataclasses.replace(details, upper_pattern=0, lower_pattern=0, upper_shade=0.0, lower_shade=0.0)


class TestBenchmark:
    @pytest.mark.parametrize("domain", ["A", "B"])
    def test_many_identities_share_all_attributes_but_not_the_details(self, domain):
        plan = plan_dataset(SPECS[domain])
        for people in (plan.train, plan.test):
            count = Counter(person.attributes for person in people.values())
            assert sum(n for n in count.values() if n > 1) > 0.5 * len(people)
            assert len(set(people.values())) == len(people)

    def test_size_and_every_attribute_occurs_in_train(self):
        plan = plan_dataset(SPECS["A"])
        assert 2500 < len(plan.frames) < 3300
        assert len({(f.split, f.stem) for f in plan.frames}) == len(plan.frames)
        table = np.array([person.attributes for person in plan.train.values()])
        assert (table.min(0) == 0).all()
        assert (table.max(0) == 1).all()

    def test_every_query_is_seen_by_another_camera(self):
        for spec in SPECS.values():
            cameras: dict[int, set[int]] = {}
            for frame in plan_dataset(spec).frames:
                if frame.split == "bounding_box_test":
                    cameras.setdefault(frame.pid, set()).add(frame.shot.camera)
            assert all(len(seen) > 1 for pid, seen in cameras.items() if pid > 0)

    def test_second_domain_differs(self):
        first, second = plan_dataset(SPECS["A"]), plan_dataset(SPECS["B"])
        mean = [np.array([p.attributes for p in plan.train.values()]).mean(0) for plan in (first, second)]
        assert abs(mean[0][DEMO.index("up")] - mean[1][DEMO.index("up")]) > 0.4
        shot = plain_frames(1)[0].shot
        person = plain_frames(1)[0].person
        image, masks = draw_person(person, shot)
        other, other_masks = draw_person(person, dataclasses.replace(shot, domain="B"))
        assert masks.parts.shape == other_masks.parts.shape
        assert np.abs(image.astype(int) - other).mean() > 10

    def test_misaligned_boxes_are_twice_as_far_off(self):
        """The same people, moments and poses; size and place of the boxes spread twice as far."""
        usual, off = (plan_dataset(SPECS[name]).frames for name in ("A", "M"))
        assert [(f.stem, f.person, f.shot.seed, f.shot.yaw) for f in usual] == [
            (f.stem, f.person, f.shot.seed, f.shot.yaw) for f in off
        ]
        shots = [[f.shot for f in frames if f.pid > 0] for frames in (usual, off)]
        spread = [np.std([s.shift[0] for s in kind]) for kind in shots]
        assert spread[1] == pytest.approx(2 * spread[0])
        zoom = [np.std([s.zoom for s in kind]) for kind in shots]
        assert 1.6 < zoom[1] / zoom[0] < 2.4
        cut = [np.mean([s.shift[1] == 0.13 for s in kind]) for kind in shots]
        assert 1.7 < cut[1] / cut[0] < 2.3
        assert "misalignment" not in SPECS["A"].marker()
        assert SPECS["M"].marker()["misalignment"] == 2

    def test_contact_sheet_shows_every_camera(self):
        sheet = contact_sheet(SPECS["B"], identities=2)
        assert sheet.shape[0] > 2 * 256
        assert sheet.shape[1] > 5 * 128


class TestDataset:
    def test_host_lists_it(self, folder, monkeypatch):
        pytest.importorskip("fastreid")
        from fastreid.data.datasets import DATASET_REGISTRY

        from fastreid_projects.data.demo import dataset

        monkeypatch.setattr(dataset.DemoReID, "spec", TINY)
        drawn = DATASET_REGISTRY.get("DemoReID")(root=str(folder.parent))
        assert DATASET_REGISTRY.get("DemoReIDB") is dataset.DemoReIDB
        assert drawn.get_num_pids(drawn.train) == 4
        path, pid, camera = drawn.train[0]
        assert Path(path).is_file()
        assert re.fullmatch(r"demo_\d+", pid)
        assert re.fullmatch(r"demo_\d", camera)
        assert all(isinstance(pid, int) and pid >= 0 for _, pid, _ in drawn.query + drawn.gallery)
        assert {pid for _, pid, _ in drawn.gallery} >= {0}
        assert drawn.junk == 3
        assert [item[0] for item in drawn.gallery] == sorted(item[0] for item in drawn.gallery)


# Counterfactuals


@pytest.fixture(scope="module")
def changes():
    spec = SPECS["A"]
    paths = [f"query/{frame.stem}.jpg" for frame in plan_dataset(spec).frames if frame.split == "query"][:60]
    return spec, paths, list(counterfactuals(spec, paths, 12))


def test_a_counterfactual_differs_in_what_it_says_and_is_seen(changes):
    spec, _, cases = changes
    assert len(cases) == 12
    for case in cases:
        person = find_frame(spec, case.path).person
        drawn, _ = draw_person(person, find_frame(spec, case.path).shot)
        assert np.array_equal(case.image, drawn)
        assert 1 <= len(case.attributes) <= 2
        assert (np.abs(case.image.astype(int) - case.changed).max(axis=2) > 24).mean() >= 0.01
        names = [DEMO.names[k] for k in case.attributes]
        if len(names) == 2:  # one colour in the place of another, on the same garment
            assert {name[:2] for name in names} in ({"up"}, {"do"}), names


def test_counterfactuals_are_fixed_and_go_through_the_attributes(changes):
    spec, paths, cases = changes
    again = list(counterfactuals(spec, paths, 12))
    assert [(c.path, c.attributes) for c in cases] == [(c.path, c.attributes) for c in again]
    assert len({case.path for case in cases}) == 12
    assert len({k for case in cases for k in case.attributes}) >= 8


def test_few_images_give_few_counterfactuals(changes):
    spec, paths, _ = changes
    assert len(list(counterfactuals(spec, paths[:2], 12))) <= 2


def test_a_script_without_a_guard_draws_in_several_processes(tmp_path):
    """Each worker would run it again, and wait for the lock of the first."""
    (tmp_path / "six_lines.py").write_text(
        "import os\n"
        "os.cpu_count = lambda: 2\n"
        "from fastreid_projects.data.demo import DemoSpec, ensure_drawn\n"
        "spec = DemoSpec('Tiny', train_ids=12, test_ids=12, distractors=8, junk=3)\n"
        "print('began')\n"
        "print(len(list((ensure_drawn(spec, 'data', 2) / 'query').glob('*.jpg'))) > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "six_lines.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["began", "True"]
