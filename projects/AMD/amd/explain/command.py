"""The command ``explain``: search a gallery, explain the pairs that were found, and write the report."""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import UNKNOWN
from fastreid_projects.data.images import as_rgb
from fastreid_projects.data.sources import is_own_dataset
from fastreid_projects.engine.load_model import run_config
from fastreid_projects.engine.trainer import final_weights
from fastreid_projects.errors import ConfigError
from fastreid_projects.retrieval.rank_lists import (
    Found,
    by_chance,
    check_depth,
    check_ranking,
    choose_queries,
    rank_1,
)

from ..build import RUN_CONFIG
from ..command import TOP_K
from .average_attention import average_attention
from .average_contributions import average_contributions
from .calibration_file import calibrate
from .explainer import Explainer, build_explainer, explained_config
from .explanation import PairExplanation
from .files import Explanation, check_folder, write_explanation
from .measures import measure_tables
from .pairs import Pair, PairExplainer
from .rank_list import RankedImage, RankList
from .search import features_key, open_index, search
from .sources import Photo, read_source

_PLACES = {"OUTPUT_DIR", "MODEL.WEIGHTS"}


def explain(args: argparse.Namespace) -> Path:
    """Run the command; return the path of report.html."""
    for name in ("queries", "attributes", "top_k"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(args, name)}; it has to be at least 1")
    args.config_file = run_config(args.config_file)
    run, weights = _run(args)
    folder = Path(args.output or run / "explain")
    check_folder(folder)
    cfg = explained_config(args.config_file, weights, args.opts)
    query = args.query or cfg.DATASETS.TESTS[0]
    index_path = Path(args.index or run / "index" / f"{_slug(args.gallery or query)}.faiss")
    _check_index(index_path, folder)
    explainer = build_explainer(cfg, args.maps)
    queries = read_source(query, "query", explainer.attribute_set)
    if cfg.TEST.SAME_CAMERA:  # so that no gallery image counts as taken by the query's camera
        queries = [replace(photo, camid=None) for photo in queries]
    gallery = read_source(_gallery(args.gallery, query), "gallery", explainer.attribute_set)
    args.top_k = min(TOP_K, len(gallery)) if args.top_k is None else args.top_k
    check_depth(args.top_k, len(gallery))
    if args.average_maps:
        _check_averages(explainer, queries, query)
    started = time.perf_counter()
    explanation = Explanation(f"Why are two persons near or far? {Path(query).name}")
    explanation.data = {"config": args.config_file, "weights": weights, "query": query, "maps": args.maps}
    explanation.notes += _notes(queries, gallery)
    if isinstance(explainer, Explainer):
        shown = sorted({photo.people if photo.pid is not None else "" for photo in (*queries, *gallery)})
        calibrated = calibrate(explainer, cfg, args.config_file, [Path(weights).parent, run], shown)
        explanation.notes.append(calibrated.note)
        if calibrated.calibration is None:
            print(calibrated.note)
    if len(queries) == len(gallery) == 1:
        explanation.pairs = explainer.explain_pairs([_pair(queries[0], gallery[0])])
    else:
        check_ranking(cfg)
        index = open_index(explainer, gallery, index_path, args.index_type, features_key(cfg))
        found = search(explainer, queries, gallery, index, args.top_k)
        add_ranks(explanation, explainer, found, args, by_chance(queries, gallery))
    if args.average_maps and isinstance(explainer, Explainer):
        average = average_attention if args.maps == "attention" else average_contributions
        explanation.averages = average(explainer, queries)
    report = write_explanation(explanation, folder, args.attributes)
    pairs = len(explanation.all_pairs)
    print(
        f"{pairs} {'pair' if pairs == 1 else 'pairs'} explained in {time.perf_counter() - started:.1f} s: {report}"
    )
    return report


def _run(args: argparse.Namespace) -> tuple[Path, str]:
    """Return the run's folder and the interpreter's weights.

    The folder is OUTPUT_DIR, or the folder of the config if the run was moved or is used from another folder. For the
    config.yaml of a run it is always that config's folder, as OUTPUT_DIR may lead to another run from here.
    """
    cfg = load_config(args.config_file, args.opts)
    beside, name = os.path.split(args.config_file)
    if name == RUN_CONFIG and os.path.isfile(final_weights(beside)) and not _PLACES & set(args.opts):
        return Path(beside), args.weights or final_weights(beside)
    run = next((f for f in (cfg.OUTPUT_DIR, beside) if os.path.isfile(final_weights(f))), cfg.OUTPUT_DIR)
    weights = args.weights or cfg.MODEL.WEIGHTS or final_weights(run)
    return Path(cfg.OUTPUT_DIR if "OUTPUT_DIR" in args.opts else run), weights


