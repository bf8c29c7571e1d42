"""What stands between clients and a DataNode and makes its transfers behave like a remote storage's.

`protocol` reads HDFS's data transfer protocol as far as needed to tell one read from the next, `relay` passes one
connection on, `server` is the process around them.
"""
