"""A plan as text: to read, to compare, as TOML, as plain tf.data code."""

from pipeline_opt.text.diff import plan_diff
from pipeline_opt.text.explain import explain, plan_text
from pipeline_opt.text.fingerprint import fingerprint

__all__ = ["explain", "fingerprint", "plan_diff", "plan_text"]
