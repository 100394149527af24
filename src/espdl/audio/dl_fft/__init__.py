"""The transforms of dl_fft, the library whose spectra ESP-DL's features are made of: float32, and integers of 16 bits.

Complex data are arrays [..., N, 2] of real and imaginary parts, real data [..., N]; N is a power of two. Integers come with an exponent:
``real = integer * 2**exponent``.
"""

from __future__ import annotations

from espdl.audio.dl_fft.int16 import (
    fft_s16,
    fft_s16_hp,
    float_to_short,
    ifft_s16,
    ifft_s16_hp,
    irfft_s16,
    irfft_s16_hp,
    max_bits,
    rfft_s16,
    rfft_s16_hp,
    short_to_float,
)
from espdl.audio.dl_fft.real import fft_f32, ifft_f32, irfft_packed_f32, rfft_f32, rfft_packed_f32

__all__ = [
    "fft_f32",
    "fft_s16",
    "fft_s16_hp",
    "float_to_short",
    "ifft_f32",
    "ifft_s16",
    "ifft_s16_hp",
    "irfft_packed_f32",
    "irfft_s16",
    "irfft_s16_hp",
    "max_bits",
    "rfft_f32",
    "rfft_packed_f32",
    "rfft_s16",
    "rfft_s16_hp",
    "short_to_float",
]
