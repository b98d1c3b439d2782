# make demo          generated scenes through every stage, minutes on two cores
# make test          the test suite
# make quick         its quick part, within a minute on two cores; ROOM=polygons: that of tests/polygons alone
# make demo-full     ten classes on generated scenes, up to 90 minutes on two cores
# make members       every class by every kind of member (channels, scales), and sanity; 100 minutes on two cores
# make rio           real imagery: the SpaceNet Rio chips below RASTERLOOM_TEST_DATA
# make trees         points as labels: the urban trees below RASTERLOOM_TEST_DATA, half an hour on two cores
# make sanity        can each class be learned at all? Before a long run; CONFIG=mine.yaml: of that configuration
# make resume-check  a training that is killed five times ends with the bits of one that was not; minutes
# make kills         every durable call of every stage as the point of a kill or an error: an hour and a half; goes on
#                    where it was stopped. ONLY=train: one stage
# make bench         rasterloom beside named alternatives, a table of ratios; a quarter of an hour, on an idle machine
# make slurm-test    a whole run by the Slurm that `sbatch` finds equals one on this machine; ten minutes and more
# make oracle         10,000 random edits, each compared with a run from nothing; half an hour; SEED=2: other edits
# make check         formatters, linters, types
# make docs          what is made of code and tests: the JSON schema, docs/configuration.md, tables of other docs
# TORCH=cpu picks PyTorch's CPU builds, for people without a GPU.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= all
SEED ?= 1
PY := $(VENV)/bin/python
SNAKEMAKE := $(VENV)/bin/snakemake --cores $(CORES)
INSTALLED := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' -)
PIP_INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu,)

define summary
@awk -F'\t' 'NR == 1 || $$3 == "all" { printf "%-12s %-16s %s\n", $$1, $$2, ($$7 == $$7 + 0 ? sprintf("%.3f", $$7) : $$7) }' $(1)/score.tsv
@echo "The pictures: $(1)/report/index.html"
endef

.PHONY: demo demo-full members rio sanity trees resume-check kills slurm-test oracle test quick check docs fingerprints lock clean-demo

demo: $(INSTALLED)
	$(PY) -m rasterloom scenes data/demo --train 10 --test 3 --size 512 --seed 1
	$(SNAKEMAKE) --configfile presets/demo.yaml
	$(call summary,results-demo)

demo-full: $(INSTALLED)
	$(PY) -m rasterloom scenes data/demo-full --train 12 --test 3 --size 768 --seed 1
	$(SNAKEMAKE) --configfile presets/demo-full.yaml
	$(call summary,results-demo-full)

members: $(INSTALLED)
	$(PY) -m rasterloom scenes data/members --train 12 --test 3 --size 1024 --seed 1
	$(SNAKEMAKE) all sanity --configfile presets/members.yaml
	$(call summary,results-members)

rio: $(INSTALLED)
	$(PY) presets/rio.py
	$(SNAKEMAKE) --configfile presets/rio.yaml
	$(call summary,results-rio)

trees: $(INSTALLED)
	$(PY) presets/urban-trees.py
	$(SNAKEMAKE) --configfile presets/urban-trees.yaml
	$(call summary,results-urban-trees)

sanity: $(INSTALLED)
	$(SNAKEMAKE) sanity $(if $(CONFIG),--configfile $(CONFIG))

bench: $(INSTALLED)
	$(PY) benchmarks/bench.py

resume-check: $(INSTALLED)
	$(PY) benchmarks/resume.py --work data/resume

kills: $(INSTALLED)
	$(PY) tests/killpoints/campaign.py --notes data/kills.jsonl $(if $(ONLY),--only $(ONLY))

slurm-test: $(INSTALLED)
	@if command -v sbatch > /dev/null; then \
	  RASTERLOOM_SLURM_TEST=1 $(PY) -m pytest tests/whole/test_slurm.py; \
	else echo "slurm-test: skipped, as there is no Slurm here (no sbatch in PATH)"; fi

oracle: $(INSTALLED)
	RASTERLOOM_ORACLE_EDITS=10000 RASTERLOOM_ORACLE_SEED=$(SEED) $(PY) -m pytest -s tests/whole/test_oracle.py

test: $(INSTALLED)
	$(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

quick: $(INSTALLED)
	$(PY) -m pytest --numprocesses 2 --dist loadfile -m "not workflow and not slow" tests/$(ROOM)

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/snakefmt --check Snakefile workflow/rules

docs: $(INSTALLED)
	$(PY) -m rasterloom schema > workflow/schemas/config.schema.json
	$(PY) tests/support/configuration_reference.py --write
	$(PY) tests/support/troubleshooting.py --write
	$(PY) tests/support/matrix_table.py --write
	$(PY) tests/support/network_table.py --write

fingerprints: $(INSTALLED)
	$(PY) tests/support/fingerprints.py --confirm

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 setuptools '.[dev]'
	( echo "# Every package, direct or not, in the version that the tests run with. Made by \`make lock\`."; \
	  .venv-lock/bin/python -m pip freeze --all --exclude rasterloom --exclude pip | sed 's/+cpu$$//' ) > requirements.lock
	rm -rf .venv-lock

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rasterloom needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_INDEX) --requirement requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

clean-demo:
	rm -rf data/demo results-demo
