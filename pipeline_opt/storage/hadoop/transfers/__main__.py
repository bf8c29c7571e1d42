"""The process of the server: `python -m pipeline_opt.storage.hadoop.transfers FD`, where FD is a socket to the parent."""

from __future__ import annotations

import signal
import socket
import sys

from pipeline_opt.storage.emulator.server import Control
from pipeline_opt.storage.hadoop.transfers.server import serve

if __name__ == "__main__":
    # Ctrl-C is for the parent, which ends this one in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as line:
        serve(Control(line))
