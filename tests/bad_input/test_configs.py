"""Configs with mistakes: each is one sentence that names the key or the file, and the way out."""

import pytest

# (KEY VALUE ..., what the sentence has to say)
COMMAND_LINE = [
    ("SOLVER.BASE_LRR 0.1", "SOLVER.BASE_LRR did SOLVER.BASE_LR?"),
    ("MODEL.BACKBNE.DEPTH 50x", "MODEL.BACKBONE.DEPTH?"),
    ("SOLVER.MAX_ITER 100", "SOLVER.MAX_ITER SOLVER.MAX_EPOCH"),
    ("solver.base_lr 0.1", "solver.base_lr SOLVER.BASE_LR"),
    ("SOLVER.BASE_LR", "SOLVER.BASE_LR no value"),
    ("SOLVER.BASE_LR=0.1", "SOLVER.BASE_LR=0.1 without ="),
    ("SOLVER 3", "SOLVER group"),
    ("SOLVER.BASE_LR fast", "SOLVER.BASE_LR number fast"),
    ("SOLVER.BASE_LR 0", "SOLVER.BASE_LR above"),
    ("SOLVER.BASE_LR -1.0", "SOLVER.BASE_LR above"),
    ("SOLVER.BASE_LR nan", "SOLVER.BASE_LR nan"),
    ("SOLVER.BASE_LR inf", "SOLVER.BASE_LR inf"),
    ("SOLVER.MAX_EPOCH many", "SOLVER.MAX_EPOCH int"),
    ("SOLVER.MAX_EPOCH 1.5", "SOLVER.MAX_EPOCH int 1.5"),
    ("SOLVER.MAX_EPOCH 0", "SOLVER.MAX_EPOCH at least 1"),
    ("SOLVER.MAX_EPOCH -3", "SOLVER.MAX_EPOCH at least 1"),
    ("SOLVER.IMS_PER_BATCH 0", "SOLVER.IMS_PER_BATCH at least 1"),
    ("SOLVER.IMS_PER_BATCH 10", "SOLVER.IMS_PER_BATCH 10 DATALOADER.NUM_INSTANCE"),
    ("SOLVER.IMS_PER_BATCH 64", "SOLVER.IMS_PER_BATCH 64"),
    ("DATALOADER.NUM_INSTANCE 0", "DATALOADER.NUM_INSTANCE at least 1"),
    ("DATALOADER.NUM_INSTANCE 1", "DATALOADER.NUM_INSTANCE"),
    ("DATALOADER.NUM_WORKERS -1", "DATALOADER.NUM_WORKERS at least 0"),
    ("DATALOADER.NUM_WORKERS 100000", "DATALOADER.NUM_WORKERS at least 0 and at most 256"),
    ("DATALOADER.SAMPLER_TRAIN RandomSampler", "DATALOADER.SAMPLER_TRAIN RandomSampler NaiveIdentitySampler"),
    ("DATALOADER.SET_WEIGHT [2]", "DATALOADER.SET_WEIGHT [2] SetReWeightSampler NaiveIdentitySampler"),
    (
        "DATALOADER.SAMPLER_TRAIN SetReWeightSampler DATALOADER.SET_WEIGHT [2,1]",
        "DATALOADER.SET_WEIGHT 1 Market1501",
    ),
    (
        "DATALOADER.SAMPLER_TRAIN SetReWeightSampler DATALOADER.SET_WEIGHT [0]",
        "DATALOADER.SET_WEIGHT [0] above 0",
    ),
    (
        "DATALOADER.SAMPLER_TRAIN SetReWeightSampler DATALOADER.SET_WEIGHT [3]",
        "DATALOADER.SET_WEIGHT [3] multiple of 3",
    ),
    (
        "INPUT.CROP.ENABLED True INPUT.CROP.SIZE [48] INPUT.PADDING.ENABLED True INPUT.PADDING.SIZE 4"
        " INPUT.SIZE_TRAIN [64,64]",
        "INPUT.CROP.SIZE [48] INPUT.PADDING.SIZE 4 [56, 56] INPUT.SIZE_TRAIN [64, 64]",
    ),
    ("SOLVER.OPT Adm", "SOLVER.OPT Adm Adam"),
    ("SOLVER.SCHED StepLR", "SOLVER.SCHED StepLR MultiStepLR"),
    ("SOLVER.STEPS 40", "SOLVER.STEPS list [40]"),
    ("SOLVER.STEPS ['a']", "SOLVER.STEPS a"),
    ("SOLVER.GAMMA 0", "SOLVER.GAMMA"),
    ("SOLVER.MOMENTUM -1", "SOLVER.MOMENTUM"),
    ("SOLVER.WEIGHT_DECAY -1", "SOLVER.WEIGHT_DECAY"),
    ("SOLVER.WARMUP_ITERS -1", "SOLVER.WARMUP_ITERS at least 0"),
    ("SOLVER.WARMUP_METHOD slow", "SOLVER.WARMUP_METHOD slow linear"),
    ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE full", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE norm"),
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE 0", "SOLVER.CLIP_GRADIENTS.NORM_TYPE above 0"),
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE -1", "SOLVER.CLIP_GRADIENTS.NORM_TYPE above 0"),
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE nan", "SOLVER.CLIP_GRADIENTS.NORM_TYPE above 0"),
    ("SOLVER.CHECKPOINT_PERIOD -1", "SOLVER.CHECKPOINT_PERIOD"),
    ("TEST.EVAL_PERIOD -1", "TEST.EVAL_PERIOD"),
    ("TEST.IMS_PER_BATCH 0", "TEST.IMS_PER_BATCH"),
    ("TEST.METRIC manhattan", "TEST.METRIC manhattan euclidean"),
    ("TEST.RERANK.ENABLED yes", "TEST.RERANK.ENABLED bool yes True"),
    ("TEST.RERANK.ENABLED True TEST.RERANK.K1 0", "TEST.RERANK.K1"),
    ("TEST.RERANK.ENABLED True TEST.RERANK.LAMBDA 2.0", "TEST.RERANK.LAMBDA"),
    ("TEST.AQE.ENABLED True TEST.AQE.QE_K 0", "TEST.AQE.QE_K"),
    ("TEST.AQE.ENABLED True TEST.AQE.QE_TIME 0", "TEST.AQE.QE_TIME"),
    ("INPUT.SIZE_TRAIN 64", "INPUT.SIZE_TRAIN list 64"),
    ("INPUT.SIZE_TRAIN [64,32,3]", "INPUT.SIZE_TRAIN height"),
    ("INPUT.SIZE_TRAIN [0] INPUT.PADDING.ENABLED True", "INPUT.SIZE_TRAIN INPUT.PADDING.ENABLED height"),
    ("INPUT.SIZE_TRAIN [64] INPUT.PADDING.ENABLED True", "INPUT.SIZE_TRAIN INPUT.PADDING.ENABLED height"),
    ("INPUT.SIZE_TRAIN ['a','b']", "INPUT.SIZE_TRAIN integers a"),
    ("INPUT.SIZE_TRAIN [64.5,32]", "INPUT.SIZE_TRAIN integers 64.5"),
    ("INPUT.SIZE_TEST [-64,32]", "INPUT.SIZE_TEST"),
    ("INPUT.SIZE_TEST [64,0]", "INPUT.SIZE_TEST"),
    ("INPUT.SIZE_TEST [100000,100000]", "INPUT.SIZE_TEST [100000, 100000] at most 4096"),
    ("INPUT.SIZE_TRAIN [32,5000]", "INPUT.SIZE_TRAIN [32, 5000] at most 4096"),
    ("INPUT.FLIP.PROB 2.0", "INPUT.FLIP.PROB"),
    ("INPUT.REA.ENABLED True INPUT.REA.PROB -1", "INPUT.REA.PROB"),
    ("INPUT.REA.ENABLED True INPUT.REA.VALUE [1,2]", "INPUT.REA.VALUE"),
    ("INPUT.CROP.ENABLED True INPUT.CROP.SCALE [2,1]", "INPUT.CROP.SCALE"),
    ("INPUT.PADDING.ENABLED True INPUT.PADDING.MODE mirror", "INPUT.PADDING.MODE mirror reflect"),
    ("INPUT.PADDING.ENABLED True INPUT.PADDING.SIZE -1", "INPUT.PADDING.SIZE"),
    ("INPUT.CJ.ENABLED True INPUT.CJ.HUE 2.0", "INPUT.CJ.HUE"),
    ("MODEL.DEVICE gpu", "MODEL.DEVICE gpu cpu"),
    ("MODEL.DEVICE cuda:x", "MODEL.DEVICE cuda:x"),
    ("MODEL.DEVICE mps", "MODEL.DEVICE mps cpu"),
    ("MODEL.DEVICE meta", "MODEL.DEVICE meta cpu"),
    ("MODEL.DEVICE xla", "MODEL.DEVICE xla cpu"),
    ("MODEL.META_ARCHITECTURE Basline", "MODEL.META_ARCHITECTURE Basline Baseline"),
    ("MODEL.BACKBONE.NAME resnet50", "MODEL.BACKBONE.NAME resnet50 build_resnet_backbone"),
    ("MODEL.BACKBONE.NAME build_resnet_backbone MODEL.BACKBONE.DEPTH 50", "MODEL.BACKBONE.DEPTH 50 50x"),
    ("MODEL.BACKBONE.NAME build_regnet_backbone", "build_regnet_backbone"),
    ("MODEL.BACKBONE.FEAT_DIM 32", "MODEL.BACKBONE.FEAT_DIM 32 16"),
    ("MODEL.BACKBONE.FEAT_DIM 0", "MODEL.BACKBONE.FEAT_DIM"),
    ("MODEL.BACKBONE.NORM BatchNorm", "MODEL.BACKBONE.NORM BatchNorm BN"),
    ("MODEL.HEADS.NAME EmbedingHead", "MODEL.HEADS.NAME EmbedingHead EmbeddingHead"),
    ("MODEL.HEADS.POOL_LAYER avgpool", "MODEL.HEADS.POOL_LAYER avgpool GlobalAvgPool"),
    ("MODEL.HEADS.POOL_LAYER Flatten", "Flatten MODEL.BACKBONE.FEAT_DIM 512"),
    ("MODEL.HEADS.CLS_LAYER linear", "MODEL.HEADS.CLS_LAYER linear Linear"),
    ("MODEL.HEADS.NECK_FEAT both", "MODEL.HEADS.NECK_FEAT both before"),
    ("MODEL.HEADS.NORM FrozenBN", "MODEL.HEADS.NORM FrozenBN"),
    ("MODEL.HEADS.EMBEDDING_DIM -1", "MODEL.HEADS.EMBEDDING_DIM"),
    ("MODEL.HEADS.SCALE 0", "MODEL.HEADS.SCALE above 0"),
    ("MODEL.HEADS.SCALE -3", "MODEL.HEADS.SCALE above 0"),
    ("MODEL.HEADS.MARGIN nan", "MODEL.HEADS.MARGIN nan"),
    ("MODEL.HEADS.NUM_CLASSES -1", "MODEL.HEADS.NUM_CLASSES"),
    ("MODEL.HEADS.NUM_CLASSES 2", "MODEL.HEADS.NUM_CLASSES 2 Market1501 4 identities"),
    ("MODEL.HEADS.NORM GN", "MODEL.HEADS.NORM GN 32 16 BN"),
    ("MODEL.BACKBONE.LAST_STRIDE 0", "MODEL.BACKBONE.LAST_STRIDE at least 1"),
    ("MODEL.LOSSES.NAME ('TripletLos',)", "MODEL.LOSSES.NAME TripletLos TripletLoss"),
    ("MODEL.LOSSES.NAME TripletLoss", "MODEL.LOSSES.NAME TripletLoss"),
    ("MODEL.LOSSES.NAME ()", "MODEL.LOSSES.NAME"),
    ("MODEL.LOSSES.NAME ('TripletLoss','TripletLoss')", "MODEL.LOSSES.NAME TripletLoss twice"),
    ("MODEL.LOSSES.TRI.MARGIN big", "MODEL.LOSSES.TRI.MARGIN number big"),
    ("MODEL.LOSSES.TRI.MARGIN inf", "MODEL.LOSSES.TRI.MARGIN inf"),
    ("MODEL.LOSSES.BATCH_HARD.MARGIN nan", "MODEL.LOSSES.BATCH_HARD.MARGIN nan"),
    ("MODEL.LOSSES.QUADRUPLET.MARGIN1 inf", "MODEL.LOSSES.QUADRUPLET.MARGIN1 inf"),
    ("MODEL.LOSSES.QUADRUPLET.MARGIN2 nan", "MODEL.LOSSES.QUADRUPLET.MARGIN2 nan"),
    ("MODEL.LOSSES.BCL.MARGIN -inf", "MODEL.LOSSES.BCL.MARGIN -inf"),
    ("MODEL.LOSSES.FIDI.BETA 1e300", "MODEL.LOSSES.FIDI.BETA at most 1000000"),
    ("MODEL.LOSSES.CIRCLE.SCALE -1", "MODEL.LOSSES.CIRCLE.SCALE at least 0"),
    (
        "MODEL.LOSSES.NAME ('SelfAttentionConstraint',) MODEL.LOSSES.SAC.LAYERS ('backbone','backbone')",
        "MODEL.LOSSES.SAC.LAYERS backbone twice",
    ),
    ("MODEL.LOSSES.CE.EPSILON 1.5", "MODEL.LOSSES.CE.EPSILON"),
    ("MODEL.LOSSES.NAME ('FIDILoss',) MODEL.LOSSES.FIDI.ALPHA 0.5", "MODEL.LOSSES.FIDI alpha"),
    ("MODEL.META_ARCHITECTURE MGN", "MGN build_resnet_backbone"),
    ("MODEL.META_ARCHITECTURE BDB MODEL.FIDI.BDB.GLOBAL_DIM 0", "MODEL.FIDI.BDB.GLOBAL_DIM at least 1"),
    ("MODEL.META_ARCHITECTURE BDB MODEL.FIDI.BDB.DROP_DIM 0", "MODEL.FIDI.BDB.DROP_DIM at least 1"),
    ("MODEL.META_ARCHITECTURE Distiller", "KD.MODEL_CONFIG empty teacher"),
    ("MODEL.META_ARCHITECTURE Distiller KD.MODEL_CONFIG ['a.yml']", "KD.MODEL_CONFIG KD.MODEL_WEIGHTS"),
    (
        "MODEL.META_ARCHITECTURE Distiller KD.MODEL_CONFIG ['a.yml'] KD.MODEL_WEIGHTS ['a.pth']",
        "KD.MODEL_CONFIG a.yml exist",
    ),
    ("TEST.PRECISE_BN.ENABLED True TEST.PRECISE_BN.NUM_ITER 0", "TEST.PRECISE_BN.NUM_ITER at least 1"),
    ("MODEL.META_ARCHITECTURE MoCo MODEL.QUEUE_SIZE 20", "MODEL.QUEUE_SIZE"),
    ("MODEL.PIXEL_MEAN [1.0]", "MODEL.PIXEL_MEAN"),
    ("MODEL.PIXEL_STD [0.0,1.0,1.0]", "MODEL.PIXEL_STD"),
    ("MODEL.FREEZE_LAYERS ['backbon'] SOLVER.FREEZE_ITERS 1", "MODEL.FREEZE_LAYERS backbon"),
    ("DATASETS.NAMES ()", "DATASETS.NAMES empty"),
    ("DATASETS.NAMES ('Markt1501',)", "DATASETS.NAMES Markt1501 Market1501"),
    ("DATASETS.NAMES Market1501", "DATASETS.NAMES ('Market1501',)"),
    ("DATASETS.TESTS ('Duke',)", "DATASETS.TESTS Duke"),
    ("DATASETS.NAMES ('Market1501','Market1501')", "DATASETS.NAMES Market1501 twice"),
    ("DATASETS.ID_FRACTION 0", "DATASETS.ID_FRACTION"),
    ("DATASETS.ID_FRACTION 1.5", "DATASETS.ID_FRACTION"),
    ("STAGES.first.SOLVER.MAX_EPOCH 3", "STAGES first"),
    ("STAGES [{'NAME':'a'},{'NAME':'a'}]", "STAGES a"),
    ("STAGES [3]", "STAGES 3"),
    ("STAGES [{'NAME':'a','SOLVR':{'MAX_EPOCH':1}}]", "STAGES a SOLVR.MAX_EPOCH SOLVER.MAX_EPOCH"),
    ("SEED one", "SEED int one"),
    ("SEED 4294967296", "SEED 4294967296 at most 4294967295"),
    ("SEED 99999999999999999999", "SEED at most 4294967295"),
    ("OUTPUT_DIR ''", "OUTPUT_DIR empty"),
    ("VERSION 0", "VERSION"),
    ("MODEL.META_ARCHITECTURE MPN", "MODEL.HEADS.NAME MPNHead"),
    (
        "MODEL.HEADS.NAME MPNHead",
        "MODEL.HEADS.NAME MPNHead MODEL.META_ARCHITECTURE MPN Baseline EmbeddingHead",
    ),
    (
        "MODEL.HEADS.NAME AttributeDecompositionHead",
        "MODEL.HEADS.NAME AttributeDecompositionHead AMD EmbeddingHead",
    ),
]


