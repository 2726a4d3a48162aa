"""Draw the picture of the README from the measured table: ``python -m bench.readme``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs/pictures/seconds-per-candidate.svg"
RESULTS = ROOT / "bench/results/population-cpu.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FORMS = {
    "published protocol": "published protocol",
    "plain loop, PyTorch alone": "plain PyTorch loop",
    "tree, fp32": "tvtfast, fp32",
    "tree, bf16": "tvtfast, bf16",
}
"""Rows of the table that are bars, from the top, and what they are called beside the bar."""
WIDTH, LABELS, BAR, STEP, TOP = 720, 150, 20, 34, 34
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 } .machine { font-size: 11px; fill: #59636e }
.theirs { fill: #9aa4ae } .ours { fill: #4051b5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .machine { fill: #9198a1 } .theirs { fill: #656c76 } .ours { fill: #8c9eff }
}
"""


def seconds(results: str) -> dict[str, float]:
    """Seconds per candidate of every bar, by the name beside it, from the first table of forms."""
    rows: dict[str, float] = {}
    _, _, table = results.partition("\n| form |")
    for line in takewhile(lambda line: line.startswith("|"), table.splitlines()[1:]):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in FORMS:
            rows[FORMS[cells[0]]] = float(cells[1])
    missing = FORMS.values() - rows.keys()
    if missing:
        raise ValueError(f"the table of forms has no row for {', '.join(sorted(missing))}")
    return rows


def machine(results: str) -> str:
    """The line of the machine: the first that names the version of torch."""
    return next(line for line in results.splitlines() if ", torch " in line)


def picture(bars: Mapping[str, float], where: str) -> str:
    """Horizontal bars as SVG, for light and dark pages, without fonts or scripts from outside."""
    longest = max(bars.values())
    height = TOP + STEP * len(bars) + 18
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(said(bars))}</title>',
        f"<style>{STYLE}</style>",
        '<text class="title" x="0" y="16">Seconds per candidate, 32 images of 224 pixels</text>',
    ]
    for row, (name, value) in enumerate(bars.items()):
        y = TOP + STEP * row
        length = (WIDTH - LABELS - 130) * value / longest
        kind = "ours" if name.startswith("tvtfast") else "theirs"
        times = "" if value == longest else f", {longest / value:.1f} times faster"
        lines += [
            f'<text x="0" y="{y + 15}">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}"/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{y + 15}">{value:.2f} s{times}</text>',
        ]
    lines += [f'<text class="machine" x="0" y="{height - 4}">{escape(where)}</text>', "</svg>", ""]
    return "\n".join(lines)


def said(bars: Mapping[str, float]) -> str:
    """The bars in words."""
    return "Seconds per candidate: " + "; ".join(
        f"{name} {value:.2f}" for name, value in bars.items()
    )


def measured(bars: Mapping[str, float]) -> str:
    """What stands between the markers of the README."""
    path = PICTURE.relative_to(ROOT).as_posix()
    return f"![{said(bars)}]({path})"


def replaced(readme: str, text: str) -> str:
    """The README with ``text`` between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the README needs a line {BEGIN!r} and, below, a line {END!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    results = RESULTS.read_text(encoding="utf-8")
    bars = seconds(results)
    PICTURE.write_text(picture(bars, machine(results)), encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(replaced(readme, measured(bars)), encoding="utf-8")


if __name__ == "__main__":
    main()
