"""Coverage-guided fuzzing of the reader: containers, packages, encryption, FlatBuffers. ``python fuzz/fuzz_reader.py CORPUS``."""

from __future__ import annotations

import logging
import sys
import warnings

import atheris

with atheris.instrument_imports(include=["espdl"]):
    from harness import exercise_reader


def one_input(data: bytes) -> None:
    exercise_reader(data)


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
