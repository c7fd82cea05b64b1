# The commands of this project; `just` lists them.

default:
    @just --list

# run the default tests, with the README's command
test *args:
    uv run pytest {{args}}

# run the slow tests: a second or more each; runs in Dagster, pages in a browser, buckets, slices of the proofs
test-slow *args:
    uv run pytest -m "slow and not long" {{args}}

# run the tests that take minutes, which CI does not run: fresh projects and installs, whole matrices
test-long *args:
    uv run pytest -m long {{args}}

# check style, types, import contracts, SQL, generated docs and Dagster definitions
lint:
    uv run ruff check .
    uv run ruff format --check .
    uv run ty check
    uv run lint-imports
    uv run sqlfluff lint sql
    uv run appstream-export contracts lint
    uv run appstream-export contracts render --check
    uv run dg check defs --target-path pipelines

# prove the guarantees under scale, faults, threads and throttling with real runs: just prove faults, just prove --quick
prove *args:
    uv run python -m benchmarks.proofs {{args}}

# compare the export with other tools, check the budgets, and update README and docs/performance.md
bench file="benchmarks.json":
    #!/usr/bin/env bash
    set -u
    uv run python -m benchmarks --json {{file}}
    missed=$?
    uv run python -m benchmarks --render {{file}} && exit $missed

# generate docs/tables, the picture of the layers and the table of metrics, and format the code
generate:
    uv run appstream-export contracts render
    uv run python docs/draw_layers.py
    uv run python docs/render_metrics.py
    uv run ruff format .
    uv run ruff check --fix .

# bundle the pages' JavaScript after a change in feeds/report/javascript or feeds/query_page/javascript (needs npm)
javascript:
    cd pipelines/appstream_export/feeds/report/javascript && npm ci && npm run build

# run the whole product on an emulated AWS
demo dir="appstream-export-demo":
    uv run appstream-export demo --dir {{dir}}

# start the Dagster UI on the demo's emulated AWS, at 127.0.0.1:3000
demo-ui dir="appstream-export-demo":
    #!/usr/bin/env bash
    set -eu
    test -f {{dir}}/appstream-export.toml || uv run appstream-export demo --dir {{dir}}
    uv run appstream-export emulate --dir {{dir}} & emulator=$!
    trap 'kill $emulator' EXIT
    APPSTREAM_EXPORT_CONFIG={{dir}}/appstream-export.toml uv run dagster dev -w workspace.yaml -h 127.0.0.1

# measure the installed files of dependencies and extras, and write them to docs/install.md
weigh:
    uv run --isolated --no-dev --all-extras --locked python docs/weigh_install.py --write

# list the licences of the install in docs/licences.md
licences:
    uv run --isolated --no-dev --all-extras --locked python docs/list_licences.py

# write a bill of materials of the locked install, with hashes, as CycloneDX 1.5
sbom file="sbom.cdx.json":
    uv export --quiet --locked --no-dev --all-extras --format cyclonedx1.5 --output-file {{file}}

# compare the locked versions with the advisories of osv.dev (needs the network); ends with 0 only if there is none
audit *args:
    uv audit --preview-features audit-command --locked --no-dev {{args}}
