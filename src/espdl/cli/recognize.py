"""``espdl recognize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import FILE, Arithmetic, Backend, Json, ModelTarget

if TYPE_CHECKING:
    from espdl.vision.detect.detector import Finder
    from espdl.vision.recognize import FeatureDatabase, FeatureExtractor

Picture = Annotated[Path, Parameter(validator=FILE)]


def command(
    action: Annotated[Literal["enrol", "query", "list", "delete", "clear"], Parameter(name="ACTION", help="What to do.")],
    database: Annotated[Path, Parameter(name="DATABASE", help="The file of features; enrol makes it where there is none.")],
    images: Annotated[list[Picture] | None, Parameter(name="IMAGE", help="Pictures, for enrol and query.")] = None,
    /,
    *,
    model: Annotated[Path | None, Parameter(help="The .espdl file that makes features.", validator=FILE)] = None,
    kind: Annotated[Literal["face", "person"], Parameter(help="What the features are of, which says how to prepare.")] = "face",
    landmarks: Annotated[
        str | None,
        Parameter(
            help="Of the face: x,y of left eye, left mouth, nose, right eye, right mouth. Without them the picture is the face.",
        ),
    ] = None,
    box: Annotated[str | None, Parameter(help="Of the person or face: x1,y1,x2,y2.")] = None,
    detector: Annotated[
        Path | None, Parameter(help="The .espdl file that finds the faces or persons; the largest is taken.", validator=FILE)
    ] = None,
    second: Annotated[Path | None, Parameter(help="Its second stage, which finds landmarks.", validator=FILE)] = None,
    id: Annotated[int | None, Parameter(help="Which feature to delete; see list.")] = None,
    threshold: Annotated[
        float | None, Parameter(help="Features count as alike above it; 0.5 for faces, 0.001 for persons.")
    ] = None,
    top_k: Annotated[PositiveInt, Parameter(help="The largest number of matches to tell.")] = 1,
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Enrol faces or persons in a database of the chip's file format, and ask it.

    The file can be copied to a chip and back. It is written as a whole or not at
    all; what a chip that lost power has left half-written is read, and told.
    Ids are those in the file; ESP-DL's query tells the position instead, which is
    another number once a feature has been deleted.

    Exit code 1 when a query finds nobody.

    Example: espdl recognize enrol faces.db anna.jpg --model feat.espdl --detector msr.espdl --second mnp.espdl
    """
    from espdl.cli.output import print_json
    from espdl.vision.detect import open_detector
    from espdl.vision.recognize import FeatureDatabase

    if action in ("enrol", "query"):
        if model is None or not images:
            raise CycloptsError(msg=f"{action} needs pictures and --model, which makes their features.")
        options = {"target": target, "arithmetic": arithmetic, "backend": backend}
        extractor = _extractor(model, kind, **options)
        finder = None if detector is None else open_detector(detector, second=second, **options)
        if action == "query" and not database.is_file():
            raise _missing(database)
        store = FeatureDatabase(database, extractor.feat_len)
        told: list[dict[str, Any]] = []
        limit = threshold if threshold is not None else 0.5 if kind == "face" else 0.001
        for image in images:
            feature = _feature(extractor, image, landmarks, box, finder)
            if action == "enrol":
                told.append({"image": str(image), "id": store.enroll_feat(feature)})
            else:
                told.append(
                    {"image": str(image), "matches": [match.to_dict() for match in store.query_feat(feature, limit, top_k)]}
                )
    else:
        if images:
            raise CycloptsError(msg=f"{action} takes no pictures.")
        if not database.is_file():
            raise _missing(database)
        store, told = FeatureDatabase(database), []
        if action == "delete":
            if id is None:
                raise CycloptsError(msg="Which feature is to be deleted? Give --id N; espdl recognize list tells the ids.")
            store.delete_feat(id)
        elif action == "clear":
            store.clear_all_feats()
    if json:
        facts = {"features": len(store), "ids": store.ids, "records": store.total, "feat_len": store.feat_len}
        print_json({"database": database, **facts, "repairs": store.repairs, "results": told})
    else:
        _tell(store, told)
    return int(action == "query" and not any(one["matches"] for one in told))


def _missing(database: Path) -> CycloptsError:
    return CycloptsError(msg=f"There is no database {str(database)!r}; espdl recognize enrol makes one.")


def _extractor(model: Path, kind: str, **options: Any) -> FeatureExtractor:
    from espdl.vision.recognize import HumanFaceFeat, PersonFeat

    return HumanFaceFeat(model, **options) if kind == "face" else PersonFeat(model, **options)


def _feature(extractor: FeatureExtractor, image: Path, landmarks: str | None, box: str | None, finder: Finder | None) -> Any:
    from espdl.errors import EspdlError
    from espdl.vision.recognize import HumanFaceFeat

    if sum(given is not None for given in (landmarks, box, finder)) > 1:
        raise EspdlError("landmarks, a box and a detector say the same thing: give one of them")
    face = extractor if isinstance(extractor, HumanFaceFeat) else None
    if landmarks is not None:
        if face is None:
            raise EspdlError("landmarks are for faces")
        return face.of_face(str(image), _numbers(landmarks))
    if finder is None:
        return extractor.run(str(image), None if box is None else [int(number) for number in _numbers(box)])
    found = finder.run(str(image))
    if not found:
        raise EspdlError("the detector finds nothing in the picture", where=str(image))
    largest = max(found, key=lambda one: one.area)
    return extractor.run(str(image), largest.box) if face is None else face.of_face(str(image), largest.keypoints)


def _numbers(text: str) -> list[float]:
    from espdl.errors import EspdlError

    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise EspdlError(f"{text!r} is no list of numbers", hint="write them as 117,114,120,160") from None


def _tell(store: FeatureDatabase, told: list[dict[str, Any]]) -> None:
    from espdl.wording import counted

    for repair in store.repairs:
        print(f"repaired: {repair}")
    for one in told:
        if "id" in one:
            print(f"{one['image']}  enrolled with id {one['id']}")
        for match in one.get("matches", ()):
            print(f"{one['image']}  id {match['id']}, similarity {match['similarity']:.4f}")
        if one.get("matches") == []:
            print(f"{one['image']}  nobody that is enrolled")
    ids = ", ".join(map(str, store.ids))
    print(f"{store.path}: {counted(len(store), 'feature')} of {store.feat_len} numbers" + (f", ids {ids}" if ids else ""))
