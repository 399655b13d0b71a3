# Thin aliases, no logic: what they run can be typed by hand.

# list the recipes
default:
    @just --list

# format every crate
fmt:
    cargo fmt --all

# what CI asks of style: formatting and lints
lint:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets -- -D warnings

# every test, with what they need installed first
test:
    bash tests/run

# the Python package from its wheel: types and tests
python:
    bash tests/run python

# the rules of the repository only
tidy:
    cargo test -p cms-tests --test tidy

# API documentation with warnings as errors
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# licences, banned crates, sources
deny:
    cargo deny check licenses bans sources

# benchmarks beside their peers; `just bench decisions_in_process` for one
bench name="":
    bash benches/run {{name}}

# one fuzz target for a minute (needs a nightly toolchain and cargo-fuzz)
fuzz target seconds="60":
    cargo +nightly fuzz run --fuzz-dir fuzz --features libfuzzer {{target}} -- -max_total_time={{seconds}}

# everything that CI runs
ci:
    bash .ci/run
