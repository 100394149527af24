"""``espdl ocr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter

from espdl.cli.options import FILE, Arithmetic, Backend, ModelTarget
from espdl.cli.pictures import JsonLines, Pictures, Upright

ModelPath = Annotated[Path, Parameter(validator=FILE)]


def command(
    det: Annotated[ModelPath, Parameter(name="DET", help="The .espdl file that finds text.")],
    rec: Annotated[ModelPath, Parameter(name="REC", help="The .espdl file that reads it.")],
    images: Pictures,
    /,
    *,
    charset: Annotated[
        ModelPath | None,
        Parameter(
            help="The characters of REC's classes, always needed: a text file, one a line, or pp_ocr_v6_dict.hpp of ESP-DL's component.",
        ),
    ] = None,
    wide: Annotated[ModelPath | None, Parameter(help="A wider recogniser for lines that REC would squeeze (dual mode).")] = None,
    threshold: Annotated[float, Parameter(help="Leave out lines with a lower score.")] = 0.5,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Draw the boxes: a picture file for one IMAGE, else a folder."),
    ] = None,
    upright: Upright = False,
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    json: JsonLines = False,
) -> int:
    """Read the text in pictures with PP-OCRv6, as ESP-DL does on the chip.

    Lines come in the order of reading, with their score and the corners of their
    box. The characters belong to the recogniser but are not in its file: give
    the dictionary it was trained with.

    Exit code 1 if any picture cannot be read; the others are done all the same.

    Example: espdl ocr det_s8.espdl rec_s8.espdl label.jpg --charset dict.txt -o boxes.png
    """
    from espdl.cli.detections import drawn_files, save_picture
    from espdl.cli.pictures import each_picture, find_pictures
    from espdl.dl import Model
    from espdl.progress import stage
    from espdl.vision.image import annotate, read_image
    from espdl.vision.ocr import PPOCR, TextDetector, TextRecognizer, read_charset

    if charset is None:
        raise CycloptsError(
            msg="The characters that REC's classes stand for are not in its file: give --charset FILE.\n"
            "  try: pp_ocr_v6_dict.hpp, which lies in models/pp_ocr_v6 of ESP-DL (https://github.com/espressif/esp-dl), or the dictionary\n"
            "       that the recogniser was trained with, a character in each line"
        )

    def loaded(path: Path) -> Model:
        return Model(path, target=target, arithmetic=arithmetic, backend=backend)

    def recognizer(path: Path) -> TextRecognizer:
        model = loaded(path)
        return TextRecognizer(model, read_charset(charset, model.get_output().shape[-1]))

    with stage("loading the models"):
        ocr = PPOCR(TextDetector(loaded(det)), recognizer(rec), None if wide is None else recognizer(wide), threshold=threshold)
    places = {} if output is None else drawn_files(find_pictures(images), images, output)

    def work(file: Path) -> dict[str, Any]:
        picture = read_image(file, upright=upright)
        texts = ocr.run(picture)
        found: dict[str, Any] = {"texts": [text.to_dict() for text in texts]}
        if file in places:
            places[file].parent.mkdir(parents=True, exist_ok=True)
            save_picture(places[file], annotate(picture, [text.mark() for text in texts]))
            found["output"] = str(places[file])
        return found

    def tell(file: Path, found: dict[str, Any]) -> None:
        print(file)
        for text in found["texts"]:
            print(f"  {text['score']:.4f}  {text['text']}")
        if not found["texts"]:
            print("  no text")
        if "output" in found:
            print(f"  drawn in {found['output']}")

    return each_picture(images, work, tell, json=json, text="reading")
