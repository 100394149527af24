"""Model files: reading, writing, containers, encryption and packing. Nothing else in the package touches their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espdl.dtypes import (
    MODEL_LOCATION_IN_FLASH_PARTITION,
    MODEL_LOCATION_IN_FLASH_RODATA,
    MODEL_LOCATION_IN_SDCARD,
    ModelLocation,
)
from espdl.fbs import records
from espdl.fbs.container import Container, Entry, ModelFormat, get_model_format, pack, read_container, wrap_model
from espdl.fbs.crypt import crypt
from espdl.fbs.files import open_mapped, write_atomically
from espdl.fbs.flash_image import FlashImage
from espdl.fbs.loader import FbsLoader
from espdl.fbs.model import FbsModel, ModelSize
from espdl.fbs.packing import (
    PackingTag,
    pack_filter,
    pack_matmul,
    packing_doc_string,
    packing_tag,
    parse_packing_tag,
    unpack_filter,
    unpack_matmul,
)
from espdl.fbs.reader import read_model
from espdl.fbs.text import info_pieces, info_text
from espdl.fbs.validate import validate_model

if TYPE_CHECKING:
    from espdl.fbs.writer import write_model

__all__ = [
    "MODEL_LOCATION_IN_FLASH_PARTITION",
    "MODEL_LOCATION_IN_FLASH_RODATA",
    "MODEL_LOCATION_IN_SDCARD",
    "Container",
    "Entry",
    "FbsLoader",
    "FbsModel",
    "FlashImage",
    "ModelFormat",
    "ModelLocation",
    "ModelSize",
    "PackingTag",
    "crypt",
    "get_model_format",
    "info_pieces",
    "info_text",
    "open_mapped",
    "pack",
    "pack_filter",
    "pack_matmul",
    "packing_doc_string",
    "packing_tag",
    "parse_packing_tag",
    "read_container",
    "read_model",
    "records",
    "unpack_filter",
    "unpack_matmul",
    "validate_model",
    "wrap_model",
    "write_atomically",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name != "write_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from espdl.fbs.writer import write_model  # the generated builder is needed by those who write only

    globals()[name] = write_model
    return write_model