def _check_averages(explainer: PairExplainer, queries: Sequence[Photo], query: str) -> None:
    """Check that mean maps can be made: the model has attributes, and the queries have labels."""
    if not len(explainer.attribute_set):
        raise ConfigError(
            "--average-maps shows attributes, which only an interpreter has: name the config of an AMD run, or "
            "leave out --average-maps"
        )
    if all(set(photo.attributes) == {UNKNOWN} for photo in queries):
        raise ConfigError(
            f"--average-maps needs labels, but no attribute of the queries {query} is known; name a dataset with "
            "attributes as --query, or leave out --average-maps"
        )


def _check_index(path: Path, folder: Path) -> None:
    if path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"the index {path} would be in the explanation's folder {folder}, which is replaced as a whole; name a "
            "file in another folder with --index"
        )


def _gallery(gallery: str, query: str) -> str:
    if not gallery and os.path.exists(query) and not is_own_dataset(query):
        raise ConfigError(
            "--gallery is missing: name an image, a folder or a dataset to compare the query with"
        )
    return gallery or query


def _notes(queries: Sequence[Photo], gallery: Sequence[Photo]) -> list[str]:
    """Return a note if query and gallery come from datasets whose identities are not comparable."""
    known = [{photo.people for photo in photos if photo.pid is not None} for photos in (queries, gallery)]
    if not all(known) or known[0] & known[1]:
        return []
    a, b = (", ".join(sorted(people)) for people in known)
    return [
        f"The identities in {a} and {b} are not comparable, so that no match is marked as right or wrong and there is "
        "no Rank-1."
    ]


def _slug(name: str) -> str:
    """Return a file name for the index of a gallery: its last folder's name, and a hash of the whole path."""
    return f"{Path(name).name}-{hashlib.sha256(str(Path(name).resolve()).encode()).hexdigest()[:8]}"


def _pair(query: Photo, photo: Photo, caption: str = "", *, wrong_match: bool = False) -> Pair:
    return Pair(
        query.path,
        photo.path,
        query.attributes,
        photo.attributes,
        photo.shows(query),
        caption,
        query.person,
        photo.person,
        wrong_match,
    )


def _pairs(entry: Found[Photo]) -> list[Pair]:
    """Return a query paired with each image found; other persons before the first right match are wrong matches."""
    right = entry.right
    wrong = [entry.possible and True not in right[: i + 1] for i in range(len(right))]
    return [
        _pair(entry.query, photo, f"Rank {rank}.", wrong_match=mark)
        for rank, (photo, mark) in enumerate(zip(entry.photos, wrong, strict=True), start=1)
    ]


def add_ranks(
    explanation: Explanation,
    explainer: PairExplainer,
    found: list[Found[Photo]],
    args: argparse.Namespace,
    chance: Mapping[str, float] | None = None,
) -> None:
    """Add chosen queries with all their pairs explained, and the rank lists of all queries as data.

    Args:
        explanation: the explanation to add to.
        explainer: explains the pairs.
        found: what was found for all queries.
        args: the command's arguments queries, seed and top_k.
        chance: the scores of a gallery in random order.
    """
    chosen = choose_queries(found, args.queries, args.seed)
    pairs = iter(explainer.explain_pairs([pair for entry, _ in chosen for pair in _pairs(entry)]))
    for entry, caption in chosen:
        own = [next(pairs) for _ in entry.photos]
        explanation.rank_lists.append(_rank_list(entry, caption, own, args.top_k))
    explanation.data["ranking"] = [
        {
            "query": entry.query.path,
            "counts": entry.possible,
            "ranked": [
                {"gallery": photo.path, "distance": d, "right": right}
                for photo, d, right in zip(entry.photos, entry.distances, entry.right, strict=True)
            ],
        }
        for entry in found
    ]
    score = rank_1(found)
    if score is not None:
        explanation.data["Rank-1"] = score
        explanation.metrics += measure_tables({"Rank-1": score}, chance)


def _rank_list(entry: Found[Photo], caption: str, pairs: list[PairExplanation], top_k: int) -> RankList:
    if len(pairs) < top_k:
        short = (
            f"Only {len(pairs)} of --top-k {top_k} images: those of the query's person by the query's camera are left "
            "out, and a compressed index may not find more."
        )
        caption = f"{caption} {short}".strip()
    ranked = [
        RankedImage(photo.path, pair.gallery_image, pair.distance, right, photo.person)
        for photo, pair, right in zip(entry.photos, pairs, entry.right, strict=True)
    ]
    image = pairs[0].query_image if pairs else np.asarray(as_rgb(entry.query.path))
    return RankList(entry.query.path, image, ranked, caption, pairs, entry.query.person)
