"""What can be opened here, and what is there.

`listing` turns a source's paths into files, `formats` and `compression` tell what files hold, `tfrecord` finds damage,
`uris` says which schemes open on this machine.
"""

from pipeline_opt.storage.bare import SOURCES
from pipeline_opt.storage.compression import detect_compression
from pipeline_opt.storage.formats import FORMATS, detect_format
from pipeline_opt.storage.listing import resolve
from pipeline_opt.storage.uris import SchemeStatus, schemes

__all__ = ["FORMATS", "SOURCES", "SchemeStatus", "detect_compression", "detect_format", "resolve", "schemes"]
