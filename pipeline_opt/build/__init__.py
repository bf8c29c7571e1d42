"""Plan to tf.data.Dataset: the only caller of tf.data's transformations."""
