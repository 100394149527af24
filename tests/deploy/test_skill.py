"""The skill, followed to the letter: its templates give operators that pass their tests, and its commands work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import espdl
from espdl.cli import VERBS
from espdl.deploy.skill import TOOLS, install_skill, skill_directory
from espdl.errors import EspdlError
from tests.conftest import ROOT

PACKAGE = Path(espdl.__file__).parent
SKILL = skill_directory()

INT8_AND_INT16 = {
    "every_8_bit_value": ("int8", ((2, 128),), (-4,), -4),
    "odd_sizes": ("int16", ((1, 5, 3, 7),), (-11,), -12),
    "aligned_channels": ("int8", ((1, 2, 3, 16),), (-5,), -6),
    "saturates": ("int8", ((61,),), (2,), -6),
}
TWO_INPUTS = {
    "every_8_bit_value": ("int8", ((256,), (1,)), (-4, -5), -4),
    "broadcast": ("int16", ((1, 5, 1, 7), (3, 1)), (-11, -10), -12),
    "saturates": ("int8", ((61,), (61,)), (2, 0), -6),
}
OVER_AXES = {
    "last": ("int8", (3, 5, 7), -4, -2, {"axes": [2], "axis": 2, "shift": 3}),
    "first": ("int16", (4, 3, 16), -10, -8, {"axes": [0], "axis": 0, "shift": 1}),
}
ROLLED = {
    name: (dtype, shape, exponent, exponent, attributes) for name, (dtype, shape, exponent, _, attributes) in OVER_AXES.items()
}


def filled(template: str, **words: str) -> str:
    """A template with its words replaced, the longest first, and bodies of functions indented."""
    text = (SKILL / "templates" / f"{template}.template").read_text()
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"\b{word}\b", lambda _, word=word: words[word], text)
    return text


def run(command: list[str], directory: Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *command], cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


MISH = {
    "OPERATOR": "Mish",
    "SNAKE": "mish",
    "FORMULA": "``x * tanh(log(1 + exp(x)))``.",
    "NUMPY_FORMULA": "(x * np.tanh(np.log1p(np.exp(x.astype(np.float64))))).astype(x.dtype)",
}
PROJECTS = {
    "project_unary.py": (
        "project_test.py",
        MISH
        | {
            "PYTHON_FORMULA": "(x,) = real\n    return x * math.tanh(math.log1p(math.exp(x)))",
            "CASE_TABLE": repr(INT8_AND_INT16)[1:-1],
        },
    ),
    "project_binary.py": (
        "project_test.py",
        {
            "OPERATOR": "HardMish",
            "FORMULA": "``a / 2 * clip(b + 2, 0, 2)``.",
            "NUMPY_FORMULA": "a / 2 * np.clip(b + 2, 0, 2)",
            "PYTHON_FORMULA": "a, b = real\n    return a / 2 * max(0.0, min(2.0, b + 2))",
            "CASE_TABLE": repr(TWO_INPUTS)[1:-1],
        },
    ),
    "project_reduce.py": (
        "project_test_axes.py",
        {
            "OPERATOR": "ReduceRange",
            "FORMULA": "Largest less smallest value",
            "NUMPY_FORMULA": "x.max(axis=axis, keepdims=True) - x.min(axis=axis, keepdims=True)",
            "PYTHON_FORMULA": """(axis,) = attributes["axes"]
    line = [value((*at[:axis], k, *at[axis + 1 :])) for k in range(shape[axis])]
    return max(line) - min(line)""",
            "CASE_TABLE": repr(OVER_AXES)[1:-1],
        },
    ),
    "project_move.py": (
        "project_test_axes.py",
        {
            "OPERATOR": "Roll",
            "FORMULA": "Turns the values round along an axis.",
            "NUMPY_FORMULA": 'np.roll(x, self.attributes["shift"], self.attributes["axis"])',
            "PYTHON_FORMULA": """axis, shift = attributes["axis"], attributes["shift"]
    return value((*at[:axis], (at[axis] - shift) % shape[axis], *at[axis + 1 :]))""",
            "CASE_TABLE": repr(ROLLED)[1:-1],
        },
    ),
}


@pytest.mark.parametrize("template", PROJECTS)
def test_an_operator_of_a_project(template: str, tmp_path: Path) -> None:
    test, words = PROJECTS[template]
    (tmp_path / "operators.py").write_text(filled(template, **words))
    (tmp_path / "test_it.py").write_text(filled(test, **words))
    environment = {"PYTHONPATH": f"{PACKAGE.parent}{os.pathsep}{tmp_path}"}
    printed = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"], tmp_path, **environment)
    assert re.search(r"\d+ passed", printed)
    shown = run(["-m", "espdl", "ops", "--op", words["OPERATOR"]], tmp_path, **environment, ESPDL_OPERATORS="operators.py")
    assert words["OPERATOR"] in shown


@pytest.mark.slow
def test_an_operator_in_the_sources(tmp_path: Path) -> None:
    words = MISH | {"PYTHON_FORMULA": "return x * math.tanh(math.log1p(math.exp(x)))"}
    shutil.copytree(PACKAGE, tmp_path / "src" / "espdl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    # an editable install finds its own espdl before any path is looked at
    (tmp_path / "src" / "sitecustomize.py").write_text(
        "import sys\nsys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith('_editable')]\n"
    )
    modules = tmp_path / "src" / "espdl" / "dl" / "module"
    (modules / "mish.py").write_text(filled("source_unary.py", **words))
    listed = (modules / "__init__.py").read_text()
    (modules / "__init__.py").write_text(listed.replace("    mul,\n", "    mish,\n    mul,\n"))
    (tmp_path / "tests" / "cases" / "Mish.toml").write_text(filled("source_unary_cases.toml", **words))
    (tmp_path / "tests" / "cases" / "oracle" / "mish.py").write_text(filled("source_unary_oracle.py", **words))
    environment = {"PYTHONPATH": str(tmp_path / "src")}
    printed = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cases", "-k", "Mish"], tmp_path, **environment)
    assert re.search(r"\d+ passed", printed)
    assert "Mish" in run(["-m", "espdl", "ops", "--markdown"], tmp_path, **environment)
    broken = (modules / "mish.py").read_text().replace("np.log1p(", "1.01 * np.log1p(")
    (modules / "mish.py").write_text(broken)
    with pytest.raises(AssertionError, match="failed"):
        run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cases", "-k", "Mish"], tmp_path, **environment)


def test_the_front_matter_is_what_agents_read() -> None:
    head = re.match(r"---\nname: (\S+)\ndescription: >-\n((?:  .+\n)+)---\n", (SKILL / "SKILL.md").read_text())
    assert head is not None
    assert head[1] == SKILL.name
    description = " ".join(head[2].split())
    assert len(description) < 1024
    assert all(
        trigger in description
        for trigger in ("implement operator", "add a new op", "实现算子", "添加算子", "量化支持", "算子对齐")
    )


def test_what_the_skill_refers_to_is_there() -> None:
    text = (SKILL / "SKILL.md").read_text()
    assert len(re.findall(r"^## Phase \d: ", text, re.MULTILINE)) == 9
    for link in re.findall(r"\]\((references/[^)]+)\)", text):
        assert (SKILL / link).is_file()
    for verb in re.findall(r"`espdl ([a-z-]+)", text):
        assert verb in VERBS
    assert (ROOT / "skills" / SKILL.name / "SKILL.md").read_text() == text


@pytest.mark.parametrize("tool", TOOLS)
def test_installing(tool: str, tmp_path: Path) -> None:
    place = install_skill(tool, tmp_path)
    assert place == tmp_path / TOOLS[tool] / "skills" / "espdl-operator"
    assert (place / "SKILL.md").read_text() == (SKILL / "SKILL.md").read_text()
    (place / "SKILL.md").write_text("mine")
    with pytest.raises(EspdlError, match="there is a skill of this name already"):
        install_skill(tool, tmp_path)
    assert (place / "SKILL.md").read_text() == "mine"
    assert install_skill(tool, tmp_path, link=True, force=True).resolve() == SKILL
    assert not install_skill(tool, tmp_path, force=True).is_symlink()
    assert [path.name for path in place.parent.iterdir()] == ["espdl-operator"]
    with pytest.raises(EspdlError, match="there is no tool 'vim'"):
        install_skill("vim", tmp_path)
