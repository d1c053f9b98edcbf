"""Find a person's pictures in a gallery: as a page, as JSON and as a table."""

from __future__ import annotations

import argparse
from typing import Any

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments

TOP_K = 10


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(
        description=__doc__,
        epilog="Without --query and --gallery: the rank lists of the evaluation on the config's first test set.",
    )
    parser.add_argument("--query", default="", help="a picture, a folder, a table or a dataset")
    parser.add_argument(
        "--gallery", default="", help="the same; by default the gallery of the query's dataset"
    )
    parser.add_argument(
        "--top-k", type=int, help=f"pictures to find for each query (default: {TOP_K} or all)"
    )
    parser.add_argument("--queries", type=int, default=9, help="queries on the page: best, worst and random")
    parser.add_argument(
        "--index", default="", help="file in which to keep the features of the gallery; it is kept up to date"
    )
    parser.add_argument(
        "--index-type",
        choices=("flat", "ivfpq", "hnsw"),
        default="flat",
        help="exact; compressed, for very large galleries; or a graph, for single queries",
    )
    parser.add_argument(
        "--threshold",
        default="",
        help="file of 'fastreid-projects threshold', to decide which pictures show the same person",
    )
    parser.add_argument(
        "--output", default="logs/search", help="folder for search.html, search.json and search.csv"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random queries")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Index the gallery, search it, and write what was found."""
    from dataclasses import replace

    from fastreid_projects.engine.load_model import trained_config
    from fastreid_projects.errors import ConfigError
    from fastreid_projects.extractor import Extractor
    from fastreid_projects.retrieval.found_files import check_output, write_found
    from fastreid_projects.retrieval.matching import Matcher
    from fastreid_projects.retrieval.rank_lists import check_ranking

    check_output(args.output)
    if args.queries < 1:
        raise ConfigError(f"--queries is {args.queries}; it has to be at least 1")
    cfg = trained_config(args.config_file, args.weights, args.opts)
    check_ranking(cfg)
    query, gallery = _names(args.query, args.gallery, cfg)
    queries, pictures = _read(query, "query"), _read(gallery, "gallery")
    if cfg.TEST.SAME_CAMERA:  # no camera then counts as the query's
        queries = [replace(picture, camid=None) for picture in queries]
    extractor = Extractor.of(cfg)
    matcher = Matcher.load(args.threshold, extractor) if args.threshold else None
    index = _open(args, extractor, pictures)
    top_k = min(TOP_K, len(index)) if args.top_k is None else args.top_k
    found = index.rank(queries, top_k, progress=True)
    for line in write_found(found, args.output, index, matcher, args.queries, args.seed):
        print(line)


def _names(query: str, gallery: str, cfg: Any) -> tuple[str, str]:
    """Return the names of the query and the gallery."""
    import os

    from fastreid_projects.data.sources import is_own_dataset
    from fastreid_projects.errors import ConfigError

    if not query:
        if not cfg.DATASETS.TESTS:
            raise ConfigError(
                "--query is missing, and DATASETS.TESTS is empty: name a picture, a folder or a dataset"
            )
        query = cfg.DATASETS.TESTS[0]
    if not gallery and os.path.exists(query) and not is_own_dataset(query):
        raise ConfigError("--gallery is missing: name the folder, table or dataset to search")
    return query, gallery or query


def _read(source: str, part: str) -> Any:
    """Return the pictures that a name stands for; a folder of own pictures is the dataset that it is."""
    import os

    from fastreid_projects.data.sources import is_own_dataset, read_dataset, read_source

    if os.path.isdir(source) and is_own_dataset(source):
        return read_dataset(os.path.abspath(source), part)[1]
    return read_source(source, part)


def _open(args: argparse.Namespace, extractor: Any, pictures: Any) -> Any:
    """Return the index of the gallery: loaded from its file and brought up to date, or built."""
    import os

    from fastreid_projects.errors import ConfigError
    from fastreid_projects.files import check_writable
    from fastreid_projects.retrieval.picture_index import PictureIndex

    if not args.index or not os.path.exists(args.index):
        if args.index:
            check_writable(args.index)
        index = PictureIndex.build(extractor, pictures, args.index_type, progress=True)
        if args.index:
            index.save(args.index)
        return index
    index = PictureIndex.load(args.index, extractor)
    if index.kind != args.index_type:
        raise ConfigError(
            f"the index {args.index} has the type {index.kind}: add --index-type {index.kind}, or name another file"
        )
    added, removed = index.follow(pictures, progress=True)
    if added or removed:
        index.save(args.index)
    print(f"{args.index}: {added} pictures added, {removed} removed")
    return index
