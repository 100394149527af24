"""What a model takes: memory by use and place, time by operator (guide 3.2.6 to 3.2.8, runtime spec 4.4, 4.5)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from espdl.dl.loading import Loading
from espdl.dl.profile import MemInfo, ModuleInfo, memory_table, module_table
from espdl.dl.usage import memory_usage


class Profiling(Loading):
    """The profiling methods of ``Model``."""

    def get_memory_info(self) -> dict[str, MemInfo]:
        """Bytes by use and by memory (spec 4.4), as on a chip with these settings. What the chip's own objects take is not known here."""
        return memory_usage(self.fbs_model, self._context)

    def get_module_info(self) -> dict[str, ModuleInfo]:
        """Runs every operator once on the present data: type and microseconds on this PC by node name, plus "total"."""
        self._require_names("get_module_info")
        info = {}
        for operator, step in zip(self._operators, self._steps, strict=True):
            start = time.perf_counter_ns()
            with np.errstate(all="ignore"), operator.blame:
                step()
            latency = (time.perf_counter_ns() - start) / 1000
            info[operator.module.name] = ModuleInfo(operator.module.op_type, latency)
        info["total"] = ModuleInfo("", sum(entry.latency for entry in info.values()))
        return info

    def print_module_info(self, info: Mapping[str, ModuleInfo], sort_module_by_latency: bool = False) -> None:
        """Prints the table of :meth:`get_module_info`."""
        print(module_table(info, sort_module_by_latency))

    @property
    def model_location(self) -> str:
        """Where the model lies, as ESP-DL says it; empty where that is not known."""
        return self._loader.get_model_location_string() if self._loader else ""

    def memory_summary(self) -> str:
        """The table of :meth:`profile_memory` as text."""
        fbs_model = self.fbs_model
        return memory_table(
            self.get_memory_info(),
            name=fbs_model.get_model_name(),
            version=fbs_model.get_model_version(),
            doc_string=fbs_model.get_model_doc_string(),
            location=self.model_location,
        )

    def profile_memory(self) -> None:
        """Prints the memory summary."""
        print(self.memory_summary())

    def profile_module(self, sort_module_by_latency: bool = False) -> None:
        """Prints the latency of every operator on this PC."""
        self.print_module_info(self.get_module_info(), sort_module_by_latency)

    def profile(self, sort_module_by_latency: bool = False) -> None:
        """Prints memory and module summary."""
        self.profile_memory()
        print()
        self.profile_module(sort_module_by_latency)
