"""A plan as plain tf.data code that needs nothing of this package."""

from pipeline_opt.text.code.writer import to_python

__all__ = ["to_python"]
