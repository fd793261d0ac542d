"""What a person can put right: wrong arguments, files and options, told in one line."""

from __future__ import annotations


class InputError(ValueError):
    """The input of a study is wrong. The command line prints the message alone and exits with code 2."""
