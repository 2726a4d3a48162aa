"""Write the measured table of the README from the files of results: ``python -m bench.readme``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ("operators-cpu.md", "operators-cuda.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COLUMNS = ("operator", "shape", "best baseline, ms", "ours, ms", "best baseline / ours")


def summary(results: str) -> str:
    """Line of the machine and short table of one file of results."""
    before, header, rows = _table(results)
    lines = [f"{before}:", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        if row["baselines, ms"].startswith("skipped"):
            continue
        baselines = [cell.rpartition(" ") for cell in row["baselines, ms"].split(", ")]
        name, _, value = min(baselines, key=lambda baseline: float(baseline[2]))
        row["best baseline, ms"] = f"{name} {value}"
        lines.append(_line([row[column] for column in COLUMNS]))
    return "\n".join(lines)


def measured(folder: Path = ROOT / "bench/results") -> str:
    """What stands between the markers of the README."""
    files = [folder / name for name in RESULTS if (folder / name).exists()]
    parts = [summary(path.read_text(encoding="utf-8")) for path in files]
    links = ", ".join(f"[bench/results/{path.name}](bench/results/{path.name})" for path in files)
    return "\n\n".join([*parts, f"All figures: {links}."])


def replaced(readme: str, text: str) -> str:
    """The README with ``text`` between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the README needs a line {BEGIN!r} and, below, a line {END!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _table(results: str) -> tuple[str, list[str], list[list[str]]]:
    """The line before the only table, its header and its rows."""
    lines = results.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| "))
    before = next(line for line in reversed(lines[:start]) if line)
    table = [line[2:-2].split(" | ") for line in lines[start:] if line.startswith("| ")]
    header, _, *rows = table
    return before, header, rows


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(encoding="utf-8"), measured()), encoding="utf-8")
