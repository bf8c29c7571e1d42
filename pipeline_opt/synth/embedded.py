"""The data set that a benchmark without a path runs on: made once for each user, then reused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pipeline_opt.storage.cached import cache_folder
from pipeline_opt.synth.folders import Progress, is_whole
from pipeline_opt.synth.images import make_jpeg_shards

_ARGUMENTS: Final[dict[str, Any]] = {"images": 2000, "shards": 16, "size": (500, 375), "seed": 0}
_NAME: Final = "jpeg-200mb"


def default_dataset(cache_dir: str | Path | None = None, progress: Progress | None = None) -> Path:
    """The folder of about 200 MB of JPEG shards, made now if it is not there whole.

    Args:
        cache_dir: Where data sets are kept; None for the user's cache folder.
        progress: Called with the pictures done and all, if they have to be made.

    Raises:
        OutputError: the folder cannot be written.
        OutputExistsError: something else stands in its place.
    """
    folder = (cache_folder() if cache_dir is None else Path(cache_dir)) / _NAME
    if not is_whole(folder, "jpeg_shards", _ARGUMENTS):
        make_jpeg_shards(folder, **_ARGUMENTS, progress=progress, force=True)
    return folder
