# `make demo` and `make test` do all the set-up. Needs make and Python 3.11 or 3.12.
#   make demo PYTHON=python3.12            another interpreter
#   make demo TORCH=torch==2.13.0          PyTorch as your package index has it (CUDA on Linux)

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_VERSION := 2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH ?=

find_python := for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done
PYTHON ?= $(shell $(find_python))

# Blender as a Python module wants exactly its own Python.
PYENV_VERSIONS := $${PYENV_ROOT:-$$HOME/.pyenv}/versions
find_exact = for p in $(PYTHON) python$(1) $(PYENV_VERSIONS)/$(1).*/bin/python; do \
	"$$p" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(1)")' 2>/dev/null \
	&& echo "$$p" && break; done
PYTHON311 ?= $(shell $(call find_exact,3.11))
PYTHON313 ?= $(shell $(call find_exact,3.13))
BLENDER_EXT ?=
BLENDER_42 := build/blender-4.2
BLENDER_52 := build/blender-5.2

.DEFAULT_GOAL := help
.PHONY: help demo quality test test-all lint format bench addon test-blender test-gui clean

help:
	@echo 'make demo      install into $(VENV), turn examples/photo.png into demo/photo.glb (Ref-SDS, compact prior)'
	@echo 'make quality   measure the demo result against the photo'
	@echo 'make test      install the developer tools, run the tests'
	@echo 'make test-all  the slow tests as well'
	@echo 'make lint      ruff, mypy, import-linter'
	@echo 'make bench     time every stage on this computer'
	@echo 'make addon     the Blender extension: build/addon/humanref-*.zip, one a platform'
	@echo 'make test-blender  the add-on in Blender 4.2 (and 5.2) as a module, with a real backend'
	@echo 'make test-gui      the add-on in a real window (Linux, root): five steps, five pictures'
	@echo 'make clean     remove $(VENV), the demo and all caches'

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or 3.12 was not found: install one, or name it: make demo PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo 'This needs Python 3.11 or 3.12, and $(PYTHON) is not one that runs.' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# PyPI's PyTorch for Linux brings gigabytes of CUDA, so there the CPU build goes in first: from the
# indexes pip already knows, else from PyTorch's own.
$(VENV)/.torch: $(VENV)/.created
ifneq ($(TORCH),)
	$(BIN)/python -m pip install '$(TORCH)'
else ifeq ($(shell uname -s)-$(shell uname -m),Linux-x86_64)
	@echo 'Installing the CPU build of PyTorch (make TORCH=torch==$(TORCH_VERSION) takes the CUDA build).'
	@$(BIN)/python -m pip install --quiet 'torch==$(TORCH_VERSION)+cpu' 2>/dev/null \
		|| $(BIN)/python -m pip install 'torch==$(TORCH_VERSION)+cpu' --extra-index-url $(TORCH_CPU_INDEX) \
		|| { echo 'The CPU build of PyTorch was not found. The larger CUDA build works too: make $(MAKECMDGOALS) TORCH=torch==$(TORCH_VERSION)' >&2; exit 1; }
else
	$(BIN)/python -m pip install 'torch==$(TORCH_VERSION)'
endif
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.developer: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/humanref generate examples/photo.png -o demo/photo.glb --artifacts demo/photo --force
	@echo
	@echo 'Character:  $(CURDIR)/demo/photo.glb   (drag it into Blender or any glTF viewer)'
	@echo 'Pictures:   $(CURDIR)/demo/photo/turntable.png, overlay.png'
	@echo 'Report:     $(CURDIR)/demo/photo/run.json'

quality: $(VENV)/.installed
	@test -f demo/photo.glb || { echo 'Run `make demo` first.' >&2; exit 2; }
	$(BIN)/python benchmarks/quality.py examples/photo.png demo/photo demo/photo.glb

test: $(VENV)/.developer
	$(BIN)/python -m pytest -m 'not slow'

test-all: $(VENV)/.developer
	$(BIN)/python -m pytest

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/cpu.py
	$(BIN)/python benchmarks/service.py

# bpy 4.2 wants NumPy 1. No pyzmq in here: the extension must bring its own.
$(BLENDER_42)/.installed:
	@test -n "$(PYTHON311)" || { echo 'Blender 4.2 as a module needs Python 3.11: install it, or name it: PYTHON311=/path/to/python3.11' >&2; exit 2; }
	rm -rf $(BLENDER_42)
	$(PYTHON311) -m venv $(BLENDER_42)
	$(BLENDER_42)/bin/python -m pip install --quiet bpy==4.2.23 'numpy<2' pytest pytest-timeout
	touch $@

# BLENDER_EXT=path/to/blender_ext.py takes an installed Blender's own; else bpy is installed for its sake.
ifneq ($(BLENDER_EXT),)
addon:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or 3.12 was not found: name it: make addon PYTHON=/path/to/python3.11' >&2; exit 2; }
	@test -f "$(BLENDER_EXT)" || { echo 'There is no $(BLENDER_EXT); in a Blender it is scripts/addons_core/bl_pkg/cli/blender_ext.py' >&2; exit 2; }
	$(PYTHON) blender_addon/packaging --tool "$(BLENDER_EXT)"
else
addon: $(BLENDER_42)/.installed
	$(BLENDER_42)/bin/python blender_addon/packaging --tool $(BLENDER_42)/lib/python3.11/site-packages/bpy/4.2/scripts/addons_core/bl_pkg/cli/blender_ext.py
endif

# In 5.2 the tests run where there is a Python 3.13.
$(BLENDER_52)/.installed:
	rm -rf $(BLENDER_52)
	$(PYTHON313) -m venv $(BLENDER_52)
	$(BLENDER_52)/bin/python -m pip install --quiet bpy==5.2.3 pytest pytest-timeout
	touch $@

test-blender: $(VENV)/.installed addon $(if $(PYTHON313),$(BLENDER_52)/.installed)
	$(BIN)/python tests/blender/run.py $(BLENDER_42)/bin/python $(if $(PYTHON313),$(BLENDER_52)/bin/python)
	@$(if $(PYTHON313),:,echo 'Not tested in Blender 5.2: no Python 3.13 was found.')

test-gui: $(VENV)/.installed addon
	tests/blender/gui/make_root.sh build/gui-root
	$(BIN)/python tests/blender/gui/five_steps.py

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find backend shared_protocol blender_addon tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
