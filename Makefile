# make run      a simulated robot reads an instruction and drives
# make test     everything that can be checked on this machine
# make lint     style and types only
# make results  measure docs/results.md again
# make weights  train models/compact from nothing
# make clean    remove what make has made
#
# make run INSTRUCTION="Pass the box on its left and stop at the red cup." SCENARIO=2box_vert_left
#          SEED=7 POLICY=models/compact DETECTOR=models/detector SOURCE=drive.mp4 DURATION=60

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALL := PYTHON='$(PYTHON)' tools/environment.sh $(VENV)
INPUTS := setup.py pyproject.toml tools/environment.sh requirements/constraints.txt \
	requirements/ultralytics.txt

# An empty DETECTOR means none, a missing one the usual; exporting it would define it.
DETECTOR_FROM := $(origin DETECTOR)
# The shell, not make, expands these: an instruction may hold quotes.
export INSTRUCTION SCENARIO SEED POLICY DETECTOR SOURCE DURATION
OPTIONS := $(if $(INSTRUCTION),--instruction "$$INSTRUCTION") \
	$(if $(SCENARIO),--scenario "$$SCENARIO") $(if $(SEED),--seed "$$SEED") \
	$(if $(POLICY),--policy "$$POLICY") $(if $(SOURCE),--source "$$SOURCE") \
	$(if $(filter-out undefined,$(DETECTOR_FROM)),--detector "$$DETECTOR") \
	$(if $(DURATION),--duration "$$DURATION")

.PHONY: run test lint results weights clean

run: $(VENV)/.run
	@$(BIN)/vla-nav run $(OPTIONS)

# On all cores, but for the real processes over DDS, which have the machine for themselves.
# Training in processes of its own: in one that already held every runtime, renderers and a ROS
# context it has once ended in a segmentation fault.
ALL_CORES := -n logical --maxprocesses 8 --dist loadfile
test: $(VENV)/.test lint
	$(BIN)/python -m pytest $(ALL_CORES) --ignore=test/training --ignore=test/ros
	$(BIN)/python -m pytest $(ALL_CORES) test/training
	$(BIN)/python -m pytest test/ros

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/flake8
	$(BIN)/mypy
	@if command -v xmllint > /dev/null; then set -x; xmllint --noout package.xml; fi

results: $(VENV)/.test
	$(BIN)/vla-nav results

weights: $(VENV)/.test
	$(BIN)/vla-nav train instruction --out runs/instruction
	$(BIN)/vla-nav train compact --instruction runs/instruction/instruction.onnx

clean:
	rm -rf $(VENV) build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.run: $(INPUTS)
	$(INSTALL) cpu,ros,sim
	@touch $@

$(VENV)/.test: $(INPUTS)
	$(INSTALL) cpu,ros,sim,train,detector,test
	@touch $@ $(VENV)/.run
