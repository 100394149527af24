# Every target makes its own virtual environment first; PYTHON chooses the interpreter, VENV the directory.
PYTHON ?= python3
VENV ?= .venv
BENCH := build/bench
BIN := $(VENV)/bin

# The set-up is repeated when the packaging, a C++ file or the list of Python files changes.
STATE := $(shell (find src -name '*.py' | sort; cat pyproject.toml CMakeLists.txt csrc/*) | cksum | cut -d' ' -f1)

.PHONY: set-up demo test test-torch test-slow fuzz sanitize lint format docs docs-operators fit-latency bench bench-quantize bench-train clean

set-up: $(VENV)/.dev-$(STATE)

demo: $(VENV)/.demo-$(STATE)
	$(BIN)/espdl demo

test: $(VENV)/.dev-$(STATE)
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

# What needs PyTorch, which is installed beside the rest for it.
test-torch: $(VENV)/.dev-$(STATE) $(VENV)/.torch-$(STATE)
	$(BIN)/python -m pytest -q -m torch

test-slow: $(VENV)/.dev-$(STATE)
	$(BIN)/python -m pytest -q -n 2 -m slow

# Coverage-guided fuzzing of what reads files, half of FUZZ_SECONDS for each target; findings and the corpus that grew lie in build/fuzz.
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.fuzz-$(STATE)
	mkdir -p build/fuzz/reader build/fuzz/model
	for target in reader model; do \
	  $(BIN)/python fuzz/fuzz_$$target.py build/fuzz/$$target fuzz/corpus/reader fuzz/corpus/model -artifact_prefix=build/fuzz/ \
	    -max_total_time=$$(($(FUZZ_SECONDS) / 2)) -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 || exit 1; \
	done

# The kernel tests on an extension that checks addresses and undefined behaviour; a copy of the package, so that the fast one stays.
sanitize: $(VENV)/.dev-$(STATE)
	cmake -S . -B build/sanitize -DCMAKE_BUILD_TYPE=Debug -DESPDL_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(BIN))/python
	cmake --build build/sanitize --parallel 2
	rm -rf build/sanitized && mkdir -p build/sanitized && cp -r src/espdl build/sanitized/espdl
	rm -f build/sanitized/espdl/dl/base/_native*.so && cp build/sanitize/_native*.so build/sanitized/espdl/dl/base/
	PYTHONPATH=build/sanitized ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/dl/base

lint: $(VENV)/.dev-$(STATE)
	$(BIN)/ruff check src tests benchmarks examples fuzz docs/conf.py
	$(BIN)/ruff format --check src tests benchmarks examples fuzz docs/conf.py
	$(BIN)/mypy

format: $(VENV)/.dev-$(STATE)
	$(BIN)/ruff check --fix src tests benchmarks examples fuzz docs/conf.py
	$(BIN)/ruff format src tests benchmarks examples fuzz docs/conf.py

# The documentation, as pages under build/docs; a warning is an error.
docs: $(VENV)/.docs-$(STATE)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# The table of operators, from the operators themselves; a test fails where the page is not current.
docs-operators: $(VENV)/.dev-$(STATE)
	mkdir -p docs
	$(BIN)/espdl ops --markdown > docs/operators.md.new
	mv docs/operators.md.new docs/operators.md

# The costs behind latency estimates, fitted again to the published latencies; a test fails where the kept ones are not current.
fit-latency: $(VENV)/.dev-$(STATE)
	$(BIN)/python benchmarks/latency/fit_latency.py --write

bench: $(VENV)/.dev-$(STATE)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/bench_kernels.py --json $(BENCH)/kernels.json
	$(BIN)/python benchmarks/bench_networks.py --folder $(BENCH)/networks --json $(BENCH)/networks.json
	$(BIN)/python benchmarks/bench_running.py $(BENCH)/networks --json $(BENCH)/running.json
	$(BIN)/python benchmarks/bench_steps.py --json $(BENCH)/steps.json
	$(BIN)/python benchmarks/summary.py $(BENCH)

# Beside ESP-PPQ, where PPQ_PYTHON names an interpreter of a virtual environment that has it.
PPQ_PYTHON ?=
bench-quantize: $(VENV)/.dev-$(STATE)
	$(BIN)/python benchmarks/quantize.py $(if $(PPQ_PYTHON),--ppq $(PPQ_PYTHON)) --json $(BENCH)/quantize.json

# Training: beside ESP-PPQ as above, on labelled tasks in the folder TASKS, on a GPU where there is one. Exit status 1: a limit is missed.
TASKS ?=
bench-train: $(VENV)/.dev-$(STATE) $(VENV)/.torch-$(STATE)
	$(BIN)/python benchmarks/train.py $(if $(PPQ_PYTHON),--ppq $(PPQ_PYTHON)) $(if $(TASKS),--tasks $(TASKS)) --json $(BENCH)/train.json

$(VENV)/.%-$(STATE): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	rm -f $(VENV)/.$*-[0-9]*
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-output
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
