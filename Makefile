# make demo | make evidence [QUICK=1] | make results | make gpu [PARTS="step loader"] | make test | make test-fast |
# make check | make docs | make install | make dist
# PYTHON=/path/to/python chooses the interpreter. WITHOUT_CUDA=1 leaves out CUDA's libraries where TORCH_CPU is the index
# of PyTorch's CPU wheels, and takes other versions: make install WITHOUT_CUDA=1 TORCH="torch==2.6.0 torchvision==0.21.0"

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check
PACKAGES := $(VENV)/.packages
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.docs
HOST := fastreid==1.4.0
TORCH ?= $(shell grep -oE '^torch(vision)?==[^; ]+' requirements.txt)
FAISS_CPU := $(shell grep -oE '^faiss-cpu==[^; ]+' requirements.txt)
# In the order of tests/conftest.py, whose longest modules come first.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
REPORT := logs/demo/amd/report/report.html

.PHONY: packages install demo evidence results gpu test test-fast check docs format dist clean

packages: $(PACKAGES)

$(PACKAGES): requirements.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer was found; name one with make PYTHON=/path/to/python"; exit 2; }
	@test -x $(RUN) || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: '$(PYTHON) -m venv' failed; on Debian install the package python3-venv"; exit 2; }
ifdef WITHOUT_CUDA
	$(PIP) install $(TORCH) $(if $(TORCH_CPU),--index-url "$(TORCH_CPU)")
	grep -Ev '^(torch|triton|faiss|cuda-|nvidia-)' requirements.txt | $(PIP) install --no-deps -r /dev/stdin $(FAISS_CPU)
else
	$(PIP) install -r requirements.txt
endif
	$(PIP) install --no-deps $(HOST)
	@touch $(PACKAGES)

install: $(STAMP)

$(STAMP): $(PACKAGES) setup.py pyproject.toml
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	$(RUN) tools/train_net.py --config-file projects/AMD/configs/demo/amd_r18_demo.yml
	@test ! -f $(REPORT) || echo "Open $(REPORT)"

evidence: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) tools/evidence.py --list tools/evidence.yml $(if $(QUICK),--quick)

results: $(STAMP)
	$(RUN) tools/evidence.py --list tools/evidence.yml --claims tools/claims.yml --pages docs --readmes .

# RUN=python takes the environment's, with all of requirements.txt that is needed in it, and installs nothing.
gpu: $(if $(filter command,$(firstword $(origin RUN))),,$(STAMP))
	$(RUN) tools/gpu.py $(if $(PARTS),--parts $(PARTS)) $(if $(QUICK),--quick) $(if $(DEVICE),--device $(DEVICE)) \
		$(if $(OUTPUT),--output $(OUTPUT))

test: $(STAMP) $(DOCS)
	$(PYTEST)

test-fast: $(STAMP)
	$(PYTEST) -m "not slow"

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell

$(DOCS): $(STAMP) requirements-docs.txt
	$(PIP) install --no-deps -r requirements-docs.txt
	@touch $(DOCS)

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo "Open build/site/index.html, or with its search: $(RUN) -m mkdocs serve"

format: $(STAMP)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

dist:  # needs the extra release; RUN=python takes the environment's
	rm -rf dist
	$(RUN) -m build --no-isolation
	$(RUN) -m twine check --strict dist/*

clean:
	rm -rf $(VENV) build *.egg-info