OLD_NAMES = [
    ("SOLVER.MAX_ITER 100", "SOLVER.MAX_ITER SOLVER.MAX_EPOCH"),
    ("SOLVER.FP16_ENABLED True", "SOLVER.FP16_ENABLED SOLVER.AMP.ENABLED"),
    ("INPUT.DO_FLIP True", "INPUT.DO_FLIP INPUT.FLIP.ENABLED"),
    ("INPUT.FLIP_PROB 0.5", "INPUT.FLIP_PROB INPUT.FLIP.PROB"),
    ("INPUT.PADDING 10", "INPUT.PADDING group"),
    ("MODEL.HEADS.REDUCTION_DIM 512", "MODEL.HEADS.REDUCTION_DIM MODEL.HEADS.EMBEDDING_DIM"),
    ("MODEL.HEADS.IN_FEAT 2048", "MODEL.HEADS.IN_FEAT MODEL.BACKBONE.FEAT_DIM"),
    ("MODEL.BACKBONE.NORM_SPLIT 1", "MODEL.BACKBONE.NORM_SPLIT leave"),
    ("DATALOADER.NAIVE_WAY True", "DATALOADER.NAIVE_WAY DATALOADER.SAMPLER_TRAIN"),
    ("MODEL.HEADS.NAME BNneckHead", "MODEL.HEADS.NAME BNneckHead EmbeddingHead"),
    ("MODEL.HEADS.POOL_LAYER gempool", "MODEL.HEADS.POOL_LAYER gempool GeneralizedMeanPooling"),
    ("MODEL.HEADS.CLS_LAYER arcSoftmax", "MODEL.HEADS.CLS_LAYER arcSoftmax ArcSoftmax"),
    ("SOLVER.SCHED WarmupMultiStepLR", "SOLVER.SCHED WarmupMultiStepLR MultiStepLR"),
    ("MODEL.BACKBONE.NAME build_resnet_backbone MODEL.BACKBONE.DEPTH 50", "MODEL.BACKBONE.DEPTH 50x"),
]
WITH_A_SPACE = [
    (["OUTPUT_DIR", ""], "OUTPUT_DIR empty"),
    (["MODEL.DEVICE", "my gpu"], "MODEL.DEVICE cuda"),
    (["INPUT.SIZE_TRAIN", "64 32"], "INPUT.SIZE_TRAIN list"),
    (["DATASETS.NAMES", "Market1501, DukeMTMC"], "DATASETS.NAMES tuple"),
    (["", "1"], "key"),
    (["OUTPUT_DIR", "\udcff"], "OUTPUT_DIR UTF-8"),
]
# (more of the tiny config, what the sentence has to say besides the file's name)
YAML = [
    ("SOLVR: {BASE_LR: 0.1}", "SOLVR.BASE_LR SOLVER.BASE_LR?"),
    ("SOLVER: {BASE_LRR: 0.1}", "SOLVER.BASE_LRR SOLVER.BASE_LR?"),
    ("SOLVER: {MAX_ITER: 100}", "SOLVER.MAX_ITER SOLVER.MAX_EPOCH"),
    ("SOLVER: 3", "SOLVER group"),
    ("SOLVER:", "SOLVER group"),
    ("SOLVER: [1, 2]", "SOLVER group"),
    ("SOLVER: {MAX_EPOCH: ten}", "SOLVER.MAX_EPOCH int ten"),
    ("SOLVER: {MAX_EPOCH: {A: 1}}", "SOLVER.MAX_EPOCH single value"),
    ("SOLVER: {MAX_EPOCH: }", "SOLVER.MAX_EPOCH int None"),
    ("SOLVER: {BASE_LR: 1e-4x}", "SOLVER.BASE_LR number"),
    ("MODEL: {BACKBONE: {DEPTH: [50]}}", "MODEL.BACKBONE.DEPTH str"),
    ("DATASETS: {NAMES: Market1501}", "DATASETS.NAMES ('Market1501',)"),
    ("DATASETS: {NAMES: [1]}", "DATASETS.NAMES texts 1"),
    ("1: 2", "1"),
    ("SOLVER: {1: 2}", "SOLVER.1"),
    ("STAGES: {NAME: a}", "STAGES list"),
    ("INPUT: {FLIP: {ENABLED: 1}}", "INPUT.FLIP.ENABLED bool"),
    ("_BASE_: other.yml", "_BASE_ twice line 2"),
    ("SOLVER: &a {STEPS: *a}", "YAML recursive line 2"),
    ("? [a, b]\n: 1", "YAML unhashable line 2"),
    ("SOLVER: {MAX_EPOCH: 1}\nSOLVER: {BASE_LR: 0.1}", "SOLVER twice line 3"),
]
# (the whole file, what the sentence has to say besides the file's name)
FILES = [
    ("", "empty"),
    ("# nothing but a comment\n", "empty"),
    ("just words", "mapping"),
    ("- a\n- b\n", "mapping"),
    ("a: b: c\n", "YAML line 1"),
    ("MODEL:\n\tDEVICE: cpu\n", "YAML line 2"),
    ("MODEL: {DEVICE: cpu\n", "YAML line"),
    (b"\xff\xfe\x00", "YAML"),
    ("<!DOCTYPE html><html></html>", "mapping"),
    ("_BASE_: wrong.yml\n", "_BASE_ circle"),
    ("_BASE_: missing.yml\n", "missing.yml _BASE_ exist"),
    ("_BASE_: 3\n", "_BASE_ path 3"),
    ("_BASE_: [tiny.yml, missing.yml]\n", "missing.yml _BASE_ exist"),
    ("_BASE_: [tiny.yml, tiny.yml]\n", "tiny.yml _BASE_ remove"),
    ("_BASE_: [tiny.yml, wrong.yml]\n", "_BASE_ circle"),
    ("_BASE_: [tiny.yml, [3]]\n", "_BASE_ path [3]"),
    ("_BASE_: {a: tiny.yml}\n", "_BASE_ path"),
    ("[" * 3000, "nested"),
    ("!!python/object/apply:os.system ['exit 3']\n", "YAML"),
]


