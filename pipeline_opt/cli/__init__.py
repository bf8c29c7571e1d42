"""The command line: one file a verb; each parses, calls the library, prints, and sets the exit code."""
