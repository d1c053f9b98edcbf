"""The arguments of a run: FastReID's own, read without importing it."""

import pytest
from fastreid.engine import default_argument_parser

from fastreid_projects.engine.arguments import argument_parser

WHAT = ("option_strings", "nargs", "const", "default", "type", "choices", "required", "metavar")


def actions(parser):
    return {action.dest: {name: getattr(action, name) for name in WHAT} for action in parser._actions}


def test_they_are_the_hosts_and_three_of_our_own():
    own, host = actions(argument_parser()), actions(default_argument_parser())
    assert {name: own.get(name) for name in host} == host
    assert own.keys() - host.keys() == {"seeds", "show_config", "debug"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--config-file", "a.yml", "--resume", "--num-gpus", "2", "SEED", "1", "OUTPUT_DIR", "x"],
        ["--eval-only", "--num-machines", "2", "--machine-rank", "1", "--dist-url", "tcp://a:1"],
    ],
)
def test_they_are_read_as_the_host_does(words):
    own, host = vars(argument_parser().parse_args(words)), vars(default_argument_parser().parse_args(words))
    assert {name: own[name] for name in host} == host
