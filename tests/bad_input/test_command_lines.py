"""The tools' command lines."""

import json
import re

import pytest


def words_of(bench, line):
    """The words of a line, in which CONFIG, WEIGHTS, IMAGE and FOLDER stand for the bench's."""
    known = {"CONFIG": bench.config, "WEIGHTS": bench.weights, "IMAGE": bench.image("query")}
    known |= {
        "FOLDER": bench.market / "query",
        "EMPTY": bench.folder / "empty",
        "FILE": bench.folder / "file",
    }
    (bench.folder / "empty").mkdir()
    bench.write("file", "no image")
    pattern = rf"(?<![\w.])({'|'.join(known)})(?!\w)"
    return re.sub(pattern, lambda match: str(known[match[1]]), line).split()


MODEL = "--config-file CONFIG MODEL.WEIGHTS WEIGHTS"
# (tool, its arguments, what the sentence has to say)
CASES = [
    ("train_net", "--config CONFIG --nonsense", "--nonsense"),
    ("train_net", "--config-file CONFIG --num-gpus two", "--num-gpus two"),
    ("train_net", "--config-file CONFIG --num-gpus 100000", "--num-gpus 100000"),
    ("train_net", "--config-file CONFIG --seeds", "--seeds"),
    ("train_net", "--config-file CONFIG --seeds a", "--seeds"),
    ("train_net", "--config-file CONFIG --seeds 1 1", "--seeds once"),
    ("train_net", "CONFIG", "alone"),
    ("train_net", "train", "alone"),
    ("train_net", "--config-file FOLDER", "FOLDER folder name"),
    ("train_net", "--config-file CONFIG INPUT.SIZE_TRAIN 128x64", 'write "[128, 64]"'),
    ("train_net", "--config-file CONFIG INPUT.SIZE_TRAIN 128 64", 'write "[128, 64]"'),
    ("train_net", "--config-file CONFIG SOLVER.BASE_LRR 1 --show-config", "SOLVER.BASE_LR?"),
    ("train_net", "MODEL.WEIGHTS nowhere.pth --config-file CONFIG --eval-only", "MODEL.WEIGHTS nowhere.pth"),
    ("train_net", "--config-file CONFIG --eval-only", "--eval-only MODEL.WEIGHTS"),
    ("explain", "", "--config-file"),
    ("explain", "--config-file nowhere.yml", "nowhere.yml exist"),
    ("explain", "--config-file CONFIG --top-k 0", "--top-k 0"),
    ("explain", "--config-file CONFIG --top-k ten", "--top-k ten"),
    ("explain", "--config-file CONFIG --attributes 0", "--attributes 0"),
    ("explain", "--config-file CONFIG --index-type tree", "--index-type tree"),
    ("explain", "--config-file CONFIG --weights WEIGHTS --average-maps", "--average-maps AMD"),
    ("explain", "--config-file CONFIG --output FILE", "FILE file"),
    ("explain", "--config-file CONFIG --output FOLDER", "FOLDER --output"),
    (
        "explain",
        "--config-file CONFIG --weights WEIGHTS --query nowhere.jpg --gallery nowhere.jpg",
        "nowhere.jpg",
    ),
    ("attribute_statistics", "", "--dataset"),
    ("attribute_statistics", "--dataset MSMT17", "MSMT17 attributes Market1501"),
    ("export", "", "--config-file"),
    ("export", "--config-file nowhere.yml", "nowhere.yml exist"),
    ("export", "--config-file CONFIG", "MODEL.WEIGHTS"),
    ("export", "--config-file CONFIG MODEL.WEIGHTS nowhere.pth", "MODEL.WEIGHTS nowhere.pth"),
    ("export", "--config-file CONFIG MODEL.WEIGHTS FILE", "FILE"),
    ("export", f"{MODEL} INPUT.SIZE_TEST [0,0]", "INPUT.SIZE_TEST"),
    ("export", f"{MODEL} --output EMPTY", "EMPTY folder"),
    ("export", f"{MODEL} --output FILE/model.onnx", "FILE"),
    ("export", f"{MODEL} SOLVER.BASE_LRR 1", "SOLVER.BASE_LR?"),
    ("gradcam", "", "--config-file"),
    ("gradcam", "--config-file CONFIG", "--images"),
    ("gradcam", "--config-file CONFIG --images IMAGE", "MODEL.WEIGHTS"),
    ("gradcam", f"{MODEL} --images nowhere.jpg", "nowhere.jpg exist"),
    ("gradcam", f"{MODEL} --images FILE", "FILE cannot be read"),
    ("gradcam", f"{MODEL} --images FOLDER", "FOLDER folder"),
    ("gradcam", f"{MODEL} --images IMAGE --pair", "two images"),
    ("gradcam", f"{MODEL} --images IMAGE --layer backbone.9", "backbone.9"),
    ("gradcam", f"{MODEL} --images IMAGE --layer heads", "heads"),
    ("gradcam", f"{MODEL} --images IMAGE --output FILE", "FILE"),
    ("gradcam", f"{MODEL} --images IMAGE --branches --output FILE", "FILE"),
    ("gradcam", f"{MODEL} --images IMAGE --branches --beside a nowhere.yml WEIGHTS", "nowhere.yml exist"),
    ("gradcam", f"{MODEL} --images IMAGE --beside a CONFIG WEIGHTS", "--beside --branches"),
    ("gradcam", f"{MODEL} --images IMAGE --branches --pair", "--pair --branches"),
    ("make_part_priors", "", "drawn"),
    ("make_part_priors", "openpose --images FOLDER", "openpose drawn"),
    ("make_part_priors", "drawn", "--dataset --images"),
    ("make_part_priors", "drawn --dataset DemoRaid", "DemoRaid DemoReID"),
    ("make_part_priors", "drawn --dataset Market1501 --splits all", "all train"),
    ("make_part_priors", "drawn --images EMPTY", "EMPTY image"),
    ("make_part_priors", "drawn --images nowhere", "nowhere exist"),
    ("make_part_priors", "drawn --images FILE", "FILE folder"),
    ("make_part_priors", "drawn --images FOLDER --overwrite", "demo set"),
    ("make_part_priors", "drawn --images FOLDER --workers 0", "--workers 0"),
    ("make_part_priors", "drawn --images FOLDER --workers few", "--workers few"),
    ("make_part_priors", "blazepose --images FOLDER --overwrite", "--model"),
    ("part_maps", "", "--config-file"),
    ("part_maps", "--config-file CONFIG --dataset Market1501", "MODEL.WEIGHTS"),
    ("part_maps", f"{MODEL} --images EMPTY", "EMPTY image"),
    ("part_maps", f"{MODEL} --images nowhere", "nowhere exist"),
    ("part_maps", f"{MODEL} --dataset Markt1501", "Markt1501 Market1501"),
    ("part_maps", f"{MODEL} --dataset Market1501", "MPN"),
    ("part_maps", f"{MODEL} --dataset Market1501 --pictures -1", "--pictures -1"),
    ("part_maps", f"{MODEL} --dataset Market1501 --images FOLDER", "--images --dataset"),
    ("results_table", "", "runs"),
    ("results_table", "nowhere", "nowhere exist"),
    ("results_table", "FOLDER", "run.json exist"),
    ("results_table", "name=EMPTY", "run.json exist"),
    ("results_table", "FILE", "FILE record"),
    ("fidi_sweep", "--config-file nowhere.yml --alphas 2 --betas --output EMPTY", "nowhere.yml exist"),
    ("fidi_sweep", "--config-file CONFIG --alphas 2 --betas --output EMPTY", "FIDILoss"),
    ("fidi_sweep", "--alphas big", "--alphas big"),
    ("fidi_sweep", "--config-file CONFIG --alphas --betas --output EMPTY", "--alphas --betas"),
    ("fidi_sweep", "--output FILE", "FILE"),
    ("fidi_sweep", "--config-file CONFIG --alphas 2 --betas --output EMPTY --opts SEED", "SEED no value"),
    ("attention_maps", "", "--model"),
    ("attention_maps", "--model a CONFIG", "--model 3"),
    ("attention_maps", "--model a nowhere.yml WEIGHTS", "nowhere.yml exist"),
    ("attention_maps", "--model a CONFIG nowhere.pth", "nowhere.pth exist"),
    ("attention_maps", "--model a CONFIG WEIGHTS --images nowhere.jpg", "nowhere.jpg exist"),
    ("attention_maps", "--model a CONFIG WEIGHTS --count 0", "--count 0"),
    ("attention_maps", "--model a CONFIG WEIGHTS --output EMPTY", "EMPTY folder"),
    ("attention_maps", "--model a CONFIG WEIGHTS --output out/maps.xyz", "xyz"),
    ("attention_maps", "--model a CONFIG WEIGHTS --model a CONFIG WEIGHTS", "--model a two models"),
    ("benchmark", "--case speed", "--case speed"),
    ("benchmark", "--case ranking --quick --output EMPTY", "EMPTY folder"),
    ("benchmark", "--case ranking --quick --output FILE/b.json", "FILE folder"),
]


