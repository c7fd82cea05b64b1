"""`help TOPIC` shows the pages of docs/, which travel in the package."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.cli.commands.topics import TOPICS

Told = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


def test_without_a_topic_it_lists_them(told: Told) -> None:
    code, out, err = told("help")

    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [*TOPICS]
    assert "settings     Where settings come from\n" in out


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_section_of_its_page(topic: str, told: Told) -> None:
    code, out, err = told("help", topic)
    file, heading = TOPICS[topic]

    assert (code, err) == (0, "")
    assert out.startswith(heading)
    assert out.strip() in (ROOT / "docs" / file).read_text("utf-8")
    assert out.count("\n") > 5


def test_the_package_holds_the_pages_of_all_topics() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert {f"docs/{file}" for file, _ in TOPICS.values()} <= {*wheel["only-include"]}
    assert wheel["sources"]["docs"] == "appstream_export/_docs"


def test_an_unknown_topic_is_one_line(told: Told) -> None:
    assert told("help", "setings") == (
        2,
        "",
        'appstream-export: there is no topic "setings"; did you mean "settings"?\n',
    )
