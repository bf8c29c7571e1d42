"""The benchmark suite: workloads of real work, each in several variants, measured in turns."""
