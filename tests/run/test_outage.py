"""When nothing can be reached it is our network that failed, not every region that closed."""

import json

import pytest

from appstream_export.cli.main import main
from tests.export import Export
from tests.factories import image_builder
from tests.slices import long_but

pytestmark = pytest.mark.usefixtures("without_checks")

DEAD = "http://127.0.0.1:9"
PLACES = {"STS": "AWS_ENDPOINT_URL_STS", "AppStream": "AWS_ENDPOINT_URL_APPSTREAM"}


@pytest.fixture
def export(export: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """An export that reaches the emulator as it would reach AWS: by each service's own address."""
    for place in PLACES.values():
        monkeypatch.setenv(place, export.aws.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    export.more = {"aws": {}}
    return export


@pytest.mark.slow
@pytest.mark.parametrize("place", long_but(PLACES, "AppStream"))
def test_a_run_that_reaches_nobody_is_no_success_though_no_scope_has_rows(
    place: str, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.run()
    monkeypatch.setenv(PLACES[place], DEAD)
    result = export.run()

    assert (result.exit_code, set(export.statuses().values()), result.answer_count) == (3, {"network"}, 0)
    assert export.sql("select bool_or(is_expected) from scope_runs") == [False]


def test_the_doctor_sees_no_design_in_it(
    export: Export, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export.aws.put("111122223333/eu-west-1", image_builder("a"))
    roles = "".join(f'[[accounts]]\nid = "{a}"\nrole_arn = "arn:aws:iam::{a}:role/reader"\n' for a in export.accounts)
    file = export.folder / "appstream-export.toml"
    file.write_text(f"regions = {json.dumps(export.regions)}\n{roles}[extract]\nmax_attempts = 2\n")
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    monkeypatch.setenv(PLACES["AppStream"], DEAD)

    assert (main(["doctor"]), main(["run"])) == (1, 4)
    assert "4 scopes, call, network" in capsys.readouterr().out
