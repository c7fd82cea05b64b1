"""The warehouse that a command is about, from flags, environment and configuration: the one way for every command.

1. `--warehouse`
2. `APPSTREAM_EXPORT_WAREHOUSE`, unless `--config` is typed, which is nearer than the environment
3. the configuration: `--config`, `APPSTREAM_EXPORT_CONFIG` or ./appstream-export.toml

A warehouse that the configuration is about, however it is spelled, has the configuration's settings: retention, file
modes, S3 endpoint and keys, feeds, freshness. Another one has the defaults.
"""

import argparse
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.options import WAREHOUSE_VARIABLE, parse_warehouse
from appstream_export.errors import SettingsError

if TYPE_CHECKING:
    from appstream_export.lake.storage import Store
    from appstream_export.settings import S3Settings, Settings


@dataclass(frozen=True)
class Target:
    """A warehouse, and what is set for it. The configuration is read only when it is needed."""

    warehouse: str
    config_file: Path | None = None
    """The value of --config; None leaves the configuration to be found."""
    configuration: "Settings | None" = None
    """The configuration, where it has been read already."""

    @cached_property
    def settings(self) -> "Settings":
        """The configuration, or defaults where that is about another warehouse; `warehouse` is this one either way."""
        from msgspec.structs import replace

        from appstream_export.settings import Settings

        configured = self.configuration or find_configuration(self.config_file)
        if configured is None or not is_same_warehouse(configured.warehouse, self.warehouse):
            configured = Settings()
        return replace(configured, warehouse=self.warehouse)

    def load_reading_settings(self) -> "Settings":
        """Return the settings; the defaults where a folder is named and the configuration beside it cannot be read.

        A folder is read whatever lies in the current one. What was named explicitly is not passed over.
        """
        from msgspec.structs import replace

        from appstream_export.settings import Settings

        try:
            return self.settings
        except SettingsError as error:
            if self.config_file or os.environ.get("APPSTREAM_EXPORT_CONFIG") or self.warehouse.startswith("s3://"):
                raise
            console.log_line(f"read without settings: {error}")
            return replace(Settings(), warehouse=self.warehouse)

    @property
    def s3(self) -> "S3Settings | None":
        """How the bucket is reached; None for a folder, so that reading one needs no configuration."""
        return self.settings.s3 if self.warehouse.startswith("s3://") else None

    def open_store(self, *, writing: bool = False) -> "Store":
        """Open the warehouse; raises ConfigurationError where there is none, or where `writing` is not possible."""
        from appstream_export.lake.storage import open_store

        mode = int(self.settings.lake.file_mode, 8)
        store = open_store(self.warehouse, file_mode=mode, s3=self.s3)
        return open_store(self.warehouse, file_mode=mode, create=True, s3=self.s3) if writing else store


def resolve_target(args: argparse.Namespace) -> Target:
    """Find the warehouse of a command that reads or maintains one; raises SettingsError where none is named."""
    if named := find_named_warehouse(args):
        return Target(named, args.config)
    configured = find_configuration(args.config)
    if configured is None:
        from appstream_export.settings import DEFAULT_FILE

        fix = f"name it with --warehouse PATH or {WAREHOUSE_VARIABLE}, or work beside an {DEFAULT_FILE}"
        raise SettingsError(f"which warehouse? {fix}", fix=f"to see one made: {console.format_command('demo')}")
    return Target(configured.warehouse, args.config, configured)


def read_run_settings(args: argparse.Namespace) -> "Settings":
    """Read the settings of a command that asks AWS: the configuration, with the warehouse that is named, if one is.

    The settings stay those of the configuration for another warehouse too: a run is the configuration's, whose accounts
    and labels it takes.
    """
    from msgspec.structs import replace

    from appstream_export.settings import read_settings

    configured = read_settings(args.config)
    named = find_named_warehouse(args)
    return replace(configured, warehouse=named) if named else configured


def find_named_warehouse(args: argparse.Namespace) -> str | None:
    """Return the warehouse that a flag or the environment names; None where it is left to the configuration."""
    variable = None if args.config else os.environ.get(WAREHOUSE_VARIABLE)
    return args.warehouse or (parse_warehouse(variable) if variable else None)


def find_configuration(file: Path | None) -> "Settings | None":
    """Return the settings of the configuration at hand, or None where there is none; raises SettingsError.

    It may be without accounts: commands that read a warehouse ask none.
    """
    from appstream_export.settings import find_settings_file, read_settings

    found = find_settings_file(file, os.environ)
    return read_settings(found, needs_accounts=False) if found else None


def is_same_warehouse(one: str, other: str) -> bool:
    """Return whether two places are one: a bucket and prefix without a last slash, a folder behind all its links."""
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def list_target_flags(args: argparse.Namespace) -> list[str]:
    """List the words by which another command finds the same configuration and the same warehouse."""
    words = ["--config", str(args.config)] if args.config else []
    return words + (["--warehouse", args.warehouse] if args.warehouse else [])
