"""Every key of a config and its type; written by ``python -m fastreid_projects.config.stub``."""

from collections.abc import Sequence
from typing import Any, Self

class Node(dict[str, Any]):
    """A group of keys."""

    def clone(self) -> Self: ...
    def freeze(self) -> None: ...
    def defrost(self) -> None: ...
    def is_frozen(self) -> bool: ...
    def dump(self) -> str: ...
    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None: ...
    def merge_from_list(self, cfg_list: Sequence[Any]) -> None: ...
    def merge_from_other_cfg(self, cfg_other: Node) -> None: ...

class ModelBackbone(Node):
    NAME: str
    DEPTH: str
    LAST_STRIDE: int
    FEAT_DIM: int
    NORM: str
    WITH_IBN: bool
    WITH_SE: bool
    WITH_NL: bool
    SIE_COE: float
    STRIDE_SIZE: Sequence[Any]
    DROP_PATH_RATIO: float
    DROP_RATIO: float
    ATT_DROP_RATE: float
    PRETRAIN: bool
    PRETRAIN_PATH: str
    ACTIVATION_CHECKPOINTING: bool
    PADDED_STEM: bool
    ZERO_INIT_RESIDUAL: bool

class ModelHeads(Node):
    NAME: str
    NORM: str
    NUM_CLASSES: int
    EMBEDDING_DIM: int
    WITH_BNNECK: bool
    NECK_FEAT: str
    POOL_LAYER: str
    CLS_LAYER: str
    MARGIN: float
    SCALE: int

class ModelLossesCe(Node):
    EPSILON: float
    ALPHA: float
    SCALE: float

class ModelLossesFl(Node):
    ALPHA: float
    GAMMA: int
    SCALE: float

class ModelLossesTri(Node):
    MARGIN: float
    NORM_FEAT: bool
    HARD_MINING: bool
    SCALE: float

class ModelLossesCircle(Node):
    MARGIN: float
    GAMMA: int
    SCALE: float

class ModelLossesCosface(Node):
    MARGIN: float
    GAMMA: int
    SCALE: float

class ModelLossesBatchHard(Node):
    SCALE: float
    MARGIN: float
    METRIC: str
    SOFT_MARGIN: bool
    REDUCTION: str
    GATHER: bool

class ModelLossesFidi(Node):
    SCALE: float
    ALPHA: float
    BETA: float
    REDUCTION: str
    GATHER: bool

class ModelLossesBcl(Node):
    SCALE: float
    MARGIN: float
    SQUARED: bool
    GATHER: bool

class ModelLossesSac(Node):
    SCALE: float
    LAYERS: Sequence[Any]

class ModelLossesQuadruplet(Node):
    SCALE: float
    MARGIN1: float
    MARGIN2: float
    GATHER: bool

class ModelLosses(Node):
    NAME: Sequence[Any]
    CE: ModelLossesCe
    FL: ModelLossesFl
    TRI: ModelLossesTri
    CIRCLE: ModelLossesCircle
    COSFACE: ModelLossesCosface
    BATCH_HARD: ModelLossesBatchHard
    FIDI: ModelLossesFidi
    BCL: ModelLossesBcl
    SAC: ModelLossesSac
    QUADRUPLET: ModelLossesQuadruplet

class ModelAmdTarget(Node):
    CONFIG: str
    WEIGHTS: str

class ModelAmdTest(Node):
    CHUNK: int
    HALF: bool
    GAMMA: float
    COUNT_UNLABELLED: bool
    SPATIAL_MEAN: bool
    DELETION_PAIRS: int
    COUNTERFACTUALS: int

class ModelAmdReport(Node):
    PAIRS: int
    TOP_K: int

class ModelAmd(Node):
    ATTRIBUTES: str
    TARGET: ModelAmdTarget
    SHARED_STAGES: int
    PRETRAIN_PATH: str
    REDUCTION: int
    KAPPA: float
    TAU: float
    INIT_BIAS: float
    ATTENTION: str
    NECK_FEAT: str
    NORMALIZE: bool
    NU: float
    ALPHA: float
    BETA: float
    PRIOR_BY_PLACE: bool
    TEST: ModelAmdTest
    REPORT: ModelAmdReport

class ModelAirnet(Node):
    BRANCHES: Sequence[Any]
    CONTEXT_AFTER: Sequence[Any]

class ModelFidiBdb(Node):
    GLOBAL_DIM: int
    DROP_DIM: int
    HEIGHT_RATIO: float
    WIDTH_RATIO: float

class ModelFidi(Node):
    BDB: ModelFidiBdb

class ModelMpnPrior(Node):
    TYPE: str
    FOLDER: str
    STRICT: bool

class ModelMpnTranslation(Node):
    MODE: str
    FOLD: int
    LIMIT: float

class ModelMpn(Node):
    PARTS: int
    WIDTH: int
    TASKS: str
    SHARE_CONV1: str
    SHARE_CONV2: str
    SOFT_WEIGHT: float
    ALIGN: str
    LAMBDA: float
    ATTENTION: bool
    REDUCTION: int
    RGA: bool
    PRIOR: ModelMpnPrior
    IDE: str
    TRANSLATION: ModelMpnTranslation

class ModelSal(Node):
    DILATED: bool
    DILATION: Sequence[Any]
    KEEP_FIRST: bool
    LEVELS: Sequence[Any]
    SMALL_STEM: bool

