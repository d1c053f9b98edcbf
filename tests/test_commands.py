"""Options in any order."""

import pytest

from fastreid_projects.engine.arguments import argument_parser
from fastreid_projects.engine.main import main

PAIRS = ["SOLVER.MAX_EPOCH", "3", "SOLVER.BASE_LR", "-1"]


@pytest.mark.parametrize(
    "words",
    [
        ["--config-file", "x.yml", "--eval-only", "--num-gpus", "2", *PAIRS],
        [*PAIRS, "--config-file", "x.yml", "--eval-only", "--num-gpus", "2"],
        [*PAIRS[:2], "--config-file=x.yml", *PAIRS[2:], "--num-gpus=2", "--eval-only"],
        [*PAIRS[:2], "--eval", *PAIRS[2:], "--config", "x.yml", "--num-gpus", "2"],
    ],
)
def test_options_may_stand_before_and_behind_the_pairs(words):
    args = argument_parser().parse_args(words)
    assert (args.config_file, args.eval_only, args.num_gpus, args.opts) == ("x.yml", True, 2, PAIRS)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--show-config", *PAIRS], "changed"),
        ([*PAIRS, "--show-config"], "changed"),
        (["--show-config", "all", *PAIRS], "all"),
        ([*PAIRS, "--show-config", "all"], "all"),
        (["--show-config=all", *PAIRS], "all"),
        (PAIRS, None),
    ],
)
def test_an_option_with_a_choice_takes_no_pair(words, shown):
    args = argument_parser().parse_args(words)
    assert (args.show_config, args.opts) == (shown, PAIRS)


def test_an_unknown_option_behind_the_pairs_is_an_error(capsys):
    with pytest.raises(SystemExit):
        argument_parser().parse_args([*PAIRS, "--evalonly"])
    assert "--evalonly" in capsys.readouterr().err


def test_an_option_without_its_value_is_an_error(capsys):
    assert main([*PAIRS, "--config-file"]) == 2
    assert "'--config-file' stands alone" in capsys.readouterr().err
