"""What can be opened here, and what is there.

`listing` turns a source's paths into files, `formats` and `compression` tell what files hold, `tfrecord` finds damage,
`routes` says which client opens a scheme on this machine.
"""

from pipeline_opt.storage.bare import SOURCES
from pipeline_opt.storage.compression import detect_compression
from pipeline_opt.storage.formats import FORMATS, detect_format
from pipeline_opt.storage.listing import remembering, resolve
from pipeline_opt.storage.routes import schemes
from pipeline_opt.storage.uris import SchemeStatus

__all__ = [
    "FORMATS",
    "SOURCES",
    "SchemeStatus",
    "detect_compression",
    "detect_format",
    "remembering",
    "resolve",
    "schemes",
]
