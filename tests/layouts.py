"""Draws every dataset of the host in its published layout: a handful of images of one colour an identity."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

TRAINED, TESTED = (1, 2, 3, 4), (11, 12, 13)  # identities
CAMERAS, SHOTS = (1, 2), (1, 2)


def draw(path: Path, pid: int, seed: int = 0) -> None:
    """Write an image of an identity's colour and some noise; the suffix says the format."""
    rng = np.random.default_rng((pid, seed))
    colour = np.random.default_rng(pid).integers(0, 200, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((colour + rng.integers(0, 56, (32, 16, 3))).astype(np.uint8)).save(path)


def shots(pids: tuple[int, ...] = TRAINED):
    """(identity, camera, shot) of all images of some identities."""
    return [(pid, camera, shot) for pid in pids for camera in CAMERAS for shot in SHOTS]


def named(folder: Path, pattern: str, pids: tuple[int, ...] = TRAINED) -> None:
    """Draw one image for each identity, camera and shot by a pattern of {pid}, {cam} and {n}."""
    for pid, camera, shot in shots(pids):
        draw(folder / pattern.format(pid=pid, cam=camera, n=shot), pid, 10 * camera + shot)


def three_folders(folder: Path, pattern: str, parts=("bounding_box_train", "query", "bounding_box_test")):
    """Training, query and gallery: the first camera's first shot is the query."""
    named(folder / parts[0], pattern)
    for pid, camera, shot in shots(TESTED):
        part = parts[1] if (camera, shot) == (1, 1) else parts[2]
        draw(folder / part / pattern.format(pid=pid, cam=camera, n=shot), pid, 10 * camera + shot)


def market(root: Path) -> None:
    folder = root / "Market-1501-v15.09.15"
    pattern = "{pid:04d}_c{cam}s1_{n:06d}_00.jpg"
    three_folders(folder, pattern)
    named(folder / "gt_bbox", pattern, TESTED)
    draw(folder / "bounding_box_test" / "-1_c1s1_000009_00.jpg", 90)
    draw(folder / "bounding_box_test" / "0000_c1s1_000009_00.jpg", 91)
    draw(folder / "images" / "0000_c3s2_000001_00.jpg", 92)


def duke(root: Path) -> None:
    three_folders(root / "DukeMTMC-reID", "{pid:04d}_c{cam}_f{n:07d}.jpg")


def msmt17(root: Path, version: str = "MSMT17_V1", train: str = "train", test: str = "test") -> None:
    folder = root / version
    lists = {"train": [], "val": [], "query": [], "gallery": []}
    for pid, camera, shot in [*shots(), *shots(TESTED)]:
        trained = pid in TRAINED
        label = pid - (TRAINED[0] if trained else TESTED[0])
        name = f"{label:04d}/{label:04d}_{shot:03d}_{camera:02d}_0303morning_{shot:04d}_0.jpg"
        draw(folder / (train if trained else test) / name, pid, 10 * camera + shot)
        part = "train" if trained else "query" if (camera, shot) == (1, 1) else "gallery"
        lists[part].append(f"{name} {label}\n")
    lists["val"] = lists["train"][:1]
    for part, lines in lists.items():
        (folder / f"list_{part}.txt").write_text("".join(lines))


def cuhk03(root: Path) -> None:
    """cuhk-03.mat, which is HDF5, and both files of the new protocol, as they are published."""
    folder, rng = root / "cuhk03", np.random.default_rng(0)
    (folder / "cuhk03_release").mkdir(parents=True)
    names = []
    with h5py.File(folder / "cuhk03_release" / "cuhk-03.mat", "w") as file:
        for kind in ("detected", "labeled"):
            pairs = file.create_dataset(kind, (1, 2), dtype=h5py.ref_dtype)
            for pair in range(2):
                cell = file.create_dataset(f"{kind}_{pair}", (10, 4), dtype=h5py.ref_dtype)
                for number, pid in np.ndindex(10, 4):
                    there = number in (0, 1, 5, 6)
                    image = rng.integers(0, 255, (3, 16, 32), np.uint8) if there else np.zeros(2, np.uint64)
                    cell[number, pid] = file.create_dataset(f"{kind}_{pair}_{pid}_{number}", data=image).ref
                    if there and kind == "detected":
                        view = 1 if number < 5 else 2
                        names.append(f"{pair + 1}_{pid + 1:03d}_{view}_{number + 1:02d}.png")
                pairs[0, pair] = cell.ref
        tests = file.create_dataset("testsets", (1, 20), dtype=h5py.ref_dtype)
        for number in range(20):
            persons = np.array([[1.0, 1.0], [1.0, 2.0]]).T
            tests[0, number] = file.create_dataset(f"testset{number}", data=persons).ref
    labels = np.array([4 * (int(name[0]) - 1) + int(name[2:5]) for name in names], np.uint16)
    first = np.array([name.split("_")[2] == "1" for name in names])
    for kind in ("detected", "labeled"):
        content = {
            "train_idx": np.flatnonzero(labels <= 4)[:, None] + 1,
            "query_idx": np.flatnonzero((labels > 4) & first)[:, None] + 1,
            "gallery_idx": np.flatnonzero((labels > 4) & ~first)[:, None] + 1,
            "labels": labels[:, None],
            "filelist": np.array(names, dtype=object)[:, None],
        }
        savemat(folder / f"cuhk03_new_protocol_config_{kind}.mat", content)


def veri(root: Path) -> None:
    three_folders(
        root / "VeRi", "{pid:04d}_c{cam:03d}_{n:08d}_0.jpg", ("image_train", "image_query", "image_test")
    )


def vehicleid(root: Path) -> None:
    folder = root / "VehicleID"
    lists = folder / "train_test_split"
    lists.mkdir(parents=True)
    train, test = [], []
    for number, (pid, camera, shot) in enumerate([*shots(), *shots(TESTED)], start=1):
        draw(folder / "image" / f"{number:07d}.jpg", pid, 10 * camera + shot)
        (train if pid in TRAINED else test).append(f"{number:07d} {pid}\n")
    (lists / "train_list.txt").write_text("".join(train))
    for size in (800, 1600, 2400, 13164):
        (lists / f"test_list_{size}.txt").write_text("".join(test))


def veriwild(root: Path) -> None:
    folder = root / "VERI-Wild"
    lists = folder / "train_test_split"
    lists.mkdir(parents=True)
    rows, train, query, gallery = ["id/image;Camera ID;Time;Model;Type;Color"], [], [], []
    for number, (pid, camera, shot) in enumerate([*shots(), *shots(TESTED)], start=1):
        name = f"{pid:05d}/{number:06d}"
        draw(folder / "images" / f"{name}.jpg", pid, 10 * camera + shot)
        rows.append(f"{name};{camera};2018-03-11 01:51:57;Audi;SUV;white")
        part = train if pid in TRAINED else query if (camera, shot) == (1, 1) else gallery
        part.append(f"{name}.jpg")
    (lists / "vehicle_info.txt").write_text("\n".join(rows) + "\n")
    (lists / "train_list.txt").write_text("\n".join(train) + "\n")
    for size in (3000, 5000, 10000):
        (lists / f"test_{size}_query.txt").write_text("\n".join(query) + "\n")
        (lists / f"test_{size}.txt").write_text("\n".join(gallery) + "\n")


def airport(root: Path) -> None:
    folder, lines = root / "AirportALERT", []
    for pid, camera, shot in shots():
        parts = (f"cam{camera}", f"{11000 + pid}", f"{shot}.jpg")
        draw(folder.joinpath(*parts), pid, 10 * camera + shot)
        lines.append("\\".join(parts) + "\n")
    (folder / "filepath.txt").write_text("".join(lines))


def sense(root: Path) -> None:
    named(root / "SenseReID" / "test_gallery", "{pid:05d}_{cam}{n}.jpg", TRAINED[:2])
    named(root / "SenseReID" / "test_prob", "{pid:05d}_{cam}{n}.jpg", TRAINED[2:])


def lpw(root: Path) -> None:
    for scene in ("scen1", "scen2", "scen3"):
        named(root / "pep_256x128" / "data_slim" / scene, "view{cam}/{pid}/{n}.jpg", TRAINED[:2])


def sysu_mm(root: Path) -> None:
    named(root / "SYSU-MM01", "cam{cam}/{pid:04d}/{n:04d}.jpg")
    for camera in (4, 5):
        draw(root / "SYSU-MM01" / f"cam{camera}" / "0001" / "0001.jpg", 1, camera)


def viper(root: Path) -> None:
    for pid, camera, shot in shots():
        draw(
            root / "VIPeR" / f"cam_{'ab'[camera - 1]}" / f"{pid:03d}_{45 * shot}.bmp", pid, 10 * camera + shot
        )


def simple(folder: str, pattern: str) -> Callable[[Path], None]:
    """A layout of one pattern."""
    return lambda root: named(root / folder, pattern)


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "Market1501": market,
    "DukeMTMC": duke,
    "MSMT17": msmt17,
    "CUHK03": cuhk03,
    "VeRi": veri,
    **dict.fromkeys(("VehicleID", "SmallVehicleID", "MediumVehicleID", "LargeVehicleID"), vehicleid),
    **dict.fromkeys(("VeRiWild", "SmallVeRiWild", "MediumVeRiWild", "LargeVeRiWild"), veriwild),
    "AirportALERT": airport,
    "CAVIARa": simple("CAVIARa", "{pid:04d}{cam}0{n}.jpg"),
    "cuhkSYSU": simple("cuhk_sysu/cropped_images", "p{pid}_s{cam}_{n}.jpg"),
    "GRID": simple("underground_reid/images", "{pid:04d}_{cam}_25004_107_32_106_{n}.jpeg"),
    "iLIDS": simple("iLIDS", "person{pid:03d}/cam{cam}_person{pid:03d}_{n:05d}.png"),
    "LPW": lpw,
    "PeS3D": simple("3DPeS", "{pid}/{pid}_{cam}_{n}.bmp"),
    "PKU": simple("PKUv1a_128x48", "{pid:03d}_cam{cam}_{n}.png"),
    "PRAI": simple("PRAI-1581/images", "{pid:08d}_{cam:04d}_{n:08d}.jpg"),
    "PRID": simple("prid_2011/slim_train", "person_{pid:04d}/{cam}_{n}.png"),
    "SAIVT": simple("SAIVT-SoftBio/cropped_images", "{pid:03d}/{pid:04d}-001-{cam}-{n}.jpeg"),
    "SenseReID": sense,
    "Shinpuhkan": simple("shinpuhkan", "{pid:03d}/{pid:03d}_01_{cam:02d}_{n}.jpg"),
    "SYSU_mm": sysu_mm,
    "Thermalworld": simple("thermalworld_rgb", "{pid}/{cam}{n}.jpg"),
    "VIPeR": viper,
    "WildTrackCrop": simple("Wildtrack_crop_dataset/crop", "{pid:03d}/{cam}_{n}.png"),
}
TRAIN_ONLY = sorted(set(LAYOUTS) - {"Market1501", "DukeMTMC", "MSMT17", "CUHK03", "VeRi"})
TRAIN_ONLY = [name for name in TRAIN_ONLY if "VehicleID" not in name and "VeRiWild" not in name]
