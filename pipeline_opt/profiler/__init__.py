"""Run a plan and measure it."""
