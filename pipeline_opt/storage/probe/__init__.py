"""Measuring a storage through the client that a pipeline would use, and what follows for the pipeline's knobs.

`measure` has the probe itself, `phases` and `scaling` what it measures, `client` what it needs of a client; `advice` turns
the figures into settings by Little's law. Nothing here writes to the storage.
"""
