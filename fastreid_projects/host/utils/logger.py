"""Patch of utils/logger.py: what this project logs reaches the handlers of the host's log."""

from __future__ import annotations

import logging

_PROJECT = logging.getLogger("fastreid_projects")
_HOST = logging.getLogger("fastreid")


class _ToHost(logging.Handler):
    """Hands records to the host's logger, as if one below it had made them."""

    def emit(self, record: logging.LogRecord) -> None:
        if _HOST.isEnabledFor(record.levelno):
            _HOST.handle(record)


def patch_logger() -> None:
    """Let loggers named after their modules here reach whatever the logger "fastreid" reaches.

    logger.py:38 gives handlers to the loggers below "fastreid" alone, to which ``fastreid_projects.x`` does not belong.
    """
    if not any(isinstance(handler, _ToHost) for handler in _PROJECT.handlers):
        _PROJECT.addHandler(_ToHost())
    _PROJECT.setLevel(logging.DEBUG)
    _PROJECT.propagate = False
