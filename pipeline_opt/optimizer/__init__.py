"""From a plan and what was measured of it to a faster plan of the same elements. No TensorFlow, no clock, no files."""
