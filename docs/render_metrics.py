"""Write the table of metrics into docs/operations.md: `python docs/render_metrics.py`; a test compares them."""

from pathlib import Path

from appstream_export.run.metrics import METRICS, PREFIX

PAGE = Path(__file__).with_name("operations.md")
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->"


def render_metrics() -> str:
    """Return the table of all metrics, their labels and meaning."""
    rows = [
        f"| `{PREFIX}{name}` | {', '.join(f'`{label}`' for label in labels)} | {meaning} |\n"
        for name, (meaning, labels) in METRICS.items()
    ]
    return "".join(["| metric | labels | meaning |\n", "|---|---|---|\n", *rows])


def replace_table(text: str) -> str:
    """Return a page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{render_metrics()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(replace_table(PAGE.read_text("utf-8")), "utf-8")
