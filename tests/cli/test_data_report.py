"""What was found in somebody's images is said on standard error, once."""

from __future__ import annotations

import logging

from PIL import Image

from tvtfast.cli.logs import log_shown
from tvtfast.data import load_dataset


def test_the_report_is_shown_once_for_both_splits(tmp_path, capsys):
    for name in ("train/ant/0.png", "train/bee/0.png", "test/ant/0.png", "test/bee/0.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(path)
    (tmp_path / "photos" / "train" / "cat").mkdir()
    folder = tmp_path / "photos"
    with log_shown():
        load_dataset(folder)
        load_dataset(folder, split="eval")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        f"tvtfast: {folder}: 2 training images of 2 classes, 2 for testing; left out: "
        "1 class folder without images",
        f"tvtfast: WARNING: {folder}: classes without training images are left out: cat",
    ]
    load_dataset(folder)
    assert capsys.readouterr().err == ""
    assert logging.getLogger("tvtfast.data").level == logging.NOTSET
