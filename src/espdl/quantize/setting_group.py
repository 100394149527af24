"""What groups of settings have in common: names that do not exist are refused, and nested values are assigned by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from espdl.errors import EspdlError
from espdl.quantize.platform import TargetPlatform
from espdl.wording import nearest

NONE = "None"
"""What recipes write for None, which TOML does not have."""


@dataclass
class SettingGroup:
    """A group of settings. Assigning a name that it does not have raises :class:`EspdlError` with the nearest one.

    Attributes:
        names_of_all: of the settings beside the groups, for whoever looks for one of them in a group.
    """

    names_of_all: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        names = [f.name for f in fields(self)]
        if name not in names:
            raise EspdlError(
                f"there is no setting {name!r} in {type(self).__name__}",
                hint=self._outside(name) or nearest(name, names) or "one of " + ", ".join(names),
            )
        object.__setattr__(self, name, value)

    def _outside(self, name: str) -> str:
        """Where a name of the whole setting was given to a group of it."""
        return f"it belongs to the setting itself: setting.{name}" if name in self.names_of_all else ""

    def update(self, values: Mapping[str, Any], path: str = "") -> None:
        """Assigns nested values by name, as read from a recipe file, where :data:`NONE` stands for None in a setting that may be None.

        Raises:
            EspdlError: for a name or type that does not fit.
        """
        annotations = {f.name: str(f.type) for f in fields(self)}
        for name, value in values.items():
            current = getattr(self, name, None)
            if isinstance(current, SettingGroup):
                if not isinstance(value, Mapping):
                    raise EspdlError(f"setting {path}{name} is a group of settings, given is {value!r}")
                current.update(value, f"{path}{name}.")
            elif isinstance(current, DispatchingTable):
                raise EspdlError(f"setting {path}{name} cannot be assigned", hint="use dispatching_table.append(name, platform)")
            else:
                if isinstance(current, bool) and not isinstance(value, bool):
                    raise EspdlError(f"setting {path}{name} is true or false, given is {value!r}")
                may_be_none = annotations.get(name, "").endswith("| None")
                setattr(self, name, None if may_be_none and value == NONE else value)


class DispatchingTable:
    """Which operators run elsewhere than the rest: at another bit width, or in float."""

    def __init__(self) -> None:
        self.platforms: dict[str, TargetPlatform] = {}

    def append(self, operation: str, platform: TargetPlatform) -> None:
        """Sends the node named ``operation`` to ``platform``, which :func:`espdl.api.get_target_platform` gives."""
        if not isinstance(platform, TargetPlatform):
            raise EspdlError(f"{platform!r} is not a platform", where=operation, hint="use get_target_platform(target, bits)")
        self.platforms[operation] = platform

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DispatchingTable) and self.platforms == other.platforms
