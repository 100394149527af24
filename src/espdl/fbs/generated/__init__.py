"""Code that FlatBuffers makes of ``schema.fbs``: ``flatc --python --gen-onefile``, with the lines that keep checkers away put first."""

from typing import Any

from espdl.fbs.generated import schema_generated

schema: Any = schema_generated
