"""What may leave the process: allowed operations only, to this machine only where that is asked, and no loud logs."""

import logging
import os
import socket
import ssl
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from appstream_export.contracts import ASSUME, DISCOVERY, IDENTITY, REGION_PROOF, get_botocore_loader, is_read_operation
from appstream_export.errors import ConfigurationError
from appstream_export.settings import Settings, find_endpoint_problem, is_loopback, suggest_endpoint_fix

READ_OPERATIONS = frozenset({ASSUME, IDENTITY, *REGION_PROOF})
# What boto3 itself asks in order to find a profile's credentials.
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
    """A botocore session whose clients ask allowed operations only and, with a loopback endpoint, this machine only.

    Raises ConfigurationError where AWS_PROFILE names no profile, or the user's AWS files cannot be read.
    """
    restrict_loggers()
    if settings.is_local_aws and profile is None:
        session = create_session_without_files()
    else:
        session = validate_session_config(botocore.session.Session(profile=profile))
    _share_models(session)
    # Tokens of the global STS endpoint are refused in opt-in regions: it is never asked, whatever the user's files say.
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.register("before-call", _build_operation_guard(frozenset(allowed)))
    session.register("before-send.sts", _refuse_global_sts)
    session.register("before-send", _refuse_other_hosts if settings.is_local_aws else _build_url_guard(settings))
    return session


def _share_models(session: botocore.session.Session) -> None:
    """Contracts are read by botocore's models too: once is enough, unless the user has models of his own."""
    if not session.get_config_variable("data_path") and not Path(Loader.CUSTOMER_DATA_PATH).is_dir():
        session.register_component("data_loader", get_botocore_loader())


def restrict_loggers() -> None:
    """Keep botocore's loggers from DEBUG, where it prints secret keys and session tokens, whatever the root's level."""
    children = [
        n for n in logging.root.manager.loggerDict if n.startswith(tuple(f"{top}." for top in _VERBOSE_LOGGERS))
    ]
    for name in (*_VERBOSE_LOGGERS, *children):
        logger = logging.getLogger(name)
        if name in _VERBOSE_LOGGERS or logger.level:  # level 0: as its parent, which is held
            logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))


def validate_session_config(session: botocore.session.Session) -> botocore.session.Session:
    """Return the session with its files read; raises ConfigurationError where botocore would raise later."""
    try:
        session.get_scoped_config()
    except BotoCoreError as error:
        fix = "correct AWS_PROFILE, or the AWS config or credentials files"
        raise ConfigurationError(str(error), fix=fix) from error
    return session


def create_session_without_files() -> botocore.session.Session:
    """A session for the emulator, and for botocore's own lists: no profile or file of the user's can break it."""
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    session.set_config_variable("config_file", os.devnull)
    session.set_config_variable("credentials_file", os.devnull)
    return session


def _build_operation_guard(allowed: frozenset[str]) -> Callable[..., None]:
    def check_call(model: Any, **_: Any) -> None:
        check_operation(allowed, f"{model.service_model.service_name}:{model.name}")

    return check_call


def check_operation(allowed: Collection[str], operation: str) -> None:
    """Raise ConfigurationError for an operation, such as appstream:DeleteImageBuilder, that is not allowed.

    One that changes something is refused also where a caller allows it.
    """
    service, _, name = operation.partition(":")
    if operation not in allowed or not (operation in _OWN_OPERATIONS or is_read_operation(service, name)):
        raise ConfigurationError(
            f"{operation} is not among the read operations that may leave this process; nothing was sent"
        )


def _refuse_other_hosts(request: Any, **_: Any) -> None:
    if not is_loopback(request.url):
        raise ConfigurationError(f"{request.url}: refused: endpoint_url is on this machine, so no other host is asked")


def _build_url_guard(settings: Settings) -> Callable[..., None]:
    """Build what refuses a URL that the network reads along, or that holds a password; whoever named the endpoint."""

    def check_url(request: Any, **_: Any) -> None:
        base = request.url.partition("?")[0]
        if problem := find_endpoint_problem(base, allow_http=settings.aws.allow_http):
            raise ConfigurationError(f"nothing was sent: {problem}", fix=suggest_endpoint_fix("[aws]", base))

    return check_url


def check_ca_bundle(settings: Settings) -> None:
    """Raise ConfigurationError where [aws] ca_bundle is no file of certificates: every call would fail by it."""
    file = settings.aws.ca_bundle
    if file is None:
        return
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"[aws] ca_bundle {file}: {why}", fix="name a file of certificates in PEM") from error


def _refuse_global_sts(request: Any, **_: Any) -> None:
    if urlsplit(request.url).hostname == _GLOBAL_STS:
        fix = "take it out of AWS_ENDPOINT_URL_STS, or of services in the AWS config file"
        raise ConfigurationError(f"{_GLOBAL_STS}: opt-in regions refuse the tokens of the global STS endpoint", fix=fix)


def check_emulator(settings: Settings) -> None:
    """With a loopback endpoint, one connection tells at once what all tasks would find out one by one."""
    url = settings.aws.endpoint_url
    if url is None or not settings.is_local_aws:
        return
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname or "", at.port or {"https": 443}.get(at.scheme, 80)), timeout=5).close()
    except OSError as error:
        fix = f"start it with: appstream-export emulate --dir {Path(settings.warehouse).parent}"
        raise ConfigurationError(f"nothing answers at {url}", fix=fix) from error
