"""The tables of docs/config.md are the signatures and docstrings of the registered functions."""

import importlib.util
import json
import re
from importlib import metadata
from pathlib import Path

import pytest

from spacy_btl.pipeline.component import DEFAULT_CONFIG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf8")

spec = importlib.util.spec_from_file_location("render_config", ROOT / "docs" / "render_config.py")
assert spec is not None
assert spec.loader is not None
render_config = importlib.util.module_from_spec(spec)
spec.loader.exec_module(render_config)


class Lamp:
    """A lamp.

    Args:
        color: "red" or "blue|green"; None for ``off``.
        volts: See
            the label.

    Raises:
        ValueError: Never.
    """

    def __init__(self, color: str | None = None, *, volts: float) -> None: ...


def test_a_section_is_description_and_table() -> None:
    assert render_config.render_section("@misc", "lamp.v1", Lamp) == (
        "\n`@misc`. A lamp.\n\n"
        "| setting | type | default | meaning |\n|---|---|---|---|\n"
        '| `color` | str or null | `null` | "red" or "blue\\|green"; null for `off`. |\n'
        "| `volts` | float | required | See the label. |\n\n"
    )


def test_a_setting_without_meaning_is_an_error() -> None:
    def lamp(color: str, volts: float) -> None:
        """Return nothing.

        Args:
            color: Its color.
        """

    with pytest.raises(ValueError, match=r"docstring of lamp\.v1 does not explain .* volts"):
        render_config.render_section("@misc", "lamp.v1", lamp)


def test_a_registered_name_without_section_is_an_error() -> None:
    page = PAGE.replace("### `spacy-btl.CrfLoss.v1`", "### The CRF")
    with pytest.raises(ValueError, match=r"has no section for spacy-btl\.CrfLoss\.v1"):
        render_config.render_page(page)


def test_the_page_is_what_the_script_writes() -> None:
    assert render_config.render_page(PAGE) == PAGE


def test_sections_are_those_of_the_registered_names() -> None:
    titles = re.findall(r"^#+ `(.+)`$", PAGE, flags=re.MULTILINE)
    points = metadata.distribution("spacy-btl").entry_points
    assert sorted(titles) == sorted(each.name for each in points if each.group != "spacy_cli")


def test_the_factory_gives_its_neighbors_their_own_defaults() -> None:
    given = DEFAULT_CONFIG["neighbors"]
    _, section = PAGE.split(f"### `{given['@misc']}`\n")
    rows = re.findall(r"^\| `(\w+)` \| .+? \| `(.+?)` \|", section.split("\n#")[0], re.MULTILINE)
    assert {name: json.dumps(given[name]) for name, _ in rows} == dict(rows)
