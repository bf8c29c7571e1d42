"""A real HDFS on this machine: Hadoop's packages, a NameNode and a DataNode, transfers shaped like a remote storage's."""

from pipeline_opt.storage.hadoop.cluster import Cluster
from pipeline_opt.storage.hadoop.emulation import HdfsEmulation

__all__ = ["Cluster", "HdfsEmulation"]
