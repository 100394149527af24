"""Text from files in HTML and SVG: names may hold anything, and pages stay what they are."""

from __future__ import annotations

import html
import json
import re
import unicodedata

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
"""What XML 1.0 does not take, and characters that turn the direction of what follows them."""


def plain(text: object) -> str:
    """``text`` without characters that XML does not take; each becomes U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", str(text))


def escape(text: object) -> str:
    """For the content of elements and for quoted attributes of HTML and XML."""
    return html.escape(plain(text))


def script_json(value: object) -> str:
    """JSON for a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shortened(text: str, columns: int) -> str:
    """The end of a long name, which tells more than its beginning; wide characters take two columns."""
    text = plain(text).replace("\n", " ")
    taken = 0
    for index in range(len(text) - 1, -1, -1):
        taken += 2 if unicodedata.east_asian_width(text[index]) in "WF" else 1
        if taken > columns - (1 if index else 0):
            return "…" + text[index + 1 :]
    return text
