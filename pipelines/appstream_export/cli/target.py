"""The warehouse of a command, from flags, environment and configuration: every command resolves it here.

1. `--warehouse`
2. `APPSTREAM_EXPORT_WAREHOUSE`, unless `--config` is given: a flag overrides the environment
3. the configuration: `--config`, `APPSTREAM_EXPORT_CONFIG` or the file that `find_settings_file` finds

The settings of the configuration (retention, file modes, S3 endpoint and keys, feeds, freshness) apply to the warehouse
that it names, however the path is written. Any other warehouse gets the defaults.
"""

import argparse
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.log import log_event
from appstream_export.cli.options import parse_warehouse
from appstream_export.errors import SettingsError
from appstream_export.settings_file import CONFIG_VARIABLE, DEFAULT_FILE, WAREHOUSE_VARIABLE, find_settings_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appstream_export.contracts import Contract
    from appstream_export.lake.storage import Store
    from appstream_export.settings import S3Settings, Settings


@dataclass(frozen=True)
class Target:
    """A warehouse and its settings. The configuration is read only when it is needed."""

    warehouse: str
    config_file: Path | None = None
    """The value of --config; None if the configuration must be searched for."""
    configuration: "Settings | None" = None
    """The configuration, if it has been read already."""

    @cached_property
    def settings(self) -> "Settings":
        """The configuration, or the defaults if it names another warehouse; `warehouse` is always this one."""
        from msgspec.structs import replace

        from appstream_export.settings import Settings

        return replace(self._own_configuration or Settings(), warehouse=self.warehouse)

    @property
    def is_configured(self) -> bool:
        """True if the configuration names this warehouse, so that `settings` are those that its runs have."""
        return self._own_configuration is not None

    @cached_property
    def _own_configuration(self) -> "Settings | None":
        found = self.configuration or find_configuration(self.config_file)
        return found if found and is_same_warehouse(found.warehouse, self.warehouse) else None

    def load_reading_settings(self) -> "Settings":
        """Return the settings; the defaults if the configuration of the current folder cannot be read.

        That configuration must not stop the reading of a named folder. Raises SettingsError if the user named the
        configuration, or if the warehouse is a bucket, which needs its settings.
        """
        from msgspec.structs import replace

        from appstream_export.settings import Settings

        try:
            return self.settings
        except SettingsError as error:
            if self.config_file or os.environ.get(CONFIG_VARIABLE) or self.warehouse.startswith("s3://"):
                raise
            log_event(logging.WARNING, f"using default settings: {error}")
            return replace(Settings(), warehouse=self.warehouse)

    def load_output_settings(self, store: "Store") -> "Settings":
        """Return the settings; without a configuration, with the versions of feeds that the warehouse serves now.

        A command away from the configuration must neither bring back a version that it leaves out, nor miss it.
        """
        from msgspec.structs import replace

        from appstream_export.feeds import list_served_versions

        settings = self.load_reading_settings()
        with suppress(SettingsError):
            if self.is_configured:
                return settings
        served = list_served_versions(store)
        return replace(settings, feeds=replace(settings.feeds, versions=tuple(served))) if served else settings

    @property
    def s3(self) -> "S3Settings | None":
        """The S3 settings of a bucket; None for a folder, which can be read without a configuration."""
        return self.settings.s3 if self.warehouse.startswith("s3://") else None

    def load_contracts(self, store: "Store") -> "Sequence[Contract]":
        """Return the contracts of the settings, and those of the newest snapshot for which they have none."""
        from appstream_export.run import load_readable_contracts

        return load_readable_contracts(self.load_reading_settings(), store)

    def load_own_contracts(self) -> "Sequence[Contract]":
        """Return the contracts and the SQL of the settings; the packaged ones if those cannot be read."""
        from appstream_export.run import load_enabled_contracts

        return load_enabled_contracts(self.load_reading_settings())

    def open_store(self, *, writing: bool = False) -> "Store":
        """Open the warehouse; raises ConfigurationError if there is none, or if `writing` is not possible."""
        from appstream_export.lake.storage import open_store

        mode = int(self.settings.lake.file_mode, 8)
        # Open it twice: without `create` it raises if there is no warehouse, and maintenance must not create one.
        store = open_store(self.warehouse, file_mode=mode, s3=self.s3)
        return open_store(self.warehouse, file_mode=mode, create=True, s3=self.s3) if writing else store


def resolve_target(args: argparse.Namespace) -> Target:
    """Return the target of a command that reads or maintains a warehouse; raises SettingsError if none is named."""
    if named := find_named_warehouse(args):
        return Target(named, args.config)
    configured = find_configuration(args.config)
    if configured is None:
        fix = f"name one with --warehouse PATH or {WAREHOUSE_VARIABLE}, or run in a folder with {DEFAULT_FILE}"
        raise SettingsError(f"no warehouse: {fix}", fix=f"to create an example: {console.format_command('demo')}")
    return Target(configured.warehouse, args.config, configured)


def read_run_settings(args: argparse.Namespace) -> "Settings":
    """Return the settings of a command that sends requests to AWS; a named warehouse replaces the configured one.

    All other settings are those of the configuration, because a run uses its accounts and labels.
    """
    from msgspec.structs import replace

    from appstream_export.settings import read_settings

    configured = read_settings(args.config)
    named = find_named_warehouse(args)
    return replace(configured, warehouse=named) if named else configured


def find_named_warehouse(args: argparse.Namespace) -> str | None:
    """Return the warehouse that a flag or the environment names; None if neither does."""
    variable = None if args.config else os.environ.get(WAREHOUSE_VARIABLE)
    return args.warehouse or (parse_warehouse(variable) if variable else None)


def find_configuration(file: Path | None) -> "Settings | None":
    """Return the settings of the configuration, or None if there is no file; raises SettingsError.

    The file may name no accounts: commands that read a warehouse need none.
    """
    found = find_settings_file(file, os.environ)
    if found is None:
        return None
    from appstream_export.settings import read_settings

    return read_settings(found, needs_accounts=False)


def is_same_warehouse(one: str, other: str) -> bool:
    """Return whether two paths are the same warehouse: a last slash of a URL and symbolic links do not count."""
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def list_target_flags(args: argparse.Namespace) -> list[str]:
    """Return the flags with which another command uses the same configuration and warehouse."""
    words = ["--config", str(args.config)] if args.config else []
    return words + (["--warehouse", args.warehouse] if args.warehouse else [])
