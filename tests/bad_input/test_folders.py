"""Datasets with mistakes: folders that are empty, incomplete or named otherwise."""

import os
import shutil

import pytest


def remove(bench, pattern):
    for path in bench.market.glob(pattern):
        path.unlink()


def renamed(bench, pattern, change):
    for path in sorted(bench.market.glob(pattern)):
        path.rename(path.with_name(change(path.name)))


def missing_root(bench):
    shutil.rmtree(bench.folder / "data")


def root_is_a_file(bench):
    missing_root(bench)
    bench.write("data", "")


def empty_dataset(bench):
    shutil.rmtree(bench.market)
    bench.market.mkdir()


def no_training_folder(bench):
    shutil.rmtree(bench.market / "bounding_box_train")


def no_query_folder(bench):
    shutil.rmtree(bench.market / "query")


def no_gallery_folder(bench):
    shutil.rmtree(bench.market / "bounding_box_test")


def empty_training_folder(bench):
    remove(bench, "bounding_box_train/*")


def empty_query_folder(bench):
    remove(bench, "query/*")


def empty_gallery_folder(bench):
    remove(bench, "bounding_box_test/*")


def only_other_endings(bench):
    renamed(bench, "bounding_box_train/*", lambda name: name.replace(".jpg", ".gif"))


def training_folder_is_a_file(bench):
    no_training_folder(bench)
    (bench.market / "bounding_box_train").write_text("")


def one_identity(bench):
    renamed(
        bench,
        "bounding_box_train/*",
        lambda name: f"0002_c1s1_{abs(hash(name)) % 10**6:06d}_00{name[:4]}.jpg",
    )


def a_name_without_identity(bench):
    image = bench.image()
    image.rename(image.with_name("IMG_1234.jpg"))


def a_camera_out_of_range(bench):
    image = bench.image()
    image.rename(image.with_name("0002_c9s1_000001_00.jpg"))


def an_identity_out_of_range(bench):
    image = bench.image()
    image.rename(image.with_name("9999_c1s1_000001_00.jpg"))


def one_camera(bench):
    remove(bench, "bounding_box_test/*_c2*")


def no_common_identity(bench):
    renamed(bench, "query/*", lambda name: "0100" + name[4:])


def an_image_that_is_a_folder(bench):
    image = bench.image()
    image.unlink()
    image.mkdir()


def a_dangling_link(bench):
    image = bench.image()
    image.unlink()
    image.symlink_to(bench.folder / "moved.jpg")


TRAINING = [
    (missing_root, "Market-1501-v15.09.15 not found FASTREID_DATASETS"),
    (root_is_a_file, "Market-1501-v15.09.15 not found FASTREID_DATASETS"),
    (empty_dataset, "bounding_box_train not found FASTREID_DATASETS"),
    (no_training_folder, "bounding_box_train not found"),
    (no_query_folder, "query not found"),
    (no_gallery_folder, "bounding_box_test not found"),
    (empty_training_folder, "bounding_box_train Market1501 no train images"),
    (empty_query_folder, "Market1501 no query images"),
    (empty_gallery_folder, "Market1501 no gallery images"),
    (only_other_endings, "bounding_box_train no train images"),
    (training_folder_is_a_file, "bounding_box_train"),
    (one_identity, "Market1501 one identity"),
    (a_name_without_identity, "IMG_1234.jpg identity rename"),
    (a_camera_out_of_range, "0002_c9s1_000001_00.jpg camera"),
    (an_identity_out_of_range, "9999_c1s1_000001_00.jpg identity"),
    (one_camera, "camera"),
    (no_common_identity, "identity 100 gallery"),
    (an_image_that_is_a_folder, "0002_c1s1_000001_00.jpg folder"),
    (a_dangling_link, "0002_c1s1_000001_00.jpg does not exist"),
]


@pytest.mark.parametrize(("break_it", "words"), TRAINING, ids=[case[0].__name__ for case in TRAINING])
def test_a_training_on_a_broken_dataset(bench, refused, break_it, words):
    break_it(bench)
    refused(bench.train(), *words.split())


EVALUATION = [case for case in TRAINING if case[0] in (one_camera, no_common_identity, empty_query_folder)]


@pytest.mark.parametrize(("break_it", "words"), EVALUATION, ids=[case[0].__name__ for case in EVALUATION])
def test_an_evaluation_of_a_broken_dataset(bench, refused, break_it, words):
    """The labels are looked at before the features are computed."""
    break_it(bench)
    outcome = bench.evaluate()
    refused(outcome, *words.split())
    assert "Start inference" not in outcome.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(bench, refused):
    folder = bench.market / "bounding_box_train"
    folder.chmod(0)
    refused(bench.train(), str(folder), "read")
    folder.chmod(0o755)


DATASETS = ["DukeMTMC", "MSMT17", "CUHK03", "CUHK03Detected", "VeRi", "VehicleID", "VeRiWild", "CIFAR100"]
DATASETS += ["Market1501MultiQuery", "PRID", "GRID", "cuhkSYSU"]


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_that_is_not_there(bench, refused, name):
    refused(bench.train("DATASETS.NAMES", f"('{name}',)"), "not found")


def test_a_folder_in_a_path_with_odd_letters_works(bench, worked, monkeypatch):
    """Spaces, brackets and what looks like an identity: all are only a folder's name."""
    odd = bench.folder / "0007_c3 [new] ünï"
    (bench.folder / "data").rename(odd)
    monkeypatch.setenv("FASTREID_DATASETS", str(odd))
    worked(bench.train())


def test_files_beside_the_images_are_left_out(bench, worked):
    for name in ("Thumbs.db", ".DS_Store", "readme.txt", "._0002_c1s1_000001_00.jpg"):
        (bench.market / "bounding_box_train" / name).write_text("")
    worked(bench.train())
