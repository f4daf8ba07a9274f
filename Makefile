# make demo   trains a forecaster and a character model on small real data and shows what comes out
# make test   the tests, under 20 minutes on 2 cores;  make test-all  also the slow learning tests, and new random examples
# make sanitize   the native engine's own tests under the address, undefined-behaviour and thread sanitizers
# make kernels   how fast the engine's kernels are, each alone on one core
# make neon   the same tests compiled for 64-bit ARM and emulated; needs aarch64-linux-gnu-g++ and qemu-aarch64
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
# Tests run in two processes: most of them keep one core busy
TOGETHER := -n 2 --dist worksteal

.PHONY: setup demo test test-all lint sanitize neon kernels clean

setup: .venv/.ready

# setuptools-scm: seqeval is built from source and takes its version from there
.venv/.ready: pyproject.toml constraints.txt $(wildcard native/CMakeLists.txt native/*/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "echoic needs Python 3.11 or later; found " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt scikit-build-core nanobind cmake ninja setuptools-scm
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch .venv/.ready

demo: setup
	$(BIN)/echoic train forecast examples/retail.csv --out $(DEMO)/retail --max-minutes 1.5 --overwrite
	$(BIN)/echoic predict $(DEMO)/retail examples/retail.csv --out $(DEMO)/forecasts.csv
	head -n 4 $(DEMO)/forecasts.csv
	$(BIN)/echoic train generate examples/shakespeare.txt.gz --out $(DEMO)/shakespeare --max-minutes 1 --overwrite
	$(BIN)/echoic generate $(DEMO)/shakespeare --prompt 'ROMEO:' --length 400
	@echo "Open $(DEMO)/retail/report.html and $(DEMO)/shakespeare/report.html in a browser."

test: setup
	$(BIN)/python -m pytest -m 'not slow' -q $(TOGETHER)

test-all: setup
	ECHOIC_DRAW=random $(BIN)/python -m pytest -q $(TOGETHER)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

sanitize: setup
	export PATH="$(CURDIR)/$(BIN):$$PATH" && for sanitizer in address,undefined thread; do \
	  build=build/sanitize-$${sanitizer%%,*} && \
	  cmake -S native -B $$build -G Ninja -DECHOIC_PYTHON=OFF -DECHOIC_TESTS=ON -DECHOIC_SANITIZE=$$sanitizer && \
	  cmake --build $$build && $$build/echoic_tests || exit 1; \
	done

neon:
	@for tool in aarch64-linux-gnu-g++ qemu-aarch64; do command -v $$tool > /dev/null || { \
	  echo "make neon: there is no $$tool; install g++-aarch64-linux-gnu and qemu-user (as Debian and Ubuntu call them)" >&2; \
	  exit 1; }; done
	$(MAKE) setup
	export PATH="$(CURDIR)/$(BIN):$$PATH" && \
	  cmake -S native -B build/neon -G Ninja -DECHOIC_PYTHON=OFF -DECHOIC_TESTS=ON \
	    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
	    -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64 && \
	  cmake --build build/neon && ctest --test-dir build/neon --verbose

kernels: setup
	export PATH="$(CURDIR)/$(BIN):$$PATH" && \
	  cmake -S native -B build/kernels -G Ninja -DECHOIC_PYTHON=OFF -DECHOIC_TESTS=ON && \
	  cmake --build build/kernels --target echoic_kernel_speed && build/kernels/echoic_kernel_speed

clean:
	rm -rf .venv build $(DEMO)
