"""The C++ of docs/pc-and-chip-differ.md compiles against the calls of ESP-DL that it makes, and prints what is read here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from espdl.dtypes import DType
from espdl.report.explain import read_dump
from tests.pages import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs/pc-and-chip-differ.md"

STUB = """
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>
namespace dl {
enum dtype_t { DATA_TYPE_FLOAT, DATA_TYPE_INT8 };
enum runtime_mode_t { RUNTIME_MODE_AUTO, RUNTIME_MODE_SINGLE_CORE };
struct TensorBase {
    std::vector<int> shape; std::vector<uint8_t> bytes; int exponent; dtype_t dtype;
    TensorBase(std::vector<int> s, const void *element, int e = 0, dtype_t d = DATA_TYPE_FLOAT, bool = true)
        : shape(s), exponent(e), dtype(d) {
        size_t size = d == DATA_TYPE_FLOAT ? 4 : 1;
        for (int extent : s) size *= extent;
        bytes.resize(size);
        if (element) std::memcpy(bytes.data(), element, size);
    }
    const char *get_dtype_string() { return dtype == DATA_TYPE_FLOAT ? "float" : "int8"; }
    int get_exponent() { return exponent; }
    dtype_t get_dtype() { return dtype; }
    std::vector<int> get_shape() { return shape; }
    void *get_element_ptr() { return bytes.data(); }
    int get_bytes() { return bytes.size(); }
};
struct Model {
    TensorBase *inside;
    TensorBase *get_intermediate(const std::string &) { return inside; }
    void run(std::map<std::string, TensorBase *> &, runtime_mode_t, std::map<std::string, TensorBase *> outputs) {
        for (auto &[name, tensor] : outputs) tensor->bytes = inside->bytes;
    }
};
}
"""

MAIN = """
int main() {
    const int8_t x[] = {1, -1, 127, -128};
    const float y[] = {0.5f, -2.0f};
    dl::TensorBase in({1, 2, 2}, x, -4, dl::DATA_TYPE_INT8), out({2}, y);
    dl::Model model{&out};
    std::map<std::string, dl::TensorBase *> inputs{{"x", &in}};
    run_and_dump(&model, inputs, {"/y"});
}
"""


def test_the_page_prints_what_is_read(tmp_path: Path) -> None:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        pytest.skip("there is no C++ compiler")
    (code,) = (block.text for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "cpp")
    (tmp_path / "dl_model_base.hpp").write_text(STUB)
    (tmp_path / "main.cpp").write_text(code + MAIN)
    program = tmp_path / "main"
    subprocess.run([compiler, "-std=c++20", "-Wall", "-Wextra", "-I", tmp_path, tmp_path / "main.cpp", "-o", program], check=True)
    log = tmp_path / "console.log"
    log.write_bytes(subprocess.run([program], check=True, capture_output=True).stdout)
    found = read_dump(log)
    assert list(found) == ["x", "/y"]
    assert (found["x"].dtype, found["x"].exponent, found["x"].data.tolist()) == (DType.INT8, -4, [[[1, -1], [127, -128]]])
    assert (found["/y"].dtype, found["/y"].data.tolist()) == (DType.FLOAT, [0.5, -2.0])
