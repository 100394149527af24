"""Passes over the float network, one in a file; :mod:`espdl.quantize.pipeline` has the table of them in order."""
