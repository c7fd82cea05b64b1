"""Guards on outgoing requests: only allowed operations, only this machine if so configured, and no secrets in logs."""

import logging
import os
import shlex
import socket
import ssl
from collections.abc import Callable, Collection, Iterable
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader

from appstream_export.contracts import ASSUME, DISCOVERY, IDENTITY, REGION_PROOF, get_botocore_loader, is_read_operation
from appstream_export.errors import ConfigurationError
from appstream_export.settings import Settings, find_endpoint_problem, is_loopback, suggest_endpoint_fix
from appstream_export.settings_file import DEFAULT_FILE, is_demo_file

READ_OPERATIONS = frozenset({ASSUME, IDENTITY, *REGION_PROOF})
# Operations that boto3 itself calls to get a profile's credentials.
CREDENTIAL_OPERATIONS = frozenset(
    {"sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sso:GetRoleCredentials"}
    | {"sso-oidc:CreateToken", "signin:CreateOAuth2Token"}
)
_OWN_OPERATIONS = READ_OPERATIONS | CREDENTIAL_OPERATIONS | set(DISCOVERY)
_GLOBAL_STS = "sts.amazonaws.com"
_VERBOSE_LOGGERS = ("botocore", "boto3", "urllib3")


def create_guarded_session(
    settings: Settings, allowed: Iterable[str], profile: str | None = None
) -> botocore.session.Session:
    """Return a botocore session that sends only allowed operations; with a loopback endpoint only to this machine.

    Raises ConfigurationError if AWS_PROFILE names no profile, or the user's AWS files cannot be read.
    """
    restrict_loggers()
    if settings.is_local_aws and profile is None:
        session = create_session_without_files()
    else:
        session = validate_session_config(_create_session(profile=profile))
    _share_models(session)
    # Opt-in regions refuse tokens of the global STS endpoint, so it is never called, whatever the user configures.
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.register("before-call", _build_operation_guard(frozenset(allowed)))
    session.register("before-send.sts", _refuse_global_sts)
    session.register("before-send", _refuse_other_hosts if settings.is_local_aws else _build_url_guard(settings))
    return session


def _share_models(session: botocore.session.Session) -> None:
    """Share the loaded botocore models with the contracts' loader, unless the user has their own models."""
    if not session.get_config_variable("data_path") and not Path(Loader.CUSTOMER_DATA_PATH).is_dir():
        session.register_component("data_loader", get_botocore_loader())


def restrict_loggers() -> None:
    """Keep botocore's loggers at INFO or above, since they print secret keys and session tokens at DEBUG."""
    children = [
        n for n in logging.root.manager.loggerDict if n.startswith(tuple(f"{top}." for top in _VERBOSE_LOGGERS))
    ]
    for name in (*_VERBOSE_LOGGERS, *children):
        logger = logging.getLogger(name)
        if name in _VERBOSE_LOGGERS or logger.level:  # level 0 inherits the level of its parent, which is set here
            logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))


def validate_session_config(session: botocore.session.Session) -> botocore.session.Session:
    """Return the session with its files read; raises ConfigurationError if botocore would raise later."""
    try:
        session.get_scoped_config()
    except BotoCoreError as error:
        fix = "correct AWS_PROFILE, or the AWS config or credentials files"
        raise ConfigurationError(str(error), fix=fix) from error
    return session


def create_session_without_files() -> botocore.session.Session:
    """Return a session that reads none of the user's profiles and files, for the emulator and for botocore's lists."""
    session = _create_session(session_vars={"profile": (None, None, None, None)})
    session.set_config_variable("config_file", os.devnull)
    session.set_config_variable("credentials_file", os.devnull)
    return session


def _create_session(**options: Any) -> botocore.session.Session:
    # A run creates several sessions, and registering botocore's 128 handlers is most of the cost of one.
    hooks = copy(_register_builtin_handlers(len(BUILTIN_HANDLERS)))
    return botocore.session.Session(event_hooks=hooks, include_builtin_handlers=False, **options)


@lru_cache(maxsize=1)
def _register_builtin_handlers(_count: int) -> HierarchicalEmitter:
    """Return botocore's own handlers, registered once; again if another library has added to their list."""
    hooks = HierarchicalEmitter()
    botocore.session.Session(event_hooks=hooks)
    return hooks


def _build_operation_guard(allowed: frozenset[str]) -> Callable[..., None]:
    def check_call(model: Any, **_: Any) -> None:
        check_operation(allowed, f"{model.service_model.service_name}:{model.name}")

    return check_call


def check_operation(allowed: Collection[str], operation: str) -> None:
    """Raise ConfigurationError for an operation, such as appstream:DeleteImageBuilder, that is not allowed.

    An operation that changes something is refused even if `allowed` has it.
    """
    service, _, name = operation.partition(":")
    if operation not in allowed or not (operation in _OWN_OPERATIONS or is_read_operation(service, name)):
        raise ConfigurationError(
            f"{operation} is not among the read operations that may leave this process; nothing was sent"
        )


def _refuse_other_hosts(request: Any, **_: Any) -> None:
    if not is_loopback(request.url):
        raise ConfigurationError(f"{request.url}: refused: endpoint_url is on this machine, so other hosts are blocked")


def _build_url_guard(settings: Settings) -> Callable[..., None]:
    """Return a handler that refuses URLs without TLS or with a password, whatever the source of the endpoint."""

    def check_url(request: Any, **_: Any) -> None:
        base = request.url.partition("?")[0]
        if problem := find_endpoint_problem(base, allow_http=settings.aws.allow_http):
            raise ConfigurationError(f"nothing was sent: {problem}", fix=suggest_endpoint_fix("[aws]", base))

    return check_url


def check_ca_bundle(settings: Settings) -> None:
    """Raise ConfigurationError if [aws] ca_bundle is not a file of certificates, which would fail every call."""
    file = settings.aws.ca_bundle
    if file is None:
        return
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"[aws] ca_bundle {file}: {why}", fix="name a file of PEM certificates") from error


def _refuse_global_sts(request: Any, **_: Any) -> None:
    if urlsplit(request.url).hostname == _GLOBAL_STS:
        fix = "remove it from AWS_ENDPOINT_URL_STS, or from services in the AWS config file"
        raise ConfigurationError(f"{_GLOBAL_STS}: opt-in regions refuse the tokens of the global STS endpoint", fix=fix)


def check_emulator(settings: Settings) -> None:
    """Raise ConfigurationError if a loopback endpoint accepts no connection, before each task fails by it."""
    url = settings.aws.endpoint_url
    if url is None or not settings.is_local_aws:
        return
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname or "", at.port or {"https": 443}.get(at.scheme, 80)), timeout=5).close()
    except OSError as error:
        folder = Path(settings.warehouse).parent
        fix = "start what serves it, or correct or remove [aws] endpoint_url"
        if is_demo_file(folder / DEFAULT_FILE):
            fix = f"start it with: appstream-export emulate --dir {shlex.quote(str(folder))}"
        raise ConfigurationError(f"nothing answers at {url}", fix=fix) from error
