"""Programs that know standards read the star as it is published: frictionless, datacontract, dbt, a semantic layer."""

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from appstream_export.contracts import load_contracts
from appstream_export.feeds import publish_feeds, render_dbt_sources
from appstream_export.feeds.generations import VERSIONS
from appstream_export.feeds.odcs import ODCS_FILE
from appstream_export.feeds.star import build_star_feeds, build_version_feeds
from appstream_export.settings import FeedsSettings
from benchmarks.children import Unreachable, run_uv
from tests.feeds.stars import PRICES, folder
from tests.lake.lakes import A, B, C, Lake, builder, failed, ok

FEEDS = build_star_feeds(load_contracts(), ("team",))
RELATIONS = {(f.name, column, to) for f in FEEDS for column, to in f.foreign_keys.items()}


def run(*command: str, needs: tuple[str, ...], environ: dict[str, str] | None = None) -> str:
    """Output of a program in an environment of its own; skips where no index of packages is reachable."""
    options = [word for need in needs for word in ("--with", need)]
    try:
        run_uv("run", "--quiet", "--isolated", "--no-project", *options, "python", "-c", "pass")
    except Unreachable as why:
        pytest.skip(f"no index of packages: {why}")
    return run_uv("run", "--quiet", "--isolated", "--no-project", *options, *command, environ=environ)


def test_the_contract_names_every_relation_and_lies_beside_the_files(published_star: Lake) -> None:
    contract = yaml.safe_load((folder(published_star) / ODCS_FILE).read_text())
    properties = [(o["name"], p) for o in contract["schema"] for p in o["properties"]]

    found = {(o, p["name"], r["to"].partition(".")[0]) for o, p in properties for r in p.get("relationships", ())}
    assert found == RELATIONS
    assert {(o, p["name"]) for o, p in properties if p.get("primaryKey")} == {(f.name, f.key) for f in FEEDS}


def test_sources_of_dbt_test_every_key_and_relation() -> None:
    text = render_dbt_sources(FEEDS, "/srv/warehouse/feeds/v2/bi.duckdb", None)
    [source] = yaml.safe_load(text)["sources"]
    columns = [(t["name"], c) for t in source["tables"] for c in t["columns"]]
    relations = [(t, c["name"], d["relationships"]["arguments"]["to"])
                 for t, c in columns for d in c.get("data_tests", ()) if isinstance(d, dict)]  # fmt: skip

    assert "path: /srv/warehouse/feeds/v2/bi.duckdb" in text
    assert {(t, c, to.split("'")[3]) for t, c, to in relations} == RELATIONS
    assert {(t, c["name"]) for t, c in columns if "unique" in c.get("data_tests", ())} == {
        (f.name, f.key) for f in FEEDS
    }
    assert {t["name"] for t in source["tables"] if "config" in t} == {"feed_status"}, "no empty table is called stale"


@pytest.mark.long
def test_frictionless_validates_the_package_as_it_is_published(published_star: Lake) -> None:
    needs = ("frictionless[parquet]", "pandas", "fastparquet", "pyarrow")
    place = folder(published_star) / "datapackage.json"
    out = run("frictionless", "validate", str(place), needs=needs)

    assert "INVALID" not in out
    assert out.count("VALID") == len(json.loads(place.read_text())["resources"]) >= 2 * len(FEEDS), "Parquet and CSV"


@pytest.mark.long
def test_datacontract_lints_and_tests_the_contract_as_it_is_published(published_star: Lake) -> None:
    needs, place = ("datacontract-cli[duckdb]",), folder(published_star)
    script = (
        "import os, sys; os.chdir(sys.argv[1])\n"
        "from datacontract.data_contract import DataContract\n"
        f"contract = DataContract(data_contract_file='{ODCS_FILE}')\n"
        "lint, test = contract.lint(), contract.test()\n"
        "print(lint.result.value, sum(c.result.value == 'passed' for c in test.checks),"
        " [c.name for c in test.checks if c.result.value in ('failed', 'error')])"
    )
    lint, passed, rest = run("python", "-c", script, str(place), needs=needs).splitlines()[-1].split(" ", 2)

    assert (lint, rest) == ("passed", "[]")
    assert int(passed) > sum(len(feed.columns) for feed in FEEDS)


@pytest.mark.long
def test_dbt_build_passes_on_the_sources(published_star: Lake, tmp_path: Path) -> None:
    database = Path(published_star.store.root, "feeds/v2/bi.duckdb")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sources.yml").write_text(render_dbt_sources(FEEDS, str(database), None))
    (tmp_path / "models" / "usd.sql").write_text(
        "select day, sum(cost_usd_at_least) as usd"
        " from {{ source('appstream_export', 'fact_image_builder_day') }} group by day"
    )
    (tmp_path / "dbt_project.yml").write_text("name: estate\nversion: '1.0'\nprofile: estate\nmodel-paths: [models]\n")
    attached = [{"path": str(database), "alias": "appstream_export", "read_only": True}]
    target = {"type": "duckdb", "path": str(tmp_path / "dev.duckdb"), "attach": attached}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump({"estate": {"target": "dev", "outputs": {"dev": target}}}))
    where, needs = ("--project-dir", str(tmp_path), "--profiles-dir", str(tmp_path)), ("dbt-core<1.11", "dbt-duckdb")
    quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
    built = run("dbt", "--no-use-colors", "build", *where, needs=needs, environ=quiet)
    fresh = run("dbt", "--no-use-colors", "source", "freshness", *where, needs=needs, environ=quiet)
    tests = sum(len(f.required) + 1 + len(f.foreign_keys) for f in FEEDS)

    assert f"PASS={tests + 1} WARN=0 ERROR=0 SKIP=0" in built
    assert "PASS freshness of appstream_export.feed_status" in fresh
    with duckdb.connect(str(database), read_only=True) as con:
        [(truth,)] = con.execute("select round(sum(cost_usd_at_least), 6) from fact_image_builder_day").fetchall()
    with duckdb.connect(str(tmp_path / "dev.duckdb")) as con:
        con.execute(f"attach '{database}' as appstream_export (read_only)")
        assert con.execute("select round(sum(usd), 6) from usd").fetchall() == [(truth,)]


