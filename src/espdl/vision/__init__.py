"""Pipelines around vision models, equal to the chip's: pictures in, records of what was found out (runtime spec 7)."""
