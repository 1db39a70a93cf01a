# One command per chore, the same in CI and on a laptop. Each sets up its own .venv when missing or stale.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 3
READY  := $(VENV)/.ready

.PHONY: demo demo-aws demo-spot test test-slow check bench clean ami
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(READY): pyproject.toml scripts/venv
	@PYTHON=$(PYTHON) scripts/venv $(VENV)

demo: $(READY)  ## run the main job on real input: embedded service, local machines
	@$(BIN)/python -m examples.stdlib_report

demo-aws: $(READY)  ## the main job on an emulated AWS account: template, fleets, spot notice, scale to zero
	@$(BIN)/python -m examples.rehearsal

demo-spot: $(READY)  ## machines that are taken away, do not boot, or cost too much: what the cluster does, and says
	@$(BIN)/python -m examples.spot

test: $(READY)  ## all tests but the slow ones, JOBS=3 processes
	@$(BIN)/pytest -n $(JOBS)

test-slow: $(READY)  ## virtual machines, soak, long fuzzing, other people's clients
	@$(BIN)/pytest -m slow

check: $(READY)  ## ruff, mypy strict, directions of import, circles, sizes, cited pages
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/pytest -q tests/packaging/test_layers.py tests/packaging/test_shape.py tests/packaging/test_documents.py

ami: $(READY)  ## build, check and boot a machine image here (root, Debian, scripts/ami-setup)
	@$(BIN)/python -m simpleflow.ami build $(AMI)

bench: $(READY)  ## every benchmark, one table each
	@for b in bench/[a-z]*.py; do $(BIN)/python $$b || exit 1; done

clean:  ## what the targets above made
	@rm -rf $(VENV) .ami build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-report
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
