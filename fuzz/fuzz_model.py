"""Coverage-guided fuzzing of loading, planning and binding a network, with mutations that keep the file whole.

``python fuzz/fuzz_model.py CORPUS``.
"""

from __future__ import annotations

import logging
import sys
import warnings

import atheris

with atheris.instrument_imports(include=["espdl"]):
    from harness import exercise_model, mutate


def one_input(data: bytes) -> None:
    exercise_model(data)


def mutator(data: bytes, max_size: int, seed: int) -> bytes:
    return mutate(data, seed, lambda content: atheris.Mutate(content, max_size))[:max_size]


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one_input, custom_mutator=mutator)
    atheris.Fuzz()