@pytest.mark.parametrize(
    ("tool", "line", "words"), CASES, ids=[f"{tool} {line}"[:80] for tool, line, _ in CASES]
)
def test_a_mistake_in_a_command_line(bench, refused, tool, line, words):
    before = set(bench.folder.rglob("*"))
    argv = words_of(bench, line)
    replaced = {"FILE": "file", "EMPTY": "empty", "FOLDER": "query"}
    refused(bench.tool(tool, *argv), *(replaced.get(word, word) for word in words.split()))
    left = {path.name for path in set(bench.folder.rglob("*")) - before if path.is_file()}
    assert not left - {
        "file",
        "config.yaml",
        "log.txt",
        "loss.csv",
        "loss.png",
        "gradient.csv",
        "gradient.png",
    }, left


RECORDS = {
    "words": ("no json", "run.json record"),
    "a list": ("[]", "run.json metrics"),
    "no metrics": ("{}", "run.json metrics"),
    "metrics of another kind": ('{"metrics": 3}', "run.json metrics"),
    "a metric that is not a number": (
        '{"metrics": {"mAP": "high"}, "seconds": 1, "commit": ""}',
        "run.json mAP",
    ),
    "no seconds": ('{"metrics": {"mAP": 3.0}, "commit": ""}', "run.json seconds"),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_table_of_broken_records(bench, refused, kind):
    content, words = RECORDS[kind]
    bench.write("out/run.json", content)
    outcome = bench.tool("results_table", "out")
    (bench.output / "run.json").unlink()
    refused(outcome, *words.split())


def test_a_table_of_a_metric_that_no_run_has(bench, refused):
    bench.write("out/run.json", json.dumps({"metrics": {"mAP": 3.0}, "seconds": 1, "commit": ""}))
    outcome = bench.tool("results_table", "out", "--metrics", "map")
    (bench.output / "run.json").unlink()
    refused(outcome, "map", "mAP")