@pytest.mark.long
def test_a_semantic_layer_gives_the_totals_of_sql(published_star: Lake) -> None:
    root = Path(published_star.store.root, "feeds/v2")
    needs = ("boring-semantic-layer", "ibis-framework[duckdb]", "duckdb<2", "pandas", "pyarrow")
    out = run("python", "benchmarks/readers/with_semantic_layer.py", str(root), needs=needs)
    found = {row["by"]: sorted(row["rows"], key=str) for row in map(json.loads, out.splitlines())}
    joins = {"account.team": "label_team", "builder_day.region": "d.region", "builder.is_current": "is_current",
             "date.month": "year_month"}  # fmt: skip

    assert {*found} == {*joins}
    with duckdb.connect(str(root / "bi.duckdb"), read_only=True) as con:
        for by, column in joins.items():
            rows = con.execute(
                f"select {column}, sum(cost_usd_at_least), sum(running_hours_at_least) from fact_image_builder_day as d"
                " join dim_account using (account_id) join dim_image_builder using (image_builder_life_key)"
                f" join dim_date using (day) group by {column}"
            ).fetchall()
            assert found[by] == [pytest.approx([*row], nan_ok=True) for row in sorted(map(list, rows), key=str)]


TOTALS = {
    "coverage": "count(*), sum(is_stale::int)",
    "export_runs": "count(*), sum(items)",
    "image_builder_daily": "count(*), sum(running_hours_at_least), sum(seen_hours_at_least), sum(cost_usd_at_least)",
    "image_builder_state_spans": "count(*), sum(hours_at_least)",
    "image_builders": "count(*), sum(root_volume_size_gb), sum(disable_imdsv1::int)",
    "dim_image_builder": "count(*), sum(is_current::int)",
    "dim_resource": "count(*), sum(scopes)",
    "dim_scope": "count(*), sum(is_stale::int)",
    "fact_export_run": "count(*), sum(items)",
    "fact_image_builder_day": (
        "count(*), sum(running_hours_at_least), sum(seen_hours_at_least), sum(cost_usd_at_least)"
    ),
    "fact_image_builder_exposure": "count(*), count(*) filter (is_open and is_exposure)",
    "fact_image_builder_state_span": "count(*), sum(hours_at_least)",
    "image_builder_latest": "count(*), sum(exposures), sum(run_rate_usd_per_day), sum(is_running::int)",
}
"""What is compared of each feed; of the others, the number of their rows."""


def history(place: Path) -> Lake:
    """Twelve builders in three scopes over five days: they come, go, change their state and their description."""
    lake, chance = Lake(place), random.Random(7)  # noqa: S311  the same history each time
    for hour in (0, 5, 13, 26, 27, 49, 52, 75, 99, 120):
        answers = [ok(scope, *(_random_builder(f"b{n}", chance) for n in range(4) if chance.random() < 0.8))
                   for scope in (A, B, C)]  # fmt: skip
        if chance.random() < 0.3:
            answers[1] = failed(B)
        lake.commit_at(hour, *answers, prices=PRICES)
    publish_feeds(lake.store, lake.contracts)
    return lake


def _random_builder(name: str, chance: random.Random) -> dict[str, Any]:
    return builder(
        name, state=chance.choice(["RUNNING", "STOPPED", "PENDING", "STOPPING"]), description=chance.choice("xy"),
        instance_type="stream.standard.large" if name != "b3" else "unheard",
        root_volume_size_gb=500 if name == "b1" else 200,
        enable_default_internet_access=chance.random() < 0.5, disable_imdsv1=chance.random() < 0.5,
        subnets=["s1", "s2"][: chance.randrange(3)], errors=["E"][: chance.randrange(2)],
    )  # fmt: skip


@pytest.mark.long
def test_another_engine_computes_the_totals_of_every_feed_from_raw_snapshots(tmp_path: Path) -> None:
    lake = history(tmp_path / "warehouse")
    out = run("python", "benchmarks/readers/recompute_with_polars.py", str(lake.store.root), needs=("polars",))
    truth = json.loads(out.splitlines()[-1])
    for version, totals in truth.items():
        published = {feed.name for feed in build_version_feeds(version, load_contracts(), FeedsSettings())}
        with duckdb.connect(str(Path(lake.store.root, f"feeds/{version}/bi.duckdb")), read_only=True) as con:
            found = {
                name: tuple(map(float, con.execute(f"select {TOTALS.get(name, 'count(*)')} from {name}").fetchall()[0]))
                for name in sorted(published)
            }
        assert found == {name: pytest.approx(tuple(values), abs=0.05) for name, values in totals.items()}
    assert {*truth} == {*VERSIONS}
    assert min(truth["v2"]["dim_image_builder"][0], truth["v2"]["fact_image_builder_state_span"][0]) > 20
