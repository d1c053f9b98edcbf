"""Patch of utils/logger.py: the handlers of the host's log also get what this project logs."""

from __future__ import annotations

import logging

_PROJECT = logging.getLogger("fastreid_projects")
_HOST = logging.getLogger("fastreid")


class _ToHost(logging.Handler):
    """Pass records on to the host's logger, as if a logger below it had created them."""

    def emit(self, record: logging.LogRecord) -> None:
        if _HOST.isEnabledFor(record.levelno):
            _HOST.handle(record)


def patch_logger() -> None:
    """Let loggers named after the modules of this project reach the handlers of the logger "fastreid".

    logger.py:38 gives handlers only to loggers below "fastreid", which ``fastreid_projects.x`` is not.
    """
    if not any(isinstance(handler, _ToHost) for handler in _PROJECT.handlers):
        _PROJECT.addHandler(_ToHost())
    _PROJECT.setLevel(logging.DEBUG)
    _PROJECT.propagate = False
