"""The log: messages of all modules of this project are in the run's log.txt."""

import ast
import logging

import pytest
from fastreid.utils.logger import setup_logger

from fastreid_projects.engine.setup import close_log
from tests.test_house import CORE, PAPERS, ROOT, sources

OTHERS = ("huggingface_hub",)  # of a library, which a file of ours silences


def module_name(path):
    for name, folder in PAPERS.items():
        if path.is_relative_to(folder):
            return ".".join(["fastreid_projects", name, *path.relative_to(folder).with_suffix("").parts])
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def loggers(path):
    """Names of the loggers that a file makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger"):
            name = node.args[0]
            if ast.unparse(name).strip("'") in OTHERS:
                continue
            yield module_name(path) if ast.unparse(name) == "__name__" else ast.literal_eval(name)


NAMES = sorted({name for path in sources(CORE, *PAPERS.values()) for name in loggers(path)})


@pytest.fixture
def log(tmp_path):
    close_log()
    setup_logger(str(tmp_path))
    yield tmp_path / "log.txt"
    close_log()


def test_every_logger_of_the_project_reaches_the_log(log):
    assert len(NAMES) > 20
    for name in NAMES:
        logging.getLogger(name).info("said by <%s>", name)
    text = log.read_text()
    assert [name for name in NAMES if text.count(f"said by <{name}>") != 1] == []


def test_without_a_log_only_warnings_are_shown(run_python):
    done = run_python(
        "import logging, fastreid.config; log = logging.getLogger('fastreid_projects.evaluation.roc'); "
        "log.info('quiet'); log.warning('loud')"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1:] == ["loud"]
    assert "quiet" not in done.stderr