def ids(cases):
    """Names of cases for pytest."""
    return [repr(case[0])[:70] for case in cases]


@pytest.mark.parametrize(("opts", "words"), COMMAND_LINE + OLD_NAMES, ids=ids(COMMAND_LINE + OLD_NAMES))
def test_a_mistake_in_a_key_or_value(bench, refused, opts, words):
    refused(bench.train(*opts.split(" ")), *words.split())


@pytest.mark.parametrize(("opts", "words"), WITH_A_SPACE, ids=ids(WITH_A_SPACE))
def test_a_mistake_in_a_value_of_several_words(bench, refused, opts, words):
    refused(bench.train(*opts), *words.split())


@pytest.mark.parametrize(("text", "words"), YAML, ids=ids(YAML))
def test_a_mistake_in_a_yaml_names_the_file(bench, refused, text, words):
    path = bench.yaml(text)
    refused(bench.train("--config-file", path), path.name, *words.split())


@pytest.mark.parametrize(("content", "words"), FILES, ids=ids(FILES))
def test_a_file_that_is_no_config(bench, refused, content, words):
    path = bench.write("wrong.yml", content)
    refused(bench.train("--config-file", path), path.name, *words.split())


def test_a_config_that_is_not_there_or_a_folder(bench, refused):
    refused(bench.train("--config-file", "nowhere.yml"), "nowhere.yml", "does not exist")
    refused(bench.train("--config-file", bench.folder), str(bench.folder), "folder")


