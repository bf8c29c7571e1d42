"""The bridge from fsspec to tf.data: a file is fetched in blocks, cut between records, and handed over in pieces.

`ranges` asks a client for bytes, `fetching` does so ahead of the reader, `budget` bounds what waits, `inflating` decompresses,
`cutting` finds where records end, `scratch` holds a piece where TensorFlow can open it, and `streams` puts them together. `ahead`
tells what was fetched while no reader waited.
"""

from pipeline_opt.storage.bridge.ahead import AheadSpan, Watch
from pipeline_opt.storage.bridge.streams import Bridge, HandedOver, handed_over

__all__ = ["AheadSpan", "Bridge", "HandedOver", "Watch", "handed_over"]
