"""Parts of an export in a run of a host project: whatever is selected, data lands and the run fails last."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.defs import TableInputManager, export_definitions
from appstream_export.defs.steps import find_step_config
from appstream_export.emulator import Emulator, Fault
from appstream_export.run import execute_run
from appstream_export.settings import read_settings
from tests.defs.exports import as_toml
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK = f"{ACCOUNTS[0]}/eu-west-1"


@dg.asset(deps=[["image_builders"], ["feeds", "image_builders"], ["image_builder_subnets"]])
def by_team() -> None:
    """What a host makes of our tables and feeds."""


@dataclass(frozen=True)
class Host:
    """A host's Dagster over a small export."""

    export: Export
    instance: dg.DagsterInstance
    config: Path

    def run(self, *assets: str, with_checks: bool = True) -> dg.ExecuteInProcessResult:
        """A job of these assets; without its checks if need be."""
        selection = dg.AssetSelection.assets(*(dg.AssetKey(asset.split("/")) for asset in assets))
        job = dg.define_asset_job("part", selection if with_checks else selection.without_checks())
        ours = dg.Definitions(assets=[by_team], jobs=[job])
        made = dg.Definitions.merge(ours, export_definitions(self.config)).resolve_job_def("part")
        return made.execute_in_process(instance=self.instance, raise_on_error=False)

    def materialized(self, result: dg.ExecuteInProcessResult) -> list[str]:
        """Keys of what the run made, from its log: a result lacks what a step logs just before it fails."""
        logs = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        keys = [e.dagster_event.asset_key for e in logs if e.dagster_event]
        return [key.to_user_string() for key in keys if key]

    def checked(self, result: dg.ExecuteInProcessResult) -> dict[str, bool]:
        """Whether each check has passed, from the log too."""
        logs = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [e.dagster_event.asset_check_evaluation_data for e in logs if e.dagster_event]
        return {check.check_name: check.passed for check in found}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One warehouse; a scope is denied from the second run on."""
    folder = tmp_path_factory.mktemp("host")
    with Emulator() as aws, pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        export = Export(aws, folder)
        aws.put(SICK, image_builder("a"))
        config = folder / "appstream-export.toml"
        config.write_text(as_toml(export))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("os.fsync", lambda _: None)
        yield Host(export, instance, config)


def steps(result: dg.ExecuteInProcessResult, *, failed: bool) -> list[str | None]:
    return [e.step_key for e in result.all_events if (e.is_step_failure if failed else e.is_step_success)]


@pytest.mark.slow
@pytest.mark.parametrize("feed", [(), ("feeds/image_builders",)], ids=["table", "feed"])
def test_a_part_of_a_clean_export_publishes_everything_and_is_green(feed: tuple[str, ...], host: Host) -> None:
    result = host.run("image_builders", *feed, "by_team")
    made = host.materialized(result)

    assert result.success
    assert {"by_team", "image_builders", "feeds/image_builders", "image_builder_overview", "report"} <= set(made)
    assert len(made) == len(set(made)), "each once"
    assert host.checked(result)["coverage"]
    assert host.checked(result)["report_is_written"]
    assert steps(result, failed=False).index("coverage") > steps(result, failed=False).index("snapshot_tables")
    if feed:
        assert steps(result, failed=False).index("coverage") > steps(result, failed=False).index("outputs")


@pytest.mark.slow
def test_one_denied_scope_lands_its_data_downstream_and_then_fails_the_run(host: Host) -> None:
    host.export.aws.fail(SICK, "deny")
    try:
        result = host.run("image_builders", "by_team")
        without = host.run("image_builder_subnets", "by_team")
        alone = host.run("image_builders", "feeds/image_builders", with_checks=False)
    finally:
        host.export.aws.heal()

    assert steps(result, failed=True) == ["coverage"]
    assert "by_team" in host.materialized(result)
    assert not host.checked(result)["coverage"]
    assert "by_team" in host.materialized(without), "no check of the last step is selected, but by_team is"
    assert not host.checked(without)["coverage"], "it shows as an event"
    assert steps(alone, failed=True) == ["snapshot_tables"], "nothing of the host waits, so the run fails at once"
    assert host.checked(alone)["duplicate_keys"]
    assert "feeds/image_builders" in host.materialized(alone)


@pytest.mark.slow
def test_a_denied_scope_is_red_also_if_feeds_were_switched_off_after_the_code_was_loaded(host: Host) -> None:
    job = export_definitions(host.config).resolve_job_def("snapshot")
    text = host.config.read_text()
    host.config.write_text(f"{text}\n[feeds]\npublish = false\n")
    host.export.aws.fail(SICK, "deny")
    try:
        result = job.execute_in_process(instance=host.instance, raise_on_error=False)
    finally:
        host.export.aws.heal()
        host.config.write_text(text)

    assert not result.success
    assert "feeds/image_builders" not in host.materialized(result)
    assert not host.checked(result)["coverage"]


@dg.op(config_schema={"accounts": list})
def snapshot_tables() -> None: ...


@dg.op(ins={"after": dg.In(dg.Nothing)})
def last(context: dg.OpExecutionContext) -> None:
    assert find_step_config(context, "snapshot_tables") == {"accounts": ["111122223333"]}


@dg.job(
    executor_def=dg.in_process_executor, config={"ops": {"snapshot_tables": {"config": {"accounts": ["111122223333"]}}}}
)
def configured_job() -> None:
    last(snapshot_tables())


def test_a_later_step_sees_the_config_of_the_job_that_dagster_does_not_store_on_the_run() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.execute_job(dg.reconstructable(configured_job), instance, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)

    assert result.success
    assert run is not None
    assert not run.run_config, "or the run itself could be read"


@pytest.mark.parametrize(
    ("key", "stage", "read"),
    [
        ("feeds/x", "feeds", ("x", True)),
        ("feeds/x", "tables", ("x", False)),
        ("feeds/x", None, ("x", True)),
        ("ours/feeds/v2/x", "feeds", ("v2/x", True)),
        ("ours/feeds/v2/x", "tables", ("x", False)),
        ("ours/feeds/v2/x", None, ("v2/x", True)),
        ("ours/v2/x", None, ("x", False)),
    ],
)
def test_a_table_under_a_prefix_that_ends_in_feeds_is_a_table(
    key: str, stage: str | None, read: tuple[str, bool]
) -> None:
    from appstream_export.defs.reading import _parse_input

    spec = dg.AssetSpec(key.split("/"), tags={"stage": stage} if stage else {})
    found: list[tuple[str, bool]] = []

    class Manager(TableInputManager):
        def load_input(self, context: dg.InputContext) -> None:
            found.append(_parse_input(context))

    @dg.asset(ins={"rows": dg.AssetIn(key=spec.key, input_manager_key="warehouse")})
    def reader(rows: object) -> None: ...

    dg.materialize([reader, spec], resources={"warehouse": Manager()})

    assert found == [read]


@pytest.mark.slow
def test_a_version_of_the_feeds_that_is_off_has_no_asset_and_the_other_has_its_check(host: Host) -> None:
    text = host.config.read_text()
    loaded = export_definitions(host.config)
    host.config.write_text(f'{text}\n[feeds]\nversions = ["v2"]\n')
    try:
        star = host.run("feeds/v2/fact_image_builder_day", "feeds/v2/dim_account")
        before_reload = loaded.resolve_job_def("republish").execute_in_process(instance=host.instance)
    finally:
        host.config.write_text(text)
    made = [key for key in host.materialized(star) if key.startswith("feeds/")]

    assert star.success
    assert {"feeds/v2/dim_image_builder", "feeds/v2/feed_status"} <= {*made}
    assert [key for key in made if not key.startswith("feeds/v2/")] == []
    assert host.checked(star) == {}, "checks that belong to other assets"
    assert "feeds/image_builders" not in host.materialized(before_reload), "it is not published any more"
    assert "feeds/v2/dim_account" in host.materialized(before_reload)


HUB, REGION = "123456789012", "eu-west-1"


@pytest.mark.slow
def test_accounts_that_cannot_be_listed_fail_the_run_also_when_nothing_is_due(host: Host, tmp_path: Path) -> None:
    aws, config = host.export.aws, tmp_path / "appstream-export.toml"
    aws.create_organization({HUB: "management"})
    config.write_text(
        f'regions = ["{REGION}"]\nfeeds = {{ publish = false, report = false }}\n'
        f'organization = {{ role_name = "reader" }}\ncontracts.cadence = {{ image_builders = "1d" }}\n'
        f'[aws]\nendpoint_url = "{aws.endpoint_url}"\n[extract]\nmax_attempts = 1\n'
    )
    settings = read_settings(config, {})
    first = execute_run(settings, load_contracts())
    aws.fail(f"{HUB}/us-east-1", Fault("deny", operation="ListAccounts"))
    try:
        command = execute_run(settings, load_contracts())
        result = replace(host, config=config).run("scope_runs")
    finally:
        aws.heal()

    assert (first.exit_code, first.committed) == (0, True)
    assert (command.exit_code, command.committed) == (3, False)
    assert steps(result, failed=True) == ["coverage"]
    assert not host.checked(result)["coverage"]
