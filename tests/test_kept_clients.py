"""A client with threads of its own survives a fork of the process that uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hdfs import Hdfs

from pipeline_opt.access import Access
from pipeline_opt.storage.fsspec_files import opened_system
from pipeline_opt.storage.kept_clients import system_of


def test_a_process_that_has_read_hdfs_can_be_forked(hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hdfs.cluster.environ.items():
        monkeypatch.setenv(name, value)
    system, name = opened_system(hdfs.shard(0), Access(via="fsspec"))
    assert system.info(name)["size"] > 0
    # Without a function to run first, Python would not fork.
    done = subprocess.run([sys.executable, "-c", "print(1)"], preexec_fn=lambda: None, capture_output=True, timeout=20)
    assert done.stdout == b"1\n"


def test_other_file_systems_are_kept_by_fsspec() -> None:
    first, name = system_of("memory://kept/a", {})
    assert name == "/kept/a"
    assert system_of("memory://kept/b", {})[0] is first
