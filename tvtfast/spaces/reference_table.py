"""Prints ``docs/references.md``, which is made of the published models."""

from __future__ import annotations

from tvtfast.spaces.references import Reference, reference, references

_HEAD = """\
# Published models

This page is made by `python -m tvtfast.spaces.reference_table > docs/references.md`.

Each of these is an architecture of a space, by name: `tvtfast.spaces.reference("deit-tiny")`,
`tvtfast.build("deit-tiny", num_classes=10)`, `--arch deit-tiny` of `score` and `distill`. Counts
are for 1,000 classes and 224 x 224 pixels. MACs are multiply-adds, which the papers call FLOPs;
`Space.flops` is twice as many. A model that its space does not search is built, scored and trained
all the same, with a note. Weights are drawn, not downloaded.
"""
_COLUMNS = (
    "name",
    "model",
    "space",
    "searched",
    "params, M",
    "paper",
    "difference",
    "MACs, G",
    "paper",
    "difference",
)


def page() -> str:
    """The page, in Markdown."""
    models = [reference(name) for name in references()]
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_row, models)]
    notes: dict[str, list[str]] = {}
    for model in models:
        for note in model.notes:
            notes.setdefault(note, []).append(model.title)
    sources = {model.source: model for model in models}
    return "\n".join(
        [
            _HEAD,
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            *(f"- {', '.join(titles)}: {note}." for note, titles in notes.items()),
            "",
            "Sources: " + "; ".join(f"{_family(of)} {source}" for source, of in sources.items()),
        ]
    )


def _row(model: Reference) -> tuple[str, ...]:
    return (
        f"`{model.name}`",
        model.title,
        f"`{model.space}`",
        "yes" if model.is_searched else "no",
        *_beside(model.params, model.paper_params, 1e6),
        *_beside(model.macs, model.paper_macs, 1e9),
    )


def _beside(count: int, paper: float | None, unit: float) -> tuple[str, str, str]:
    """A count, the paper's, and how much larger it is."""
    own = f"{count / unit:.2f}"
    if paper is None:
        return own, "-", "-"
    return own, f"{paper / unit:.3g}", f"{100 * (count / paper - 1):+.1f} %"


def _family(model: Reference) -> str:
    return model.title.rpartition("-")[0]


if __name__ == "__main__":
    print(page())
