"""A Google Cloud Storage on this machine, served from a folder and shaped like the one that a pipeline will read.

TensorFlow's own GCS client has no setting for another server, but it follows `https_proxy` and `CURL_CA_BUNDLE`. So the
emulator is a proxy that answers for Google's two hosts itself, with a certificate of its own, in a process of its own.

`emulation` is what users hold, `process` starts and ends the server, `server` and `connection` serve, `api` is the part of
Google's API that clients use, `objects` and `tree` see a folder as a bucket, `pacing` and `conditions` hold answers back.
"""

from pipeline_opt.storage.emulator.emulation import Emulation
from pipeline_opt.storage.emulator.journal import Exchange, Waited

__all__ = ["Emulation", "Exchange", "Waited"]
