"""The page of a whole run."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tvtfast.report import (
    AttentionPanel,
    RunReport,
    StageSection,
    TrainedNetwork,
    superformer_figure,
    write_run_report,
)
from tvtfast.report.figures.canvas import png
from tvtfast.report.run_content import comparison

_TEACHER = TrainedNetwork(
    "teacher resnet20", "from scratch", 272_474, 82_000_000, 98.9, 97.5, 30.0, (60.0, 97.5)
)
_STUDENT = TrainedNetwork(
    "student", "linear guidance", 5_900_000, 220_000_000, 95.0, 96.5, 200.0, (50.0, 96.5, 94.0)
)
_PLAIN = dataclasses.replace(
    _STUDENT, name="plain", training="without a teacher", accuracy=90.0, curve=(90.0,)
)
_PNG = png(superformer_figure([2.0, 1.5], [10.0, 40.0]))


def report(**changes: Any) -> RunReport:
    given: dict[str, Any] = {
        "title": "A student for digits",
        "system": "tvt: a teacher, a search, distillation",
        "teacher": _TEACHER,
        "student": _STUDENT,
        "others": (_PLAIN,),
        "test_images": 400,
        "held_out_images": 300,
        "arch": '{"depth": 2, "mlp_ratio": [3.5, 4.0]}',
        "stages": {"teacher": 30.0, "search": 10.0, "student": 200.0},
        "attention": AttentionPanel(
            np.full((1, 8, 8, 3), 0.5), ("class 0",), {"teacher": np.full((1, 4, 4), 0.25)}
        ),
        "sections": (
            StageSection("Search", "Of 40 candidates.", {"Scores": _PNG}, "search/report.html"),
        ),
        "settings": {"seed": "0"},
        "machine": {"torch": "2.13.0"},
        "commands": {"Classify images": "tvtfast predict --student x"},
    }
    return RunReport(**given | changes)


def written(folder: Path, **changes: Any) -> str:
    return write_run_report(report(**changes), folder).read_text(encoding="utf-8")


def cells(page: str) -> list[str]:
    found = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)
    return [html.unescape(cell).replace("\N{NO-BREAK SPACE}", " ") for cell in found]


def test_page_says_what_was_trained(tmp_path: Path) -> None:
    page = written(tmp_path)
    found = cells(page)
    row = found.index("student")
    assert found[row : row + 8] == [
        "student",
        "linear guidance",
        "5.90 M",
        "220 M",
        "110 M",
        "95.0 %",
        "96.5 %",
        "3 min 20 s",
    ]
    assert "4 min 00 s" in found and "83.3%" in found
    assert '<a href="search/report.html">' in page and "tvtfast predict --student x" in page
    assert "+5.0 points against plain: beyond two standard errors" in page
    assert "mlp_ratio" in found and "teacher" in page
    said = " ".join(page.split())
    assert "400 test images, which were read once per network: every network is that of the" in said
    assert "best on 300 other images, held out of the training images" in said
    for name in ("accuracy", "attention_maps"):
        height, width, _ = imread(tmp_path / f"{name}.png").shape
        assert height > 200 and width > 400


def test_a_student_alone_and_a_teacher_of_unknown_accuracy(tmp_path: Path) -> None:
    nothing = {"accuracy": math.nan, "held_out_accuracy": math.nan, "seconds": math.nan}
    unknown = dataclasses.replace(_TEACHER, **nothing, curve=())
    page = written(tmp_path, others=(), teacher=unknown)
    assert "<li>" not in page
    row = cells(page).index("teacher resnet20")
    assert cells(page)[row + 5 : row + 8] == ["–", "–", "–"]


def test_without_held_out_images_nothing_was_chosen(tmp_path: Path) -> None:
    last = dataclasses.replace(_STUDENT, held_out_accuracy=math.nan, curve=())
    said = " ".join(written(tmp_path, student=last, others=(), held_out_images=0).split())
    assert "every network is that of its last epoch" in said and "is best on" not in said
    assert "No image was held out" in said


def test_a_run_without_a_teacher_shows_its_stages_and_no_maps(tmp_path: Path) -> None:
    page = written(tmp_path, teacher=None, attention=None)
    assert "teacher:" not in page and "Where teacher and student look" not in page
    assert "<h2>Search</h2>" in page and "Of 40 candidates." in page
    assert page.count("data:image/png;base64,") == 2
    height, width = (round(inches * 115) for inches in (2.8, 7.2))
    assert f'width="{width}" height="{height}" alt="Scores"' in page
    assert not (tmp_path / "attention_maps.png").exists()


def test_a_figure_of_a_stage_zooms_and_its_png_does_not(tmp_path: Path) -> None:
    drawn = superformer_figure([2.0, 1.5], [10.0, 40.0])
    section = StageSection("Superformer", "", {"Loss": drawn, "A file": _PNG})
    told = written(tmp_path, sections=(section,)).split("<h2>Superformer</h2>")[1]
    told = told.split("</section>")[0]
    assert told.count("<img") == 2 and told.count('<script type="application/json">') == 1
    assert "Loss of the sampled subnets" in told


def test_a_picture_of_a_stage_is_a_png(tmp_path: Path) -> None:
    section = StageSection("Search", "", {"Scores": b"GIF89a"})
    with pytest.raises(ValueError, match="6 bytes is no PNG"):
        written(tmp_path, sections=(section,))


def test_text_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert('x')</script>"
    page = written(
        tmp_path,
        title=attack,
        settings={attack: attack},
        commands={attack: attack},
        system=attack,
        sections=(StageSection(attack, attack, {attack: _PNG}, attack),),
        student=dataclasses.replace(_STUDENT, name=attack),
    )
    assert attack not in page


@pytest.mark.parametrize(
    ("first", "second", "images", "words"),
    (
        # 2 sqrt((0.95 x 0.05 + 0.9 x 0.1) / 400) = 3.7 %
        (95.0, 90.0, 400, "+5.0 points against plain: beyond two standard errors (3.7 points on"),
        (
            90.0,
            95.0,
            100,
            "\N{MINUS SIGN}5.0 points against plain: within two standard errors (7.4",
        ),
        (100.0, 100.0, 10, "+0.0 points against plain: within two standard errors (0.0 points"),
    ),
)
def test_differences_are_held_against_chance(
    first: float, second: float, images: int, words: str
) -> None:
    networks = (
        dataclasses.replace(_STUDENT, accuracy=first),
        dataclasses.replace(_PLAIN, accuracy=second),
    )
    assert words in comparison(*networks, images)


def test_without_test_images_there_is_no_report() -> None:
    with pytest.raises(ValueError, match="test_images is 0"):
        report(test_images=0)
