# make help lists what there is.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := kmh-pki kmh-bgpcfg kmh-render kmh-push kmh-check kmh-lab

# Debian keeps daemons where an ordinary user does not look.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
	    printf 'make %-10s %s\n' "$$target" "$$what"; done

.PHONY: toolchain
toolchain:
	@version=$$($(CARGO) --version 2>/dev/null | cut -d' ' -f2); \
	printf '%s\n' $(RUST) "$$version" | sort -VC || { \
	    echo "kmh is built by cargo, Rust $(RUST) or newer; here is $${version:-none}: https://rustup.rs" >&2; exit 1; }

.PHONY: demo
demo: toolchain ## the article's cluster through all five tools, into out/ (certificates into pki/)
	@.ci/packages build
	$(CARGO) build --workspace --bins
	@PATH="$(abspath $(TARGET))/debug:$$PATH" examples/article/demo

.PHONY: test
test: toolchain ## every test; installs the Debian packages that the tests ask, where it may
	@.ci/packages build test
	$(CARGO) test --workspace --no-fail-fast

.PHONY: test-vm
test-vm: toolchain ## a lab in a qemu guest with a stock kernel: IPsec by the kernel's ESP; minutes, and no KVM needed
	@.ci/packages build test vm
	@.ci/kernel
	$(CARGO) build --workspace --bins
	$(CARGO) test --package kmh-tests --test lab_vm -- --test-threads=1

.PHONY: bench
bench: toolchain ## a 200 MB stream against cat and jq; the pipe for 1,000 nodes; the network of 5,000; the store; as root, labs of 30 sites
	@.ci/packages build bench
	$(CARGO) build --release --workspace --bins
	$(CARGO) run --release --package kmh-tests --example bench
	$(CARGO) run --release --package kmh-pki --example bench_pki

.PHONY: lint
lint: toolchain ## clippy, formatting, and licences and advisories where cargo-deny is installed
	@.ci/packages build
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) fmt --all --check
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo 'cargo-deny is not installed: licences, advisories and bans were not checked (cargo install cargo-deny)'; fi

# libFuzzer with the coverage that the stable compiler instruments: what cargo-fuzz does, without it and without nightly.
FUZZ_SECONDS ?= 60
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_TARGETS := $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares

.PHONY: fuzz
fuzz: toolchain ## parsers of files from outside, a minute each (FUZZ_SECONDS); what is found lies in target/fuzz/
	@.ci/packages build fuzz
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --release --locked --manifest-path fuzz/Cargo.toml \
	    --target $(FUZZ_HOST) --target-dir $(TARGET)/fuzz
	@for target in $(FUZZ_TARGETS); do \
	    corpus=$(TARGET)/fuzz/corpus/$$target; found=$(TARGET)/fuzz/found/$$target; mkdir -p $$corpus $$found fuzz/seeds/$$target; \
	    echo "fuzz: $$target, $(FUZZ_SECONDS) s"; \
	    $(TARGET)/fuzz/$(FUZZ_HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=$$found/ $$corpus fuzz/seeds/$$target || exit 1; done

.PHONY: fmt
fmt: toolchain ## format the sources
	$(CARGO) fmt --all

.PHONY: gen
gen: toolchain ## write man pages, completions, JSON Schemas, and what the README and docs/checks.md show anew
	@.ci/packages build
	$(CARGO) build --workspace --bins
	KMH_UPDATE=1 $(CARGO) test --package kmh-check --lib table
	KMH_UPDATE=1 $(CARGO) test --package kmh-tests --test generated --test readme

.PHONY: doc
doc: toolchain ## the crates' own documentation, into target/doc/
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

# One list for install and uninstall: FROM:TO:MODE, TO below PREFIX.
DOC := share/doc/kmh
EXAMPLES := $(filter-out %/build,$(wildcard examples/*/*))
FILES := $(foreach tool,$(TOOLS),\
             $(TARGET)/release/$(tool):bin/$(tool):755 \
             completions/bash/$(tool).bash:share/bash-completion/completions/$(tool):644 \
             completions/zsh/_$(tool):share/zsh/site-functions/_$(tool):644 \
             completions/fish/$(tool).fish:share/fish/vendor_completions.d/$(tool).fish:644) \
         $(foreach page,$(wildcard man/*.[157]),$(page):share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page)):644) \
         $(foreach file,$(wildcard docs/*.md) README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT,$(file):$(DOC)/$(file):644) \
         $(foreach file,$(EXAMPLES),$(file):$(DOC)/$(file):$(if $(filter %/demo,$(file)),755,644))

# cargo knows best what is old; this stamp keeps `sudo make install` after `make build` from building as root.
STAMP := $(TARGET)/release/.kmh-built
$(STAMP): Cargo.toml Cargo.lock $(shell find crates -type f -not -name '*.md')
	@.ci/packages build
	@command -v $(CARGO) >/dev/null || { echo 'no cargo here: run `make build` as the user who has it, then install' >&2; exit 1; }
	$(CARGO) build --release --workspace --bins
	@touch $@

.PHONY: build
build: $(STAMP) ## the tools as they are installed, into target/release/

.PHONY: install
install: $(STAMP) ## binaries, man pages, completions, examples below PREFIX (/usr/local); DESTDIR stands before it
	@set -e; for entry in $(FILES); do \
	    from=$${entry%%:*}; mode=$${entry##*:}; to=$${entry#*:}; to=$${to%:*}; \
	    install -D -m "$$mode" "$$from" "$(DESTDIR)$(PREFIX)/$$to"; \
	done
	@echo 'installed below $(DESTDIR)$(PREFIX): start with `man kmh`'

.PHONY: uninstall
uninstall: ## remove what install put there, and nothing else
	@set -e; for entry in $(FILES); do to=$${entry#*:}; rm -f "$(DESTDIR)$(PREFIX)/$${to%:*}"; done
	@if [ -d "$(DESTDIR)$(PREFIX)/$(DOC)" ]; then find "$(DESTDIR)$(PREFIX)/$(DOC)" -depth -type d -empty -delete; fi

.PHONY: clean
clean: ## remove what was built and the demo's out/; pki/ holds keys and stays
	$(CARGO) clean
	rm -rf out examples/article/build
	@if [ -d pki ]; then echo 'pki/ holds the keys of the demo; remove it by hand: rm -r pki'; fi
