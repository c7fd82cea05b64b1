"""Add AppStream to moto: one folder in `moto.__path__`, one pattern in moto's index. No fork, no patch."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from appstream_export.errors import ConfigurationError
from appstream_export.installation import format_install_command

PLUGIN = str(Path(__file__).parent / "plugin")
PATTERN = ("appstream", re.compile(r"https?://appstream2?\.(.+)\.amazonaws\.com"))

# What we use of moto beside its documented interface: module, name, the type it must have.
HOOKS: tuple[tuple[str, str, type], ...] = (
    ("moto", "__path__", list),
    ("moto.backend_index", "backend_url_patterns", list),
    ("moto.backends", "get_backend", object),
    ("moto.core.base_backend", "BackendDict", type),
    ("moto.core.base_backend", "BaseBackend", type),
    ("moto.core.responses", "BaseResponse", type),
    ("moto.iam.models", "get_account_id_from", object),
    ("moto.iam.models", "iam_backends", dict),
    ("moto.moto_api._internal.models", "moto_api_backend", object),
    ("moto.moto_server.werkzeug_app", "DomainDispatcherApplication", type),
    ("moto.moto_server.werkzeug_app", "MotoRequestHandler", type),
    ("moto.moto_server.werkzeug_app", "create_backend_app", object),
    ("moto.organizations.models", "organizations_backends", dict),
    ("moto.organizations.models", "FakeAccount", type),
    ("moto.sts.models", "sts_backends", dict),
)


def find_moved_hooks() -> list[str]:
    """Return the names of hooks that the installed moto lacks or has changed."""
    return [f"{module}.{name}" for module, name, kind in HOOKS if not isinstance(_load_hook(module, name), kind)]


def install_plugin() -> ModuleType:
    """Install `moto.appstream`, once per process, and return its models."""
    try:
        moto, index = import_module("moto"), import_module("moto.backend_index")
        import_module("moto.server")
    except ImportError as error:
        raise ConfigurationError("the emulator needs moto's server", fix=format_install_command("demo")) from error
    if moved := find_moved_hooks():
        what = f"this moto is not the one we know: {', '.join(moved)} moved"
        raise ConfigurationError(what, fix=format_install_command(package="moto[server]>=5.2,<6"))
    if PLUGIN not in moto.__path__:
        moto.__path__.append(PLUGIN)
        index.backend_url_patterns.append(PATTERN)
    return import_module("moto.appstream.models")


def _load_hook(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None
