"""What Dagster shows before anything runs: every asset explains itself, and names that others use stay."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.definitions import defs
from appstream_export.defs import sharded, specs
from appstream_export.defs.specs import GROUPS
from appstream_export.settings import parse_settings
from tests.absent import wanted, without

GOLDEN = Path(__file__).parent / "goldens" / "definitions.txt"
LOADED = """
import sys
from appstream_export.definitions import defs
defs()
print(sorted({"jinja2", "boto3", "moto"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def shown() -> list[dg.AssetSpec]:
    """Every asset of our definitions, without a configuration."""
    graph = defs().resolve_asset_graph()
    return [graph.get(key).to_asset_spec() for key in sorted(graph.get_all_asset_keys())]


def test_every_asset_says_what_it_is_whose_it_is_and_what_each_column_means(shown: list[dg.AssetSpec]) -> None:
    for asset in shown:
        name = asset.key.to_user_string()
        assert len(asset.description or "") > 20, name
        assert asset.group_name in GROUPS, name
        assert asset.owners, name
        assert asset.kinds, name
        assert asset.tags["stage"] == asset.group_name, name
        assert len(asset.code_version or "") == 12, name
        assert asset.freshness_policy or asset.group_name == specs.SOURCES, name
        if asset.group_name != specs.REPORT:
            columns = asset.metadata["dagster/column_schema"].columns
            assert columns, name
            assert [c.name for c in columns if not c.description] == [], name


def test_nothing_points_to_its_right(shown: list[dg.AssetSpec]) -> None:
    group = {asset.key: GROUPS.index(asset.group_name or "") for asset in shown}
    back = [
        (asset.key, dep.asset_key) for asset in shown for dep in asset.deps if group[dep.asset_key] > group[asset.key]
    ]

    assert back == []
    assert [asset.key for asset in shown if asset.group_name in ("marts", "feeds", "report") and not asset.deps] == []


def test_keys_jobs_schedules_checks_and_sensors_are_these() -> None:
    """Others name them: dashboards, alerts, other code locations."""
    text = "\n".join(named(defs())) + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        GOLDEN.write_text(text)

    assert text == GOLDEN.read_text()


def named(made: dg.Definitions) -> Iterator[str]:
    graph = made.resolve_asset_graph()
    yield from (f"asset {key.to_user_string()}" for key in sorted(graph.get_all_asset_keys()))
    for key in sorted(graph.asset_check_keys, key=str):
        yield f"check {key.asset_key.to_user_string()}:{key.name}{' blocks' * graph.get(key).blocking}"
    yield from (f"job {job.name}" for job in sorted(made.resolve_all_job_defs(), key=lambda job: job.name))
    for schedule in sorted(made.schedules or [], key=lambda schedule: schedule.name):
        yield f"schedule {schedule.name} {schedule.cron_schedule} {schedule.default_status.value}"
    yield from (f"sensor {sensor.name} {sensor.default_status.value}" for sensor in made.sensors or [])


def test_settings_switch_the_schedule_on_and_name_owners_the_dashboard_and_the_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text(
        'regions = ["eu-west-1"]\n[[accounts]]\nid = "111122223333"\n[feeds]\naccount_labels = ["team"]\n'
        '[dagster]\ncron = "15 6 * * *"\ntimezone = "Europe/Berlin"\nowners = ["a@example.com"]\n'
        'dashboard_url = "https://bi.example.com/d/1"\nalert_webhook = "env:HOOK"\n'
    )
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    made = defs()
    schedule = made.resolve_schedule_def("snapshot_schedule")
    dashboard = made.resolve_asset_graph().get(dg.AssetKey("dashboard"))
    feed = made.resolve_asset_graph().get(specs.build_feed_key("image_builders"))

    assert (schedule.cron_schedule, schedule.execution_timezone) == ("15 6 * * *", "Europe/Berlin")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert made.resolve_sensor_def("alert_on_red").default_status is dg.DefaultSensorStatus.RUNNING
    assert dashboard.metadata["url"].value == "https://bi.example.com/d/1"
    assert dashboard.parent_keys == {k for k in made.resolve_asset_graph().get_all_asset_keys() if k.path[0] == "feeds"}
    assert list(feed.owners) == ["a@example.com"]
    assert dg.AssetKey("accounts") in feed.parent_keys, "its labels come from there"


@pytest.mark.parametrize(
    ("dagster", "sharded_s"),
    [
        ('executor = "in_process"', 3 * 9_120 + 3_600),
        ("executor_config = { max_concurrent = 2 }", 2 * 9_120 + 3_600),
        ("executor_config = { max_concurrent = 3 }", 9_120 + 3_600),
    ],
)
def test_a_run_is_taken_for_dead_no_sooner_than_its_sweeps_are_due(
    dagster: str, sharded_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text(
        'regions = ["eu-west-1"]\n[[accounts]]\nid = "111122223333"\n[extract]\nrun_timeout_s = 9000\n'
        f"[dagster]\nshards = 3\n{dagster}\n"
    )
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    made = defs()
    told = {name: made.resolve_job_def(name).tags["dagster/max_runtime"] for name in ("snapshot", "snapshot_sharded")}

    assert told == {"snapshot": "12600", "snapshot_sharded": str(sharded_s)}


@pytest.mark.parametrize(
    ("executor", "config", "turns"),
    [
        ("celery", {}, 8),
        ("kubernetes", {"max_concurrent": 3}, 3),
        ("dask", {"address": "tcp://127.0.0.1:8786"}, 8),
        ("dask", {"workers": 4}, 2),
    ],
)
def test_shards_come_one_after_the_other_where_nobody_says_how_many_are_swept_at_once(
    executor: str, config: dict[str, object], turns: int, tmp_path: Path
) -> None:
    mapping = {
        "regions": ["eu-west-1"],
        "accounts": [{"id": "111122223333"}],
        "dagster": {"shards": 8, "executor": executor, "executor_config": config},
    }

    assert sharded.count_shard_rounds(parse_settings(mapping, tmp_path / "appstream-export.toml")) == turns


@pytest.mark.parametrize("executor", ["in_process", "multiprocess", "dask"])
def test_an_executor_that_needs_nothing_else_is_found_by_its_name(executor: str) -> None:
    module, name, *_ = sharded.EXECUTORS[executor]

    assert isinstance(getattr(import_module(module), name), dg.ExecutorDefinition)


@pytest.mark.slow
def test_showing_them_loads_no_charts_and_no_aws(tmp_path: Path) -> None:
    import subprocess
    import sys

    environment = without(tmp_path, os.environ)
    told = subprocess.run([sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True)

    assert told.stdout == "[]\n"
    assert wanted(tmp_path) == []
