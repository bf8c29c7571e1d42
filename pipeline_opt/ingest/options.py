"""tf.data's options of a serialized dataset, as a stage."""

from __future__ import annotations

import functools
from typing import Any

from pipeline_opt.build.settings import leaves, plain
from pipeline_opt.ingest.sites import Site
from pipeline_opt.lazy import lazy_module
from pipeline_opt.stages import OPTION_PATHS, Options, Stage

tf = lazy_module("tensorflow")
messages = lazy_module("tensorflow.core.framework.dataset_options_pb2")


def options_stage(site: Site) -> Stage:
    """What the options say, in the words of the stage; those it has no word for by their path in `tf.data.Options`."""
    options = tf.data.Options()
    options._from_proto(messages.Options.FromString(site.node.attr["serialized_options"].s))
    usual = tf.data.Options()
    told = {
        path: value
        for path, value in leaves(options)
        if value != plain(functools.reduce(getattr, path.split("."), usual))
    }
    arguments: dict[str, Any] = {name: told.pop(path) for name, path in OPTION_PATHS.items() if path in told}
    return Options(**arguments, others=tuple(sorted(told.items())))
