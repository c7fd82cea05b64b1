"""Load the definitions for Dagster: `dagster job execute -m appstream_export.definitions -j snapshot`."""

import dagster as dg

from appstream_export.defs import export_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """Build the definitions of the export that the environment configures, for a code location of its own."""
    # The run has its own threads; a process per step would only cost time.
    return dg.Definitions.merge(export_definitions(), dg.Definitions(executor=dg.in_process_executor))
