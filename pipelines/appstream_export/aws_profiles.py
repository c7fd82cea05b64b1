"""Find AWS profiles that cannot work in a run, because they would prompt or need a missing package.

Takes botocore's sessions without importing botocore.
"""

import os
import re
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NoReturn

from appstream_export.error_rules import suggest_fix
from appstream_export.errors import ConfigurationError
from appstream_export.installation import format_install_command
from appstream_export.status import Status

_CRT = "awscrt"
_PROCESS = "custom-process"  # botocore's name of the provider that runs a credential_process
_OPAQUE_ERRORS = frozenset({"CredentialRetrievalError", "MetadataRetrievalError"})
_HTTP_STATUS = re.compile(r"non 200 response (\d{3})\b")
_STEPS_MAX = 20  # botocore reports circles of source profiles later


class ProfileError(ConfigurationError):
    """A profile that a run cannot use; `code` is one of ERROR_RULES."""

    def __init__(self, message: str, *, code: str, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.code = code


def check_profile(session: Any, profile: str | None) -> None:
    """Raise ProfileError if the profile would prompt for an MFA code, or needs a package that is not installed.

    Without a profile, check the one that botocore would choose, unless keys in the environment take precedence.
    """
    # Keys in the environment take precedence over AWS_PROFILE, but not over a profile in the settings. An access key
    # without its secret key is reported when credentials are needed.
    if profile is None and os.environ.get("AWS_ACCESS_KEY_ID"):
        return
    profiles: Mapping[str, Any] = session.full_config.get("profiles", {})
    name = profile or session.profile or "default"
    for step in _walk_sources(profiles, name):
        found = profiles[step]
        chain = "" if step == name else f' (a source of profile "{name}")'
        if "mfa_serial" in found and _is_role_profile(found):
            raise build_mfa_error(f'profile "{step}"{chain} requires an MFA code ({found["mfa_serial"]})')
        if "login_session" in found and find_spec(_CRT) is None:
            message = f'profile "{step}"{chain} uses `aws login`, which needs the package {_CRT}'
            raise ProfileError(message, code="MissingDependency", fix=format_install_command("crt"))


def refuse_mfa_prompts(session: Any) -> None:
    """Make the session raise ProfileError instead of a prompt for an MFA code."""
    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = _refuse_prompt  # botocore has no public API for it


def build_mfa_error(what: str) -> ProfileError:
    """Return the error for a prompt for an MFA code."""
    return ProfileError(what, code="MfaRequired", fix=suggest_fix(Status.DENIED, "MfaRequired"))


def find_process_program(session: Any, profile: str | None) -> str | None:
    """Return the name of the program of the profile's credential_process; None without one or if it is unusual.

    Its folder and arguments are left out, because they may hold secrets.
    """
    profiles: Mapping[str, Any] = session.full_config.get("profiles", {})
    for step in _walk_sources(profiles, profile or session.profile or "default"):
        try:
            words = shlex.split(profiles[step].get("credential_process", ""))
        except ValueError:  # an unclosed quote
            return None
        if words:
            name = re.split(r"[/\\]", words[0])[-1]
            return name if re.fullmatch(r"[A-Za-z][\w.-]{0,40}", name, re.ASCII) else None
    return None


def describe_provider_error(error: Exception, program: str | None = None) -> tuple[str, str] | None:
    """Return code and text for a botocore error that repeats the output of a program or server; None for others.

    That output is not shown, because it may hold anything, even credentials.
    """
    if type(error).__name__ not in _OPAQUE_ERRORS:
        return None
    provider = getattr(error, "kwargs", {}).get("provider")
    if provider == _PROCESS:
        ran = f" ({program})" if program else ""
        return "CredentialProcess", f"its credential_process{ran} returned no credentials"
    status = _HTTP_STATUS.search(str(error))
    return "NoCredentials", f"{provider or 'the metadata service'} returned no credentials" + (
        f" (HTTP {status[1]})" if status else ""
    )


def _refuse_prompt(prompt: str) -> NoReturn:
    raise build_mfa_error(f'botocore would prompt: "{prompt.strip().rstrip(":")}"')


def _walk_sources(profiles: Mapping[str, Any], name: str) -> list[str]:
    """Return the profile and its source profiles, in botocore's order."""
    found: list[str] = []
    while name in profiles and name not in found and len(found) < _STEPS_MAX:
        found.append(name)
        name = profiles[name].get("source_profile", "") if _is_role_profile(profiles[name]) else ""
    return found


def _is_role_profile(profile: Mapping[str, Any]) -> bool:
    return "role_arn" in profile and "web_identity_token_file" not in profile
