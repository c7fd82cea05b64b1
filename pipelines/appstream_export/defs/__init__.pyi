from .assets import build_snapshot_asset as build_snapshot_asset
from .automation import (
    build_alert_sensor as build_alert_sensor,
    build_freshness_policy as build_freshness_policy,
    build_max_runtime_tag as build_max_runtime_tag,
    build_schedules as build_schedules,
)
from .context import load_settings_or_default as load_settings_or_default
from .maintenance import maintain_warehouse as maintain_warehouse, prune_runs as prune_runs
from .reading import TableInputManager as TableInputManager, WarehouseResource as WarehouseResource
from .sharded import build_sharded_job as build_sharded_job
from .specs import (
    build_asset_sources as build_asset_sources,
    build_asset_spec as build_asset_spec,
    build_dashboard_specs as build_dashboard_specs,
    is_external_asset as is_external_asset,
)
