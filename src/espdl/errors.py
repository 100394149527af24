"""The one error type that users see."""

from __future__ import annotations


class EspdlError(Exception):
    """Something a user can act on failed.

    Raised deep in the code with what is known there; callers higher up complete it with :meth:`at` instead of wrapping it.

    Args:
        what: what failed, in one plain sentence without a full stop.
        where: the node, tensor, file or byte offset concerned.
        why: the reason.
        hint: what to try.
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def at(self, where: str) -> EspdlError:
        """Adds an outer place (a file around a node, say) and returns the error, ready to be raised again."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        if self.hint:
            text += f"\n  try: {self.hint}"
        return text
