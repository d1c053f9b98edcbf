"""Images a second: what cannot be measured is said before a process starts."""

import pytest

from fastreid_projects.benchmarks.throughput import compare_processes
from fastreid_projects.errors import ConfigError


def test_images_without_one_size_are_one_sentence():
    with pytest.raises(ConfigError, match=r"INPUT.SIZE_TRAIN is \[128\].*\[height, width\]"):
        compare_processes(
            "configs/demo/bagtricks_r18_demo.yml", (1,), batch=4, steps=1, opts=["INPUT.SIZE_TRAIN", "[128]"]
        )
