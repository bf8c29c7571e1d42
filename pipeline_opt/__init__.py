"""Profile and optimize tf.data input pipelines."""