def test_a_base_that_is_a_folder(bench, refused):
    path = bench.write("wrong.yml", "_BASE_: data\n")
    refused(bench.train("--config-file", path), "is a folder", "_BASE_", "wrong.yml")


def test_a_list_is_offered_for_what_is_none_alone(bench, refused):
    outcome = bench.train("INPUT.SIZE_TRAIN", "[nan,1]")
    refused(outcome, "INPUT.SIZE_TRAIN", "[nan,1]")
    assert "write" not in outcome.last


def test_a_circle_of_three_bases(bench, refused):
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        bench.write(f"{name}.yml", f"_BASE_: {base}.yml\n")
    refused(bench.train("--config-file", "a.yml"), "_BASE_", "circle")


def test_a_mistake_in_a_base_names_the_base(bench, refused):
    bench.write("base.yml", "SOLVER: {BASE_LRR: 0.1}\n")
    path = bench.write("above.yml", "_BASE_: base.yml\n")
    refused(bench.train("--config-file", path), "base.yml", "SOLVER.BASE_LRR", "SOLVER.BASE_LR?")


def test_amd_needs_a_target(bench, refused):
    bench.attributes()
    amd = ("MODEL.META_ARCHITECTURE", "AMD", "MODEL.LOSSES.NAME", "('MetricDistillationLoss',)")
    refused(bench.train(*amd), "MODEL.AMD.TARGET.CONFIG", "empty")
    refused(
        bench.train(*amd, "MODEL.AMD.TARGET.CONFIG", bench.config),
        "MODEL.AMD.TARGET.WEIGHTS",
        "train",
    )


def test_an_evaluation_needs_a_test_set_and_weights(bench, refused):
    refused(bench.evaluate("DATASETS.TESTS", "()"), "DATASETS.TESTS", "empty")
    refused(bench.evaluate("MODEL.WEIGHTS", ""), "--eval-only", "MODEL.WEIGHTS")


def test_an_output_folder_that_is_a_file(bench, refused):
    path = bench.write("taken", "")
    refused(bench.train("OUTPUT_DIR", path), "OUTPUT_DIR", str(path))
    refused(bench.train("OUTPUT_DIR", path / "below"), "OUTPUT_DIR", str(path))


def test_a_frozen_head_trains_on_when_it_is_opened(bench, worked):
    worked(bench.train("MODEL.FREEZE_LAYERS", "['backbone','heads']", "SOLVER.FREEZE_ITERS", "1"))


def test_the_tiny_config_itself_works(bench, worked):
    worked(bench.train("INPUT.SIZE_TRAIN", "(32, 16)", "SOLVER.BASE_LR", "1"))
    assert (bench.output / "model_final.pth").is_file()
    worked(bench.evaluate())
