"""Find AWS profiles that cannot work in a run, because they would prompt or need a missing package.

Takes botocore's sessions without importing botocore.
"""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NoReturn

from appstream_export.error_rules import suggest_fix
from appstream_export.errors import ConfigurationError
from appstream_export.installation import format_install_command
from appstream_export.status import Status

_CRT = "awscrt"
_STEPS_MAX = 20  # botocore refuses circles of source profiles later, in its own words


class ProfileError(ConfigurationError):
    """A profile that a run cannot use; `code` is one of ERROR_RULES."""

    def __init__(self, message: str, *, code: str, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.code = code


def check_profile(session: Any, profile: str | None) -> None:
    """Raise ProfileError if the profile would prompt for an MFA code, or needs a package that is not installed.

    Without a profile, check the one that botocore would choose, unless keys in the environment take precedence.
    """
    # AWS_PROFILE does not go before keys of the environment, only a profile named in the settings does. Half a pair of
    # keys is reported once credentials are needed.
    if profile is None and os.environ.get("AWS_ACCESS_KEY_ID"):
        return
    profiles: Mapping[str, Any] = session.full_config.get("profiles", {})
    name = profile or session.profile or "default"
    for step in _walk_sources(profiles, name):
        found = profiles[step]
        chain = "" if step == name else f', which profile "{name}" starts from,'
        if "mfa_serial" in found and _is_role_profile(found):
            raise build_mfa_error(f'profile "{step}"{chain} asks for an MFA code ({found["mfa_serial"]})')
        if "login_session" in found and find_spec(_CRT) is None:
            message = f'profile "{step}"{chain} is one of `aws login`, which needs the package {_CRT}'
            raise ProfileError(message, code="MissingDependency", fix=format_install_command("crt"))


def refuse_mfa_prompts(session: Any) -> None:
    """Make the session raise ProfileError where botocore would prompt for an MFA code."""
    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = _refuse_prompt  # botocore has no public place for it


def build_mfa_error(what: str) -> ProfileError:
    """Return the error for a prompt for an MFA code."""
    return ProfileError(what, code="MfaRequired", fix=suggest_fix(Status.DENIED, "MfaRequired"))


def _refuse_prompt(prompt: str) -> NoReturn:
    raise build_mfa_error(f'botocore would ask: "{prompt.strip().rstrip(":")}"')


def _walk_sources(profiles: Mapping[str, Any], name: str) -> list[str]:
    """Yield the profile and its source profiles, in botocore's order."""
    found: list[str] = []
    while name in profiles and name not in found and len(found) < _STEPS_MAX:
        found.append(name)
        name = profiles[name].get("source_profile", "") if _is_role_profile(profiles[name]) else ""
    return found


def _is_role_profile(profile: Mapping[str, Any]) -> bool:
    return "role_arn" in profile and "web_identity_token_file" not in profile
