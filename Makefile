# SPDX-License-Identifier: BSD-2-Clause
#
# For people who type `make`. The build itself is meson's (meson.build), in build/; scripts/ has the longer jobs.
#
#   make              build/pst
#   make demo         the main job on real input: serve, load, kill, restart, prove (needs root only to install packages)
#   make check        all tests; ends with one line `N passed, N failed[, N skipped]`
#   make bench        speed, each figure with the floor beside it; JSON in build/bench/
#   make soak         the long tests: hours of kill loops, crashes and churn
#   make fuzz         each fuzzer for FUZZ_SECONDS (60)
#   make check-pmem   persistent memory for real, in an emulated machine
#   make install      pst, manual pages, completion for bash and the systemd unit, below DESTDIR/PREFIX
#   make deb          a Debian package, in build/deb/
#   make clean        remove all build folders
#
# CC=clang and MESON_FLAGS=... count when a build folder is made; `make clean` first to change them.

PREFIX ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
FUZZ_SECONDS ?= 60
MESON_FLAGS ?=

# Goals run one after the other, also under -j: they share build/, and ninja uses all cores by itself.
.NOTPARALLEL:
.PHONY: all build/pst demo check bench soak fuzz check-pmem install deb clean

all: build/pst

build/pst: build/build.ninja
	@ninja -C build src/cli/pst
	@ln -sfn src/cli/pst build/pst

build/build.ninja:
	@meson setup build $(MESON_FLAGS)

demo:
	@scripts/deps build demo
	@$(MAKE) --no-print-directory all
	@scripts/demo

check:
	@scripts/deps build demo check
	@scripts/check

bench:
	@scripts/deps build bench
	@$(MAKE) --no-print-directory all
	@bench/run

soak:
	@scripts/deps build
	@scripts/check soak

fuzz:
	@scripts/deps build check
	@scripts/check --fuzz-seconds $(FUZZ_SECONDS) fuzz

check-pmem:
	@scripts/deps build pmem
	@$(MAKE) --no-print-directory all
	@scripts/check-pmem

install: build/pst
	scripts/stage build/src/cli/pst "$(DESTDIR)" "$(PREFIX)" "$(UNITDIR)"

deb: build/pst
	@scripts/deb build/src/cli/pst build/deb

clean:
	rm -rf build build-clang build-asan build-fuzz
