"""Facts about a pipeline, candidates measured against each other, and the proof that their elements are the same."""
