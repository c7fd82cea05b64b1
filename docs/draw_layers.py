"""Draw docs/images/layers.svg from import-linter's layers in pyproject.toml: `python docs/draw_layers.py`."""

import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "layers.svg"
WIDTH, ROW, GAP, INNER = 920, 46, 12, 26
FLOW = ("extract", "normalize", "lake", "feeds")  # the path of the rows, drawn in colour and numbered
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2933 } .small { font-size: 12px; fill: #52606d }
  rect { fill: #f5f7fa; stroke: #9aa5b1 } .flow { fill: #e6f6ff; stroke: #2186eb } .inner { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small { fill: #9aa5b1 } rect { fill: #1f2933; stroke: #616e7c }
    .flow { fill: #102a43; stroke: #4098d7 } .inner { fill: #323f4b }
  }"""


def read_layers() -> dict[str, list[list[str]]]:
    """Return the rows of boxes of each container, top to bottom."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return {
        contract["containers"][0].removeprefix("appstream_export").lstrip("."): [
            [name.strip() for name in layer.split("|")] for layer in contract["layers"]
        ]
        for contract in config
        if contract["type"] == "layers"
    }


def draw_box(name: str, x: float, y: float, width: float, height: float, kind: str = "") -> str:
    """Return one rectangle with its name at the top."""
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        f'<text class="{"small" if kind == "inner" else ""}" x="{x + width / 2:g}" y="{y + 18:g}" '
        f'text-anchor="middle">{escape(name)}</text>'
    )


def draw_inner(layers: list[list[str]], x: float, y: float, width: float) -> list[str]:
    """Return the boxes of a container's own layers, one row each."""
    boxes = []
    for n, row in enumerate(layers):
        part = width / len(row)
        boxes += [
            draw_box(name, x + part * k + 2, y + INNER * n, part - 4, INNER - 4, "inner") for k, name in enumerate(row)
        ]
    return boxes


def render_picture(layers: dict[str, list[list[str]]]) -> str:
    """Return the SVG: a row per layer, and within `lake` and `extract` their own."""
    y, boxes = GAP + 22.0, []
    for row in layers[""]:
        depth = max((len(layers[name]) for name in row if name in layers), default=0)
        height = ROW - 18 + INNER * depth + (6 if depth else 0)
        part = (WIDTH - GAP) / len(row)
        for k, name in enumerate(row):
            x = GAP + part * k
            label = f"{FLOW.index(name) + 1}. {name}" if name in FLOW else name
            boxes.append(draw_box(label, x, y, part - GAP, height, "flow" if name in FLOW else ""))
            boxes += draw_inner(layers.get(name, []), x + 8, y + 26, part - GAP - 16)
        y += height + GAP
    title = "Each box may import what lies below it, not above or beside it. Blue: the path of the rows, 1 to 4."
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:g}" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<text class="small" x="{GAP}" y="20">{title}</text>',
        *boxes,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the picture; with --check, return 1 where it is out of date, and write nothing."""
    picture = render_picture(read_layers())
    if "--check" in sys.argv:
        return int(not PICTURE.exists() or PICTURE.read_text("utf-8") != picture)
    PICTURE.write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
