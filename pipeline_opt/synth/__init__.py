"""Data sets made up for benchmarks: the same for the same seed, whole or not there at all."""

from pipeline_opt.synth.embedded import default_dataset
from pipeline_opt.synth.images import make_image_folder, make_jpeg_shards
from pipeline_opt.synth.tables import make_csv, make_tabular, make_text

__all__ = ["default_dataset", "make_csv", "make_image_folder", "make_jpeg_shards", "make_tabular", "make_text"]
