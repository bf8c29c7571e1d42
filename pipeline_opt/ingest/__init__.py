"""Any tf.data.Dataset as a plan: its stages are read from the dataset's own serialized graph."""

from pipeline_opt.ingest.plans import imported

__all__ = ["imported"]
