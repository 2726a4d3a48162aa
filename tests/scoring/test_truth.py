"""Files of trained accuracies, of any space."""

from __future__ import annotations

import csv
import io
import json

import pytest

import tvtfast
from tvtfast.spaces import available, get


def texts(space, archs):
    """Architectures as a user may write them: dictionary, JSON, and the string of the space."""
    return [
        space.to_dict(archs[0]),
        space.encode(archs[1]),
        *(str(arch) if space.name == "asvit" else space.to_dict(arch) for arch in archs[2:]),
    ]


def written(path, rows):
    """Rows as the suffix has it."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return path
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns, restval="", lineterminator="\n")
    writer.writeheader()
    plain = (dict, list)
    writer.writerows(
        {k: json.dumps(v) if isinstance(v, plain) else v for k, v in row.items()} for row in rows
    )
    path.write_text(lines.getvalue())
    return path


@pytest.mark.parametrize("name", [one for one in available() if not one.startswith("test-")])
def test_truth_of_every_space_is_judged_by(name, tmp_path):
    """Accuracies that rise with the parameters: their own number ranks perfectly."""
    space = get(name)
    options = {"img_size": 32, "patch_size": 16, "num_classes": 10}
    archs = sorted(space.sample(6, 0), key=lambda arch: space.params(arch, **options))
    rows = [
        {"arch": arch, "kd_acc": 70.0 + index, "base_acc": 60.0 - index}
        for index, arch in enumerate(texts(space, archs))
    ]
    rows[2]["base_acc"], rows[4]["base_acc"] = None, ""
    del rows[3]["base_acc"]
    truth, table = (
        tvtfast.load_truth(written(tmp_path / f"truth.{suffix}", rows), name)
        for suffix in ("json", "csv")
    )
    assert truth.archs == tuple(archs) and truth.left_out == ()
    assert truth.frame.equals(table.frame) and truth.archs == table.archs
    table = tvtfast.score(
        truth.archs,
        space=name,
        proxies=["params"],
        images=tvtfast.data.load_dataset("digits"),
        img_size=32,
        patch_size=16,
    )
    frame = tvtfast.correlate(table, truth.frame, n_resamples=9).set_index(["proxy", "truth"])
    assert frame.loc[("params", "kd_acc"), ["n", "tau"]].tolist() == pytest.approx([6, 1])
    assert frame.loc[("params", "base_acc"), ["n", "tau"]].tolist() == pytest.approx([3, -1])


def test_strings_of_the_spaces(tmp_path):
    space = get("vitas-deit")
    published = "0 " + " ".join(["1"] * space.slots) + " 0 0 3 " + " ".join(["4 5"] * space.slots)
    arch = space.decode(published)
    for suffix in ("json", "csv"):
        for given in (published, [int(one) for one in published.split()]):
            path = written(tmp_path / f"truth.{suffix}", [{"arch": given, "acc": 50}])
            assert tvtfast.load_truth(path, space).archs == (arch,)


def test_published_models_have_names(tmp_path):
    rows = [{"arch": name, "acc": 70 + i} for i, name in enumerate(("pit-ti", "pit-xs", "pit-s"))]
    truth = tvtfast.load_truth(written(tmp_path / "truth.csv", rows), "pit")
    assert truth.archs == tuple(tvtfast.spaces.reference(row["arch"]).arch for row in rows)
    with pytest.raises(ValueError, match="line 2: arch .* pit-ti is of space pit, and not of asvi"):
        tvtfast.load_truth(tmp_path / "truth.csv", "asvit")


def rows_of(*names, count=4):
    return [
        {"space": name, "arch": get(name).to_dict(arch), "acc": 50 + index}
        for name in names
        for index, arch in enumerate(get(name).sample(count, 0))
    ]


def test_a_file_names_its_space(tmp_path):
    path = written(tmp_path / "truth.csv", rows_of("pit"))
    assert tvtfast.load_truth(path).space.name == "pit"
    path = written(tmp_path / "truth.csv", rows_of("pit", "asvit"))
    truth = tvtfast.load_truth(path, "asvit")
    assert len(truth.frame) == 4 and truth.left_out == ("4 rows of space pit",)
    with pytest.raises(ValueError, match=r"is of pit \(4 rows\), asvit \(4 rows\); name the space"):
        tvtfast.load_truth(path)
    with pytest.raises(ValueError, match="no list of vitas-deit rows; it has architectures of pit"):
        tvtfast.load_truth(path, "vitas-deit")
    bare = [{k: v for k, v in row.items() if k != "space"} for row in rows_of("pit")]
    sections = written(tmp_path / "truth.json", {"pit": bare, "asvit": rows_of("asvit")})
    assert tvtfast.load_truth(sections, "pit").left_out == ("4 rows of space asvit",)
    whole = written(tmp_path / "truth.json", {"rows": rows_of("pit"), "left_out": []})
    assert len(tvtfast.load_truth(whole).archs) == 4
    with pytest.raises(ValueError, match="a space that it does not name"):
        tvtfast.load_truth(written(tmp_path / "truth.json", bare))
    with pytest.raises(ValueError, match="unknown space 'vit'"):
        tvtfast.load_truth(path, "vit")


def test_strings_and_names_tell_their_space(tmp_path):
    asvit, deit = get("asvit"), get("vitas-deit")
    genotype = "0 " + " ".join(["1"] * deit.slots) + " 0 0 3 " + " ".join(["4 5"] * deit.slots)
    for arch, name in ((asvit.sample(1)[0], "asvit"), (genotype, "vitas-deit"), ("pit-s", "pit")):
        path = written(tmp_path / "truth.csv", [{"arch": str(arch), "acc": 50}])
        assert tvtfast.load_truth(path, default="autoformer-tiny").space.name == name
    mixed = [{"arch": arch, "acc": 50} for arch in ("pit-s", "deit-tiny")]
    with pytest.raises(ValueError, match="a space that it does not name"):
        tvtfast.load_truth(written(tmp_path / "truth.csv", mixed))


def test_columns_of_truth(tmp_path):
    rows = rows_of("pit")
    for index, row in enumerate(rows):
        row |= {"epochs": 300, "loss": -250.0 - index, "teacher": "resnet56", "img_size": 32}
    path = written(tmp_path / "truth.csv", rows)
    truth = tvtfast.load_truth(path)
    assert list(truth.frame) == ["arch", "acc"] and truth.stated == {"img_size": 32}
    assert truth.left_out == ("columns that are no truth: epochs, loss, teacher, img_size",)
    chosen = tvtfast.load_truth(path, columns=["loss"])
    assert chosen.frame["loss"].tolist() == [-250.0, -251.0, -252.0, -253.0]
    for row in rows:
        del row["acc"]
    assert list(tvtfast.load_truth(written(path, rows)).frame) == ["arch", "epochs", "loss"]
    with pytest.raises(ValueError, match="no column 'los'; it has .*; did you mean loss"):
        tvtfast.load_truth(path, columns=["los"])
    with pytest.raises(ValueError, match="line 2: teacher is 'resnet56'; allowed is a finite"):
        tvtfast.load_truth(path, columns=["teacher"])


def test_rows_without_any_value_are_said(tmp_path):
    rows = rows_of("pit")
    rows[1]["acc"] = None
    truth = tvtfast.load_truth(written(tmp_path / "truth.json", rows))
    assert len(truth.archs) == len(truth.frame) == 3
    assert truth.left_out == ("1 rows without any value of truth",)
    for row in rows:
        row["acc"] = ""
    with pytest.raises(ValueError, match="holds no value of acc"):
        tvtfast.load_truth(written(tmp_path / "truth.json", rows))


def changed(**cells):
    rows = rows_of("pit")
    rows[1] |= cells
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(acc=100.5), "PLACE: acc is '?100.5'?; allowed is a number in 0..100"),
        (changed(acc=-0.1), "PLACE: acc is '?-0.1'?"),
        (changed(acc=float("nan")), "PLACE: acc is '?nan'?; allowed .* nothing where it was not"),
        (changed(acc="good"), "PLACE: acc is 'good'"),
        (changed(arch=rows_of("pit")[3]["arch"]), "PLACE_3 is the same architecture as PLACE_1"),
        (
            changed(arch=json.dumps(rows_of("pit")[3]["arch"], indent=1)),
            "is the same architecture as",
        ),
        (changed(arch={**rows_of("pit")[1]["arch"], "depth": [2, -8, 4]}), "PLACE: arch is of no"),
        (changed(arch=rows_of("asvit")[1]["arch"]), "PLACE: arch is of no use: pit: "),
        (changed(arch="{"), "PLACE: arch is of no use: .* is not JSON"),
        (changed(arch=""), "PLACE has no architecture under 'arch'"),
        (
            [{k: v for k, v in row.items() if k != "acc"} for row in rows_of("pit")],
            "no column of accuracies beside 'arch'",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_bad_rows_are_named(rows, message, suffix, tmp_path):
    number = {"json": lambda row: f"row {row}", "csv": lambda row: r"line \d+"}[suffix]
    for row in (3, 1):
        message = message.replace(f"PLACE_{row}", number(row))
    with pytest.raises(ValueError, match=message.replace("PLACE", number(1))):
        tvtfast.load_truth(written(tmp_path / f"truth.{suffix}", rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'arch' in its first line, which is empty"),
        ("architecture;acc\n", "no column 'arch' in its first line, .*separate columns by commas"),
        ("arch,acc,acc\n", "has the column 'acc' twice"),
        ("arch,acc\n", "holds no list of pit rows"),
        ('arch,acc\n{"base_dim": 16, "depth": 2},50\n', "line 2 has 3 cells for 2 columns"),
        ("arch,acc\n8\n", "line 2 has 1 cells for 2 columns"),
        ('arch,acc\n"8,50\n', "cannot be read as CSV"),
    ],
)
def test_bad_tables(text, message, tmp_path):
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        tvtfast.load_truth(tmp_path / "truth.csv", "pit")


@pytest.mark.parametrize(("space", "count"), [("autoformer-tiny", 100), ("pit", 50)])
def test_published_truth(space, count, shared_data):
    path = shared_data / "vit_bench_101_dev.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    truth, published = tvtfast.load_truth(path, space), tvtfast.data.load_vit_bench(path, space)
    assert len(truth.archs) == count
    assert truth.frame.drop(columns="arch").equals(published.drop(columns="arch"))
    assert [json.loads(arch) for arch in truth.frame["arch"]] == published["arch"].tolist()


def test_other_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.csv: there is no such file; give a .json"):
        tvtfast.load_truth(tmp_path / "none.csv", "pit")
    for content, message in (
        ([1], "row 0 is no object of columns and values"),
        ({"pit": 3}, "holds no list of pit rows"),
        ([{"arch": 3, "space": 4, "acc": 1}], "row 0: space is 4; give the name of a space"),
    ):
        with pytest.raises(ValueError, match=message):
            tvtfast.load_truth(written(tmp_path / "truth.json", content), "pit")
