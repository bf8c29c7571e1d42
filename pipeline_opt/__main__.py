"""`python -m pipeline_opt` is the command line."""

from pipeline_opt.cli.app import main

main()
