"""``FbsLoader``: opens a file, a flash partition or bytes, and loads the models in it (guide 4.4.2, runtime spec 1.4, 6.1)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from espdl.dtypes import MODEL_LOCATION_IN_FLASH_RODATA, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs.container import Container, Entry, ModelFormat, read_container
from espdl.fbs.files import open_mapped
from espdl.fbs.flash_image import Flash, open_flash
from espdl.fbs.model import FbsModel

Source = bytes | bytearray | memoryview | str | Path
Key = bytes | Sequence[int]

_LOCATION_STRINGS = {
    ModelLocation.FLASH_RODATA: "MODEL LOCATION IN FLASH RODATA",
    ModelLocation.FLASH_PARTITION: "MODEL LOCATION IN FLASH PARTITION",
    ModelLocation.SDCARD: "MODEL LOCATION IN SDCARD",
}


class FbsLoader:
    """Where models come from.

    Args:
        rodata_address_or_partition_label_or_path: bytes of a model file (read-only data of a program), a path, or the label of a
            partition. None makes an empty loader.
        location: what the chip would read it from. It decides which memory parameters count against and whether they are copied; a
            path is accepted with every location.
        partitions: content of each partition by label, as bytes or the path of its image.
        flash: the whole flash with its partition table; see :class:`espdl.fbs.FlashImage`.

    Raises:
        EspdlError: no such file or partition, or it holds no model; names the byte.
    """

    def __init__(
        self,
        rodata_address_or_partition_label_or_path: Source | None = None,
        location: ModelLocation = MODEL_LOCATION_IN_FLASH_RODATA,
        *,
        partitions: Mapping[str, Source] | None = None,
        flash: Flash | None = None,
    ) -> None:
        self.location = ModelLocation(location)
        self.source = ""
        self._container: Container | None = None
        self._is_verified = False
        source = rodata_address_or_partition_label_or_path
        if source is None:
            return
        is_partition = self.location is ModelLocation.FLASH_PARTITION
        if is_partition:
            source = _partition(source, partitions or {}, flash)
        if isinstance(source, (str, Path)):
            self.source = str(source)
            source = open_mapped(source)
        elif not isinstance(source, (bytes, bytearray, memoryview)):
            raise EspdlError(f"a model cannot be loaded from {type(source).__name__}", hint="give bytes or a path")
        self._container = read_container(source, source=self.source, padding_only=not is_partition)

    def load(self, model: int | str | Key | None = None, key: Key | bool | None = None, param_copy: bool = True) -> FbsModel:
        """Loads one model: ``load(model, key, param_copy)``, or ``load(key, param_copy)`` for the first, as in the guide.

        Args:
            model: its index, or its name with ``.espdl``; None for the first.
            key: 16 bytes, when the model is encrypted.
            param_copy: whether parameters are copied or stay views of the file. As on the chip, it is not followed for EDL1 files and
                payloads not on a 16-byte boundary (copied), nor on an SD card or for encrypted models (never copied).

        Raises:
            EspdlError: no such model, a missing or wrong key, or a damaged file: a PDL3 package must have the SHA-256 that it states.
        """
        if isinstance(key, bool):
            param_copy, key = key, None
        if isinstance(model, Sequence) and not isinstance(model, str):
            model, key = None, model
        container = self._opened()
        if not self._is_verified:
            container.require_sha256(self.source)
            self._is_verified = True
        entry = self._entry(container, model)
        where = f"{self.source}[{entry.name}]" if entry.name else self.source
        try:
            payload = container.payload(entry, key)
        except EspdlError as error:
            raise (error.at(self.source) if self.source else error) from None
        try:
            return FbsModel(
                payload,
                location=self.location,
                encrypt=entry.encrypted,
                auto_free=entry.encrypted or self.location is ModelLocation.SDCARD,
                param_copy=_copies(entry, self.location, param_copy),
                source=where,
            )
        except EspdlError as error:
            if not entry.encrypted:
                raise
            raise EspdlError("wrong key or damaged file", where=where, why=f"what it decrypts to is no model: {error}") from None

    def _entry(self, container: Container, model: int | str | None) -> Entry:
        entries = container.entries
        if not container.format.is_package:
            if model not in (None, 0):
                warnings.warn(f"{container.format.name} holds one model: {model!r} is ignored", stacklevel=3)
            return entries[0]
        if isinstance(model, str):
            for entry in entries:
                if entry.name == model:
                    return entry
            raise EspdlError(
                f"there is no model {model!r}", where=self.source, hint="one of " + ", ".join(entry.name for entry in entries)
            )
        index = model or 0
        if not 0 <= index < len(entries):
            raise EspdlError(f"there is no model {index}, only {len(entries)}", where=self.source)
        return entries[index]

    def get_model_num(self) -> int:
        """Number of models; 0 for an empty loader."""
        return len(self._container.entries) if self._container else 0

    @property
    def model_names(self) -> list[str]:
        """Names of the models in a package; one empty name for a single model."""
        return [entry.name for entry in self._container.entries] if self._container else []

    def list_models(self) -> None:
        """Prints name and index of every model."""
        if self.get_model_format().is_package:
            for index, name in enumerate(self.model_names):
                print(f"model name: {name}, index:{index}")
        else:
            print(f"There is only {self.get_model_num()} model in the file, it has no name.")

    def get_model_location_string(self) -> str:
        """Where the model lies, as the memory summary prints it."""
        return _LOCATION_STRINGS[self.location]

    def get_model_format(self) -> ModelFormat:
        """Kind of the file; ``UNK`` for an empty loader."""
        return self._container.format if self._container else ModelFormat.UNK

    def get_package_version(self) -> str:
        """Raises :class:`EspdlError` when the file is not PDL3, as do the others about packages but :meth:`get_package_size`."""
        return self._package().package_version

    def get_package_size(self) -> int:
        """Bytes of a PDL3 package; 0 for other files."""
        return self._container.package_size if self._container else 0

    def get_package_sha256(self) -> bytes:
        """SHA-256 as the package states it, 32 bytes."""
        return self._package().sha256

    def calc_package_sha256(self) -> bytes:
        """SHA-256 as computed from the bytes of the package."""
        return self._package().calculate_sha256()

    def verify_package_sha256(self) -> bool:
        """Whether the two agree."""
        return self.calc_package_sha256() == self.get_package_sha256()

    def _opened(self) -> Container:
        if self._container is None:
            raise EspdlError("the loader was given no file")
        return self._container

    def _package(self) -> Container:
        container = self._opened()
        if container.format is not ModelFormat.PDL3:
            raise EspdlError(
                f"a {container.format.name} file has neither version nor SHA-256", where=self.source, hint="pack it as PDL3"
            )
        return container


def _partition(label: Source, partitions: Mapping[str, Source], flash: Flash | None) -> Source:
    """Content of a partition; bytes and paths that exist stand for themselves."""
    if not isinstance(label, (str, Path)):
        return label
    if str(label) in partitions:
        return partitions[str(label)]
    if flash is not None:
        return open_flash(flash).read(str(label))
    if Path(label).is_file():
        return label
    raise EspdlError(
        f"there is no partition {str(label)!r}",
        hint="pass flash= with the image of the flash, or partitions={label: its content}",
    )


def _copies(entry: Entry, location: ModelLocation, wanted: bool) -> bool:
    """Whether parameters are copied, by the rules of the chip's loader (runtime spec 1.4)."""
    if entry.format is ModelFormat.EDL1:
        return True
    if entry.encrypted:
        return False
    if entry.payload_offset % 16:
        return True
    return wanted and location is not ModelLocation.SDCARD
