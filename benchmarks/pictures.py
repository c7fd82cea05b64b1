"""Pictures of figures, as SVG."""

from collections.abc import Sequence
from pathlib import Path

import altair as alt
import pyarrow as pa

LOADS = {"sparse": "300 small scopes", "dense": "50,000 builders"}


def curve(points: Sequence[tuple[int, float]], x: str, y: str, path: Path) -> None:
    """How something grows with size, on a logarithmic axis of sizes; of values too, where they grow tenfold."""
    values = [value for _, value in points]
    is_steep = min(values) > 0 and max(values) > 10 * min(values)
    rows = pa.Table.from_pylist([{"size": size, "value": value} for size, value in points])
    chart = (
        alt.Chart(rows)
        .mark_line(point=True, color="#3366aa")
        .encode(
            x=alt.X(
                "size:Q",
                title=x,
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=[s for s, _ in points], format="~s"),
            ),
            y=alt.Y("value:Q", title=y, scale=alt.Scale(type="log") if is_steep else alt.Scale(zero=True)),
        )
        .properties(width=360, height=200)
    )
    chart.save(str(path))


def bars(found: Sequence[tuple[str, str, float]], path: Path) -> None:
    """How many times our wall each rival took, for both loads; the rule is ours."""
    rows = pa.Table.from_pylist([{"load": LOADS[load], "rival": rival, "times": times} for load, rival, times in found])
    base = alt.Chart(rows)
    shown = base.mark_bar(color="#3366aa").encode(
        y=alt.Y("rival:N", title=None, sort=None, axis=alt.Axis(labelLimit=320)),
        x=alt.X("times:Q", title="wall, our sweep = 1"),
    )
    labels = shown.mark_text(align="left", dx=3).encode(text=alt.Text("times:Q", format=".2f"))
    rule = base.mark_rule(strokeDash=[4, 4]).encode(x=alt.datum(1))
    chart = alt.layer(shown, labels, rule).properties(width=320).facet(row=alt.Row("load:N", title=None, sort=None))
    chart.properties(padding={"left": 24, "top": 5, "right": 5, "bottom": 5}).save(str(path))  # for the longest name
