"""Where AWS's services are reached, unless at AWS: by the settings, the environment, or the user's AWS config file."""

from collections.abc import Iterable

from appstream_export.contracts import DISCOVERY, REGION_PROOF, find_configured_endpoint
from appstream_export.errors import ConfigurationError
from appstream_export.extract.aws.guard import create_guarded_session
from appstream_export.settings import Settings, find_endpoint_problem, suggest_endpoint_fix

OWN_SERVICES = ("sts", *(operation.partition(":")[0] for operation in (*DISCOVERY, *REGION_PROOF)))
"""Services that an export requests beside those of the contracts."""


def list_endpoints(settings: Settings, services: Iterable[str], profiles: Iterable[str | None] = ()) -> dict[str, str]:
    """Return the URL of each service that is not reached at AWS's own; STS of a profile as `sts of profile NAME`.

    Raises ConfigurationError for a URL that holds a password, and for one without TLS that is not on this machine.
    """
    wanted = sorted({*services, *OWN_SERVICES})
    if settings.aws.endpoint_url:
        return dict.fromkeys(wanted, settings.aws.endpoint_url)
    session = create_guarded_session(settings, ())
    found = {service: find_configured_endpoint(session, service) for service in wanted}
    for profile in sorted({p for p in profiles if p}):
        if profile in session.available_profiles:  # else it is refused later, in better words
            own = create_guarded_session(settings, (), profile)
            found[f"sts of profile {profile}"] = find_configured_endpoint(own, "sts")
    endpoints = {service: url for service, url in found.items() if url}
    for service, url in endpoints.items():
        if problem := find_endpoint_problem(url, allow_http=settings.aws.allow_http):
            what = f"the endpoint of {service}, from the environment or the AWS config file: {problem}"
            raise ConfigurationError(what, fix=suggest_endpoint_fix("[aws]", url))
    return endpoints
