"""Profile tf.data input pipelines: see why the accelerator waits, and what ends the wait.

    import pipeline_opt as po

    pipe = po.Pipeline.from_tfrecords("train-*.tfrecord").interleave().map(parse).shuffle(10_000).batch(256).prefetch()
    run = po.profile(pipe, consumer=po.Accelerator.preset("h100-resnet50"), seconds=20)
    run.plot_overlap()

Importing this does not import TensorFlow.
"""

from pipeline_opt.access import Access
from pipeline_opt.api import benchmark, lint, load, optimize, probe, profile, profiling
from pipeline_opt.errors import (
    CacheError,
    ConfigError,
    CorruptRecordError,
    EmptySourceError,
    FormatError,
    FunctionError,
    KnobError,
    MissingPathError,
    OrderError,
    OutputError,
    OutputExistsError,
    PipelineOptError,
    PlanError,
    PlanWarning,
    RunFileError,
    SchemeError,
    SourceError,
    StageError,
    UsageError,
)
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.run import Run
from pipeline_opt.stages import AUTO
from pipeline_opt.storage.emulations import emulate
from pipeline_opt.version import VERSION as __version__

__all__ = [
    "AUTO",
    "Accelerator",
    "Access",
    "CacheError",
    "ConfigError",
    "CorruptRecordError",
    "EmptySourceError",
    "FormatError",
    "FunctionError",
    "KnobError",
    "MissingPathError",
    "OrderError",
    "OutputError",
    "OutputExistsError",
    "Pipeline",
    "PipelineOptError",
    "PlanError",
    "PlanWarning",
    "Run",
    "RunFileError",
    "SchemeError",
    "SourceError",
    "StageError",
    "UsageError",
    "__version__",
    "benchmark",
    "emulate",
    "lint",
    "load",
    "optimize",
    "probe",
    "profile",
    "profiling",
]
