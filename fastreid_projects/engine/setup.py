"""The preparation of a run: device, output folder, log, seed and checks."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import sys
from typing import Any

from fastreid.engine import default_setup
from fastreid.utils import comm
from fastreid.utils.logger import setup_logger

from fastreid_projects.config.ready import ready
from fastreid_projects.engine.brief_log import describe_run, shorten
from fastreid_projects.errors import ConfigError
from fastreid_projects.files import remove_unfinished


def setup_run(cfg: Any, args: argparse.Namespace) -> Any:
    """Check the config, settle its device, open the log in OUTPUT_DIR and seed every generator.

    The log is short; ``--debug`` adds what FastReID logs besides: the whole config, the model and all versions.

    Returns:
        The frozen config.

    Raises:
        ConfigError: keys contradict each other or name something that does not exist, or OUTPUT_DIR is not writable.
    """
    cfg = ready(cfg)
    check_output_dir(cfg.OUTPUT_DIR)
    cfg.freeze()
    close_log()
    if comm.is_main_process():
        remove_unfinished(cfg.OUTPUT_DIR)
    logger = setup_logger(
        cfg.OUTPUT_DIR, distributed_rank=comm.get_rank()
    )  # default_setup then gets the same logger
    for handler in logger.handlers:
        handler.handleError = functools.partial(_log_is_full, handler)
    if not getattr(args, "debug", False):
        shorten(logger)
    logger.info(describe_run(cfg, getattr(args, "config_file", "")))
    default_setup(cfg, args)
    return cfg


def check_output_dir(path: str) -> None:
    """Create OUTPUT_DIR.

    Raises:
        ConfigError: it cannot be created or written to.
    """
    if not path:
        raise ConfigError("OUTPUT_DIR is empty; name the folder for the files of the run")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"OUTPUT_DIR {path} cannot be created: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"OUTPUT_DIR {path} cannot be written to")


def _log_is_full(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Continue without a log that cannot be written; otherwise Python would print a traceback for each line."""
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        logging.Handler.handleError(handler, record)
        return
    logging.getLogger("fastreid").removeHandler(handler)
    print(f"warning: the log cannot be written any longer: {error.strerror or error}", file=sys.stderr)


def close_log() -> None:
    """Close the log of an earlier run in this process; otherwise the host would continue to write to it."""
    host_logger = logging.getLogger("fastreid")
    for handler in list(host_logger.handlers):
        host_logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # the rest of the log may not be writable
            handler.close()
    setup_logger.cache_clear()
