"""Draw who imports whom from the table that tests hold: ``python -m docs.generate.rooms``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "test_imports.py"
PICTURE = ROOT / "docs" / "pictures" / "rooms.svg"
BOX, HIGH, ACROSS, DOWN, EDGE = 116, 30, 140, 62, 16
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
rect { fill: #eef0fb; stroke: #4051b5 } path { stroke: #9aa4ae; fill: none }
marker path { fill: #9aa4ae }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } rect { fill: #1c2033; stroke: #8c9eff }
path { stroke: #656c76 } marker path { fill: #656c76 }
}
"""


def table(source: str) -> dict[str, set[str]]:
    """Room to the rooms that it may import, as the tests have it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ALLOWED":
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {
                ast.literal_eval(room): set() if isinstance(needs, ast.Call) else _names(needs)
                for room, needs in pairs
            }
    raise ValueError("tests/test_imports.py has no table ALLOWED")


def levels(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """Row of every room: below all that it imports."""
    rows: dict[str, int] = {}
    while len(rows) < len(needs):
        ready = [room for room in needs if room not in rows and needs[room] <= rows.keys()]
        if not ready:
            raise ValueError(f"a circle among {', '.join(sorted(needs.keys() - rows.keys()))}")
        rows |= {room: 1 + max((rows[name] for name in needs[room]), default=-1) for room in ready}
    return rows


def arrows(needs: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """From the imported to the importer, without those that follow from others."""
    return [
        (name, room)
        for room in needs
        for name in sorted(needs[room])
        if not any(name in _reach(needs, other) for other in needs[room] - {name})
    ]


def picture(needs: Mapping[str, set[str]]) -> str:
    """Rooms as boxes in rows, arrows along the way of the data."""
    rows = levels(needs)
    deep = max(rows.values()) + 1
    by_row = [[room for room in needs if rows[room] == row] for row in range(deep)]
    width = max(map(len, by_row)) * ACROSS + 2 * EDGE
    height = deep * DOWN + EDGE
    place = {
        room: (width / 2 + (column - (len(row) - 1) / 2) * ACROSS, EDGE + number * DOWN)
        for number, row in enumerate(by_row)
        for column, room in enumerate(row)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">Rooms of tvtfast; an arrow leads from a room to one that imports it'
        "</title>",
        f"<style>{STYLE}</style>",
        '<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z"/></marker>',
    ]
    for start, end in arrows(needs):
        (x, y), (to_x, to_y) = place[start], place[end]
        bend = x + (ACROSS / 2 if x >= to_x else -ACROSS / 2) * (rows[end] - rows[start] > 1)
        middle = (y + HIGH + to_y) / 2
        lines.append(
            f'<path marker-end="url(#end)" '
            f'd="M{x:.0f} {y + HIGH:.0f} Q{bend:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"/>'
        )
    for room, (x, y) in place.items():
        lines += [
            f'<rect x="{x - BOX / 2:.0f}" y="{y}" width="{BOX}" height="{HIGH}" rx="6"/>',
            f'<text x="{x:.0f}" y="{y + 20}">{room}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _names(node: ast.expr) -> set[str]:
    return set(ast.literal_eval(node))


def _reach(needs: Mapping[str, set[str]], room: str) -> set[str]:
    """All that a room imports, over others as well."""
    return needs[room].union(*(_reach(needs, name) for name in needs[room]))


if __name__ == "__main__":
    needs = table(TABLE.read_text(encoding="utf-8"))
    PICTURE.write_text(picture(needs), encoding="utf-8")
