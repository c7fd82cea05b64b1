"""The export as a component of a Dagster project: `type: appstream_export.defs.AppStreamExport`."""

from pathlib import Path
from typing import Annotated

import dagster as dg

from appstream_export.defs.definitions import export_definitions
from appstream_export.errors import ExportError
from appstream_export.settings import DEFAULT_FILE


class ExportScaffolder(dg.Scaffolder):
    """Scaffolder that writes a `defs.yaml` with the attributes that most projects set."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the file. The settings file is created by `appstream-export init`."""
        attributes = {"config": DEFAULT_FILE, "key_prefix": ["appstream"], "group_prefix": "appstream_"}
        dg.scaffold_component(request, attributes)


@dg.scaffold_with(ExportScaffolder)
class AppStreamExport(dg.Component, dg.Model, dg.Resolvable):
    """Export of every AppStream image builder of an AWS Organization to Parquet, DuckDB, feeds and a report.

    The assets are those of `[dagster]` in docs/dagster.md: tables, marts, feeds and the report, with checks, jobs,
    schedules and an alert sensor. Accounts, regions and the warehouse are in the settings file; secrets are in neither.
    """

    # Dagster reads descriptions and examples from resolvers, not from pydantic's fields.
    config: Annotated[
        str,
        dg.Resolver.default(
            description="The settings file, relative to this file or to the project.",
            examples=[DEFAULT_FILE, "settings/production.toml"],
        ),
    ] = DEFAULT_FILE
    key_prefix: Annotated[
        str | list[str] | None,
        dg.Resolver.default(
            description="Prefix of all asset keys. Several exports in a project need different ones; names of jobs, "
            "steps, schedules, sensors and the pool follow it.",
            examples=[["appstream"]],
        ),
    ] = None
    group_prefix: Annotated[
        str,
        dg.Resolver.default(
            description="Prefix of the groups tables, export, marts, feeds, report.", examples=["appstream_"]
        ),
    ] = ""
    schedule: Annotated[
        str | None,
        dg.Resolver.default(
            description="Cron expression of the job `snapshot`; it replaces [dagster] cron of the settings file.",
            examples=["0 * * * *"],
        ),
    ] = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions; raises one line if the settings file is missing or wrong."""
        try:
            return export_definitions(
                self._find_config(context),
                key_prefix=self.key_prefix or (),
                group_prefix=self.group_prefix,
                schedule=self.schedule,
            )
        except ExportError as error:
            raise dg.DagsterInvalidDefinitionError(str(error)) from None

    def _find_config(self, context: dg.ComponentLoadContext) -> Path:
        """Return the settings file beside the component's file, else in the project."""
        own = context.path if context.path.is_dir() else context.path.parent
        beside = own / self.config
        return beside if beside.is_file() else context.project_root / self.config
