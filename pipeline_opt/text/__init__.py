"""A plan as text: to read, to compare, as TOML, as plain tf.data code."""

from pipeline_opt.text.code import to_python
from pipeline_opt.text.diff import plan_diff
from pipeline_opt.text.explain import explain, plan_text
from pipeline_opt.text.fingerprint import fingerprint
from pipeline_opt.text.toml import to_toml
from pipeline_opt.text.toml_reader import from_toml, load_path, loads

__all__ = [
    "explain",
    "fingerprint",
    "from_toml",
    "load_path",
    "loads",
    "plan_diff",
    "plan_text",
    "to_python",
    "to_toml",
]
