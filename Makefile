# make demo | make evidence [QUICK=1] | make test | make test-fast | make check | make install
# (PYTHON=/path/to/python chooses the interpreter)

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
HOST := fastreid==1.4.0
REPORT := logs/demo/amd/report/report.html

.PHONY: install demo evidence test test-fast check format clean

install: $(STAMP)

$(STAMP): requirements.txt setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer was found; name one with make PYTHON=/path/to/python"; exit 2; }
	@test -x $(RUN) || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: '$(PYTHON) -m venv' failed; on Debian install the package python3-venv"; exit 2; }
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps $(HOST)
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	$(RUN) tools/train_net.py --config-file projects/AMD/configs/demo/amd_r18_demo.yml
	@test ! -f $(REPORT) || echo "Open $(REPORT)"

evidence: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) tools/evidence.py --list tools/evidence.yml $(if $(QUICK),--quick)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope

test-fast: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope -m "not slow"

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) build *.egg-info
