"""The command line: ``espdl VERB ...``. One thin file per verb, loaded only when the verb is used.

Exit codes: 0 success, 1 the thing failed, 2 wrong usage. ``ESPDL_DEBUG=1`` shows tracebacks. ``ESPDL_OPERATORS=FILE.py`` runs files that
define operators first.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Group, Parameter

from espdl.cli.operators import load_operators
from espdl.errors import EspdlError
from espdl.version import __version__

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130

SECTIONS = {
    "From a network to a file": {
        "check": "Say node by node whether a network can run on a chip.",
        "quantize": "Quantize an ONNX network to an .espdl file.",
        "analyse": "Find out where a file loses accuracy, and what to turn.",
        "ops": "Show which operators run, with their types and limits.",
    },
    "Run a file as the chip does": {
        "run": "Run an .espdl file on arrays, bit for bit as the chip would.",
        "test": "Run the test values embedded in .espdl files.",
        "stream-check": "Prove that a file for chunks gives the frames of the whole run.",
        "evaluate": "Measure the accuracy of a file on labelled data, beside the float network's.",
        "conformance": "Run all .espdl files with test values under a directory, as a matrix.",
    },
    "Pictures and sound": {
        "classify": "Say what pictures show, with the scores of the chip.",
        "detect": "Find things in pictures: boxes, and key points of faces.",
        "pose": "Find people and their key points in pictures.",
        "segment": "Find things and their outlines in pictures.",
        "recognize": "Enrol faces or persons in the chip's database, and ask it.",
        "ocr": "Read the text in pictures.",
        "features": "Compute speech features of a WAV file as the chip does.",
    },
    "Look before flashing": {
        "profile": "Show memory and latency of an .espdl file on a chip.",
        "budget": "Hold an .espdl file against limits on memory, latency and accuracy.",
        "lint": "Look for what goes wrong or slow on the chip.",
        "report": "Write one HTML page with everything about an .espdl file.",
        "inspect": "Show what is in an .espdl file and how to feed it.",
        "interop": "Check that ESP-DL can load .espdl files.",
    },
    "Why two differ": {
        "explain": "Say why two runs differ: the first node, the element, the rule.",
        "diff": "Show what differs between two .espdl files.",
    },
    "Onto the chip": {
        "project": "Write an ESP-IDF project that runs a model.",
        "flash-image": "Write models as the image of a flash partition.",
        "pack": "Pack several .espdl files into one.",
        "list": "Show which models a package holds.",
        "unpack": "Write the models of a package as files of their own.",
        "encrypt": "Encrypt the models of a file with AES-128.",
        "decrypt": "Decrypt the models of a file.",
    },
    "espdl itself": {
        "demo": "Quantize and run a trained network on real handwritten digits.",
        "doctor": "Show versions, kernels, and what is missing.",
        "skill": "Install the skill with which a coding agent adds operators.",
        "completion": "Print the script with which a shell completes verbs and options.",
    },
}
"""What ``espdl --help`` shows: by section, every verb with one line."""

VERBS = {name: text for verbs in SECTIONS.values() for name, text in verbs.items()}


def make_app(verb: str = "", *, every_verb: bool = False) -> App:
    """The command line with only ``verb`` loaded, or every one; of those that are not it knows the name and one line."""
    app = App(
        name="espdl",
        help="Quantize neural networks for ESP32 chips, run them on this PC bit for bit as the chip would, and see what they cost.",
        help_epilogue="" if verb in VERBS else "Every verb has its own help with an example: espdl quantize --help",
        version=__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative=""),
        group_commands=Group("Options", sort_key=len(SECTIONS)),
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
    )
    sections = [(Group(title, sort_key=place), verbs) for place, (title, verbs) in enumerate(SECTIONS.items())]
    groups = {name: group for group, verbs in sections for name in verbs}
    for position, (name, text) in enumerate(VERBS.items()):
        placed: dict[str, Any] = {"name": name, "group": groups[name], "sort_key": position}
        if every_verb or name == verb:
            app.command(importlib.import_module(f"espdl.cli.{name.replace('-', '_')}").command, **placed)
        else:
            app.command(lambda: None, help=text, **placed)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code.

    Args:
        arguments: without the program's name; those of the process when None.
    """
    debug = os.environ.get("ESPDL_DEBUG", "") not in ("", "0")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell has closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # it lives as long as the process
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = lambda message, *_: _say(f"note: {message}")
        return _run(sys.argv[1:] if arguments is None else arguments, debug)


def _run(arguments: Sequence[str], debug: bool) -> int:
    try:
        if os.environ.get("ESPDL_OPERATORS"):
            load_operators(os.environ["ESPDL_OPERATORS"])
        code = make_app(arguments[0] if arguments else "")(arguments) or SUCCESS
        sys.stdout.flush()  # so that a reader who has gone is noticed here
        return int(code)
    except CycloptsError as error:
        _say(f"{error}\nSee: espdl {_verb_of(arguments)}--help")
        return USAGE
    except EspdlError as error:
        if debug:
            raise
        _say(str(error))
        return FAILURE
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader of our output has gone: nobody is left to tell
        return FAILURE
    except OSError as error:
        if debug:
            raise
        _say(f"{error.filename or 'this machine'}: {error.strerror or error}")
        return FAILURE
    except Exception as error:
        if debug:
            raise
        _say(f"internal error: {type(error).__name__}: {error}\n  try: ESPDL_DEBUG=1 shows where; please report it")
        return FAILURE


def _verb_of(arguments: Sequence[str]) -> str:
    return f"{arguments[0]} " if arguments and arguments[0] in VERBS else ""


def _say(text: str) -> None:
    print(f"espdl: {text}", file=sys.stderr)
