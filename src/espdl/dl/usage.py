"""Memory of a model by use and by place (runtime spec 4.4)."""

from __future__ import annotations

from espdl.dl.context import ModelContext
from espdl.dl.profile import MemInfo
from espdl.fbs import FbsModel


def memory_usage(fbs_model: FbsModel, context: ModelContext) -> dict[str, MemInfo]:
    """Bytes by use, as on a chip: ``fbs_model``, ``parameter``, ``parameter_copy``, ``variable``, ``others``, ``total``.

    A chip measures ``total`` on its heap and calls the rest ``others``; here ``total`` is the sum of what is known and ``others`` is
    empty: the runtime's own objects are not counted.
    """
    internal, psram, _, flash = fbs_model.get_model_size()
    file = MemInfo(internal=internal, psram=psram, flash=flash)
    parameter = context.get_parameter_memory_size(copy=False, file_memory="flash" if flash and not psram else "psram")
    copied = context.get_parameter_memory_size(copy=True)
    if file.flash and not parameter.flash:
        in_file = max(parameter.internal, parameter.psram) + max(copied.internal, copied.psram)
        parameter = MemInfo(internal=parameter.internal, psram=parameter.psram, flash=in_file)
    variable = context.get_variable_memory_size()
    return {
        "fbs_model": file,
        "parameter": parameter,
        "parameter_copy": copied,
        "variable": variable,
        "others": MemInfo(),
        "total": file + copied + variable,
    }
