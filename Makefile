# Thin on purpose: each recipe calls `cargo xtask …`, where the work is, in Rust.

.DEFAULT_GOAL := help
.PHONY: help run test test-long check release bench screenshots fuzz mutants fmt sqlx linker

help:
	@echo "make run        install what is missing, build, start everything, print the addresses"
	@echo "make test       every test"
	@echo "make test-long  every test at its full length"
	@echo "make check      format, clippy, wasm, docs, SQL, dependencies, tidy"
	@echo "make release    freeside as it is shipped: compiled twice, guided by what the first one did under load"
	@echo "make bench      measure it"
	@echo "make screenshots  pictures of every page, into docs/screenshots"
	@echo "make fuzz       a minute of made-up input for every reader of foreign input"
	@echo "make mutants    break the money rules on purpose: does a test notice?"
	@echo "make fmt        format the code"
	@echo "make sqlx       after a change to SQL or a migration: ask a database, and keep its answers in .sqlx"
	@echo
	@echo "make run ARGS='--role gateway'   passes arguments on"

run test test-long check release bench screenshots fuzz mutants fmt sqlx: linker
	@cargo xtask $@ $(ARGS)

# Rust needs a C linker before anything of ours can run.
linker:
	@command -v cc >/dev/null || xtask/linker.sh
