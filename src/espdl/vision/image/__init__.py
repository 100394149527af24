"""Pictures as chips hold, convert, resize and quantize them (runtime spec 7.1 to 7.5)."""

from espdl.vision.image.annotate import Mark, annotate
from espdl.vision.image.bmp import read_bmp, write_bmp
from espdl.vision.image.codec import Source, read_image
from espdl.vision.image.color import HsvRange
from espdl.vision.image.convert import convert, convertible
from espdl.vision.image.draw import draw_hollow_rectangle, draw_point
from espdl.vision.image.geometry import Border, Crop, Geometry, invert_affine, invert_affine_as_chip, letterbox
from espdl.vision.image.hardware import hw_decoded_size, ppa_scale, resize_ppa
from espdl.vision.image.jpeg import read_jpeg, sw_decode_jpeg, sw_encode_jpeg, write_jpeg
from espdl.vision.image.normquant import NormQuant
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import Kind, PixelType
from espdl.vision.image.preprocessor import ImagePreprocessor
from espdl.vision.image.resample import Resampling, resize_bilinear
from espdl.vision.image.transformer import ImageTransformer

__all__ = [
    "Border",
    "Crop",
    "Geometry",
    "HsvRange",
    "Image",
    "ImagePreprocessor",
    "ImageTransformer",
    "Kind",
    "Mark",
    "NormQuant",
    "PixelType",
    "Resampling",
    "Source",
    "annotate",
    "convert",
    "convertible",
    "draw_hollow_rectangle",
    "draw_point",
    "hw_decoded_size",
    "invert_affine",
    "invert_affine_as_chip",
    "letterbox",
    "ppa_scale",
    "read_bmp",
    "read_image",
    "read_jpeg",
    "resize_bilinear",
    "resize_ppa",
    "sw_decode_jpeg",
    "sw_encode_jpeg",
    "write_bmp",
    "write_jpeg",
]
