"""The command line: a file a group of verbs, and the text they print. Heavy imports stay inside the verbs."""

from corpuskit.cli.parser import main

__all__ = ["main"]
