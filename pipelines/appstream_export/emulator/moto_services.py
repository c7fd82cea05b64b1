"""Find out what moto answers on its own."""

from functools import cache
from importlib import import_module
from typing import Any

from botocore import xform_name

from .operations import load_service_model


@cache
def is_answered_by_moto(service: str, operation: str) -> bool:
    """Return whether moto's part of a service has a method for an operation."""
    module = _load_responses(service)
    method = xform_name(operation)
    return any(hasattr(part, method) for part in vars(module).values() if isinstance(part, type)) if module else False


def _load_responses(service: str) -> Any:
    from moto.backend_index import backend_url_patterns

    model = load_service_model(service)
    prefix = model.metadata["endpointPrefix"] if model else service
    host = f"https://{prefix}.us-east-1.amazonaws.com"
    name = next((name for name, pattern in backend_url_patterns if pattern.match(host)), None)
    try:
        return import_module(f"moto.{name}.responses") if name else None
    except ImportError:
        return None
