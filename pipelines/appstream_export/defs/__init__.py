"""The run as Dagster sees it: one multi_asset, its coverage check, its job. Only this folder knows Dagster."""
