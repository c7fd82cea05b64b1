"""diff: what a dashboard would miss is named; what it gains breaks nothing."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from appstream_export.contracts import Column, load_contracts
from appstream_export.contracts.loader import load_contract
from appstream_export.errors import ConfigurationError
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.diff import diff_feeds, list_differences
from appstream_export.feeds.verify import verify_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, Lake, builder, ok

COLUMNS = (
    Column("image_builder_key", "VARCHAR", "Key."),
    Column("state", "VARCHAR", "Where it stands in its life."),
    Column("root_volume_size_gb", "BIGINT", "Root volume."),
)
OLD = Feed("image_builders", "Builders.", COLUMNS, "image_builder_key", "")


def without(name: str) -> Callable[[Feed], Feed]:
    return lambda feed: replace(feed, columns=tuple(c for c in feed.columns if c.name != name))


def changed(column: str, /, **fields: str) -> Callable[[Feed], Feed]:
    return lambda feed: replace(
        feed, columns=tuple(replace(c, **fields) if c.name == column else c for c in feed.columns)
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("state"), ["breaks  image_builders: column state VARCHAR is gone"]),
        (
            changed("state", name="lifecycle"),
            [
                "breaks  image_builders: column state VARCHAR is gone; renamed to lifecycle?",
                "adds  image_builders: column lifecycle VARCHAR",
            ],
        ),
        (
            changed("root_volume_size_gb", name="root_volume_gb", doc="Another doc."),
            [
                "breaks  image_builders: column root_volume_size_gb BIGINT is gone; renamed to root_volume_gb?",
                "adds  image_builders: column root_volume_gb BIGINT",
            ],
        ),
        (
            changed("root_volume_size_gb", type="DOUBLE"),
            ["breaks  image_builders: column root_volume_size_gb was BIGINT and is DOUBLE"],
        ),
        (
            lambda feed: replace(feed, key="state"),
            ["breaks  image_builders: the key was image_builder_key and is state"],
        ),
        (
            lambda feed: replace(feed, name="builders"),
            ["breaks  image_builders: the feed is gone; renamed to builders?", "adds  builders: a new feed"],
        ),
        (changed("state", doc="Another doc."), []),
        (lambda feed: feed, []),
    ],
    ids=["dropped", "renamed", "renamed and told otherwise", "retyped", "key", "feed renamed", "doc", "same"],
)
def test_what_breaks_a_dashboard_is_named(change: Callable[[Feed], Feed], says: list[str]) -> None:
    new = change(OLD)

    assert [str(d) for d in list_differences({OLD.name: OLD}, {new.name: new})] == says


@pytest.mark.slow
def test_a_contract_that_loses_renames_and_retypes_columns_is_told_before_it_is_published(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING", root_volume_size_gb=200)))
    publish_feeds(lake.store, lake.contracts)
    (contract,) = load_contracts()
    file = tmp_path / contract.file.name
    lines = [line for line in contract.file.read_text().splitlines() if not line.startswith("agent_screen_resolution")]
    text = "\n".join(lines).replace("agent_screen_image_format", "agent_image_format")
    file.write_text(text.replace('UserControlMode", type = "string"', 'UserControlMode", type = "integer"'))

    assert diff_feeds(lake.store, lake.contracts) == []
    found = [str(d) for d in diff_feeds(lake.store, [load_contract(file)]) if d.is_breaking]
    assert found == [
        "breaks  image_builders: column agent_screen_resolution VARCHAR is gone",
        "breaks  image_builders: column agent_screen_image_format VARCHAR is gone; renamed to agent_image_format?",
        "breaks  image_builders: column agent_user_control_mode was VARCHAR and is BIGINT",
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse with two generations, the second with a label; no test may change it."""
    lake = Lake(tmp_path_factory.mktemp("two") / "warehouse")
    lake.commit(ok(A, builder("a")))
    publish_feeds(lake.store, lake.contracts)
    publish_feeds(lake.store, lake.contracts, FeedsSettings(account_labels=("team",)))
    return lake


@pytest.mark.slow
def test_generations_are_compared_by_name_by_folder_and_with_what_would_be_published(two: Lake) -> None:
    generations = Path(two.store.root, "feeds", "v1", "generations")
    first, second = sorted(generations.iterdir())
    gained = diff_feeds(two.store, two.contracts, old=first.name, new="current")

    assert {d.text for d in gained} == {"column label_team VARCHAR"}
    assert not any(d.is_breaking for d in gained)
    assert {
        str(d) for d in diff_feeds(two.store, two.contracts, old=str(second), new=str(first / "datapackage.json"))
    } == {f"breaks  {d.feed}: column label_team VARCHAR is gone" for d in gained if not d.feed.startswith("v2/")}
    assert {d.text for d in diff_feeds(two.store, two.contracts)} == {"column label_team VARCHAR is gone"}


STAR = FeedsSettings(versions=("v2",))


@pytest.mark.parametrize(("kept", "removed"), [("v2", "v1"), ("v1", "v2")])
def test_a_version_that_the_next_publication_removes_breaks_its_dashboards(kept: str, removed: str, two: Lake) -> None:
    following = FeedsSettings(versions=(kept,), account_labels=("team",))  # ty: ignore[invalid-argument-type]

    assert [str(d) for d in diff_feeds(two.store, two.contracts, following)] == [
        f"breaks  {removed}: the version is no longer published"
    ]


@pytest.mark.slow
def test_with_v2_alone_all_that_is_named_of_generations_is_of_v2(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    both = publish_feeds(lake.store, lake.contracts)
    earlier = shutil.copytree(Path(lake.store.root, "feeds/v1", both.current.generation), tmp_path / "earlier")
    star = publish_feeds(lake.store, lake.contracts, STAR)
    unknown = f'there is no generation "01NOPE" of feeds; the newest are: {star.current.name}'

    for new in ("current", "next"):
        found = diff_feeds(lake.store, lake.contracts, STAR, old=str(earlier), new=new)
        assert [str(d) for d in found] == ["breaks  v1: the version is no longer published"], new
    assert diff_feeds(lake.store, lake.contracts, old="current", new=star.current.name) == []
    with pytest.raises(ConfigurationError, match=unknown):
        diff_feeds(lake.store, lake.contracts, STAR, old="01NOPE")
    with pytest.raises(ConfigurationError, match=unknown):
        verify_feeds(lake.store, "01NOPE")


def test_without_feeds_a_diff_names_the_way_to_them(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))

    with pytest.raises(ConfigurationError, match="no feeds yet"):
        diff_feeds(lake.store, lake.contracts, STAR)


@pytest.mark.parametrize(
    ("name", "why"),
    [("nothing", 'there is no generation "nothing" of feeds; the newest are: '), ("/no/where", "/no/where/datapack")],
)
def test_what_cannot_be_compared_is_named(name: str, why: str, two: Lake) -> None:
    with pytest.raises(ConfigurationError, match=why):
        diff_feeds(two.store, two.contracts, old=name)


def test_a_description_that_is_no_generations_is_refused(two: Lake, tmp_path: Path) -> None:
    (tmp_path / "datapackage.json").write_bytes(msgspec.json.encode({"resources": [{"format": "parquet"}]}))

    with pytest.raises(ConfigurationError, match="cannot be read as a data package of feeds"):
        diff_feeds(two.store, two.contracts, old=str(tmp_path))