class Model(Node):
    DEVICE: str
    META_ARCHITECTURE: str
    FREEZE_LAYERS: Sequence[Any]
    QUEUE_SIZE: int
    BACKBONE: ModelBackbone
    HEADS: ModelHeads
    LOSSES: ModelLosses
    WEIGHTS: str
    PIXEL_MEAN: Sequence[Any]
    PIXEL_STD: Sequence[Any]
    AMD: ModelAmd
    AIRNET: ModelAirnet
    FIDI: ModelFidi
    MPN: ModelMpn
    SAL: ModelSal

class KdEma(Node):
    ENABLED: bool
    MOMENTUM: float

class Kd(Node):
    MODEL_CONFIG: Sequence[Any]
    MODEL_WEIGHTS: Sequence[Any]
    EMA: KdEma

class InputCrop(Node):
    ENABLED: bool
    SIZE: Sequence[Any]
    SCALE: Sequence[Any]
    RATIO: Sequence[Any]

class InputFlip(Node):
    ENABLED: bool
    PROB: float

class InputPadding(Node):
    ENABLED: bool
    MODE: str
    SIZE: int

class InputCj(Node):
    ENABLED: bool
    PROB: float
    BRIGHTNESS: float
    CONTRAST: float
    SATURATION: float
    HUE: float

class InputAffine(Node):
    ENABLED: bool

class InputAutoaug(Node):
    ENABLED: bool
    PROB: float

class InputAugmix(Node):
    ENABLED: bool
    PROB: float

class InputRea(Node):
    ENABLED: bool
    PROB: float
    VALUE: Sequence[Any]

class InputRpt(Node):
    ENABLED: bool
    PROB: float

class Input(Node):
    SIZE_TRAIN: Sequence[Any]
    SIZE_TEST: Sequence[Any]
    CROP: InputCrop
    FLIP: InputFlip
    PADDING: InputPadding
    CJ: InputCj
    AFFINE: InputAffine
    AUTOAUG: InputAutoaug
    AUGMIX: InputAugmix
    REA: InputRea
    RPT: InputRpt

class Datasets(Node):
    NAMES: Sequence[Any]
    TESTS: Sequence[Any]
    COMBINEALL: bool
    ID_FRACTION: float
    ID_FRACTION_SEED: int
    SPLIT_SEED: int
    SPLIT_DRAWS: int

class Dataloader(Node):
    SAMPLER_TRAIN: str
    NUM_INSTANCE: int
    NUM_WORKERS: int
    SET_WEIGHT: Sequence[Any]

class SolverAmp(Node):
    ENABLED: bool
    DTYPE: str

class SolverClipGradients(Node):
    ENABLED: bool
    CLIP_TYPE: str
    CLIP_VALUE: float
    NORM_TYPE: float

class Solver(Node):
    AMP: SolverAmp
    OPT: str
    MAX_EPOCH: int
    BASE_LR: float
    HEADS_LR_FACTOR: float
    MOMENTUM: float
    NESTEROV: bool
    WEIGHT_DECAY: float
    WEIGHT_DECAY_NORM: float
    BIAS_LR_FACTOR: float
    WEIGHT_DECAY_BIAS: float
    SCHED: str
    DELAY_EPOCHS: int
    GAMMA: float
    STEPS: Sequence[Any]
    ETA_MIN_LR: float
    WARMUP_FACTOR: float
    WARMUP_ITERS: int
    WARMUP_METHOD: str
    FREEZE_ITERS: int
    CHECKPOINT_PERIOD: int
    IMS_PER_BATCH: int
    CLIP_GRADIENTS: SolverClipGradients
    WARMUP_EPOCHS: int
    KEEP_CHECKPOINTS: bool
    LAYER_DECAY: float

class TestRoc(Node):
    ENABLED: bool

class TestFlip(Node):
    ENABLED: bool

class TestAqe(Node):
    ENABLED: bool
    ALPHA: float
    QE_TIME: int
    QE_K: int
    FORMULA: str

class TestRerank(Node):
    ENABLED: bool
    K1: int
    K2: int
    LAMBDA: float
    FORMULA: str

class TestPreciseBn(Node):
    ENABLED: bool
    DATASET: str
    NUM_ITER: int

class TestFidelity(Node):
    ENABLED: bool
    TRAIN: bool

class Test(Node):
    EVAL_PERIOD: int
    IMS_PER_BATCH: int
    METRIC: str
    ROC: TestRoc
    FLIP: TestFlip
    AQE: TestAqe
    RERANK: TestRerank
    PRECISE_BN: TestPreciseBn
    FIDELITY: TestFidelity
    SAME_CAMERA: bool
    TIES: str
    AP: str

class Training(Node):
    ACCUMULATION: int
    EMA: float
    CHANNELS_LAST: bool
    FUSED: bool
    TF32: bool
    COMPILE: bool

class Config(Node):
    MODEL: Model
    KD: Kd
    INPUT: Input
    DATASETS: Datasets
    DATALOADER: Dataloader
    SOLVER: Solver
    TEST: Test
    OUTPUT_DIR: str
    CUDNN_BENCHMARK: bool
    SEED: int
    PLUGINS: Sequence[Any]
    STAGES: Sequence[Any]
    TRACKERS: Sequence[Any]
    TRAINING: Training
