"""Refuses training settings that cannot be followed. Needs no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from espdl.errors import EspdlError
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.trainings import TRAININGS

Rule = tuple[str, str, Callable[[Any], bool]]


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: Any, largest: float = math.inf) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= largest and value < math.inf


RULES: tuple[Rule, ...] = (
    ("steps", "a whole number from 1", lambda value: _whole(value, 1)),
    ("whole_steps", "a whole number from 0", lambda value: _whole(value, 0)),
    ("gain_steps", "a whole number from 0", lambda value: _whole(value, 0)),
    ("output_room", "a number from 0", _number),
    ("block_size", "a whole number from 0", lambda value: _whole(value, 0)),
    ("lr", "a number from 0", _number),
    ("gamma", "a number from 0", _number),
    ("int_lambda", "a number from 0 to 1", lambda value: _number(value, 1.0)),
    ("is_scale_trainable", "True or False", lambda value: isinstance(value, bool)),
    ("scale_lr", "a number from 0", _number),
    ("weight_reach", "a number from 0", _number),
    ("evidence", "a number from 0", _number),
    ("rounding_reach", "a number from 0", _number),
    ("firmness", "a number from 0 to 1", lambda value: _number(value, 1.0)),
    ("bias_reach", "a number from 0", _number),
    ("batch_size", "a whole number from 1", lambda value: _whole(value, 1)),
    ("holdout", "a number from 0 to 0.5", lambda value: _number(value, 0.5)),
    ("seed", "a whole number from 0", lambda value: _whole(value, 0)),
    ("patience", "a whole number from 0", lambda value: _whole(value, 0)),
    ("collecting_device", "'cpu', 'cuda' or 'executor'", lambda value: isinstance(value, str) and value != ""),
    (
        "interested_layers",
        "a list of names",
        lambda value: isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value),
    ),
)


def check_training(setting: QuantizationSetting) -> None:
    """Raises :class:`EspdlError` for the first value of any training that cannot be followed."""
    for training in TRAININGS:
        group = training.setting(setting)
        names = {field.name for field in fields(group)}
        for name, wanted, holds in RULES:
            if name in names and not holds(value := getattr(group, name)):
                raise EspdlError(f"{training.group}.{name} = {value!r} is not {wanted}")
