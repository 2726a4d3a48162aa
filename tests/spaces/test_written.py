"""Architectures as people write them down."""

from __future__ import annotations

import json

import pytest

from tvtfast import spaces
from tvtfast.cli.main import main
from tvtfast.common.foreign import BadFileError
from tvtfast.distill.subject import read_architecture

SEED = "8,2,3|4,1,2|4,1,4|4,1,6|32"
VITAS_A = (
    "1 2 4 3 4 4 1 3 4 3 4 4 4 4 3 3 4 0 0 3 1 6 7 9 4 3 6 8 4 9 1 8 6 4 9 2 7 6 8 9 3 0 3 8 7"
)
VITAS_A += " 0 5 7 9 8 4 4"
PIT = {"base_dim": 16, "mlp_ratio": 6, "depth": [2, 8, 4], "num_heads": [2, 4, 4]}
CREAM = """
SUPERNET:
  MLP_RATIO: 4.0
  NUM_HEADS: 4
  EMBED_DIM: 256
  DEPTH: 14
SEARCH_SPACE:
  MLP_RATIO: [3.5, 4]
  NUM_HEADS: [3, 4]
  DEPTH: [12, 13, 14]
  EMBED_DIM: [192, 216, 240]
RETRAIN:
  MLP_RATIO: [3.5, 3.5, 3.0, 3.5, 3.0, 3.0, 4.0, 4.0, 3.5, 4.0, 3.5, 4.0, 3.5]
  NUM_HEADS: [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3]
  DEPTH: 13
  EMBED_DIM: 192
"""
TF_TAS = """
SEARCH_SPACE:
  PATCH_SIZE: [16]
  MLP_RATIO: [2, 4, 6, 8]
  NUM_HEADS: [3, 6, 12]
  DEPTH: ["1,2,3", "4,6,8", "2,4,6"]
  BASE_DIM: [36, 48, 60, 72]
RETRAIN:
  PATCH_SIZE: [16]
  MLP_RATIO: [6]
  NUM_HEADS: [3, 12, 12]
  DEPTH: [1, 4, 4]
  BASE_DIM: [36, 36, 36]
"""
AUTOPROX = """
MODEL:
  TYPE: PiT
  NUM_CLASSES: 102
TRANSFORMER:
  PATCH_SIZE: 16
  HIDDEN_DIM: [64, 128, 256]
  DROP_PATH_RATE: 0.2
PIT_SEARCH_SPACE:
  BASE_DIM: [16, 24, 32, 40]
  MLP_RATIO: [2, 4, 6, 8]
  DEPTH: [[1, 2, 3], [4, 6, 8], [2, 4, 6]]
  NUM_HEADS: [[2, 4, 8], [2, 4, 8], [2, 4, 8]]
PIT_SUBNET:
  BASE_DIM: 40
  MLP_RATIO: 2
  DEPTH: [2, 4, 4]
  NUM_HEADS: [2, 4, 8]
OPTIM:
  BASE_LR: 5.0e-4
"""
DEIT = """
MODEL: {TYPE: DeiT, NUM_CLASSES: 100}
TRANSFORMER: {PATCH_SIZE: 16, HIDDEN_DIM: 192, DEPTH: 12, NUM_HEADS: 3, MLP_RATIO: 4}
"""
FILES = [
    (CREAM, "autoformer-original-tiny", "autoformer-t", {}),
    (TF_TAS, "pit-full-small", None, {"patch_size": 16}),
    (AUTOPROX, "pit-full-tiny", None, {"num_classes": 102, "drop_path_rate": 0.2}),
    (DEIT, "autoformer-tiny", "deit-tiny", {"num_classes": 100, "pool": "token"}),
]
OTHER = {
    "pit-full-small": {
        "base_dim": 36,
        "mlp_ratio": 6,
        "depth": [1, 4, 4],
        "num_heads": [3, 12, 12],
    },
    "pit-full-tiny": {"base_dim": 40, "mlp_ratio": 2, "depth": [2, 4, 4], "num_heads": [2, 4, 8]},
}


@pytest.mark.parametrize(("content", "space", "reference", "options"), FILES)
def test_files_of_the_authors(content, space, reference, options, tmp_path):
    path = tmp_path / "subnet.yaml"
    path.write_text(content)
    read = spaces.read_yaml(path)
    arch = spaces.reference(reference).arch if reference else read.space.decode(OTHER[space])
    assert (read.space.name, read.arch) == (space, arch)
    assert options.items() <= read.model_options.items()
    assert read.space.contains(read.arch) == (reference != "autoformer-t")
    (written,) = spaces.read_architectures(str(path))
    assert (written.space, written.arch) == (space, arch)
    assert read_architecture(path)["model_options"] == read.model_options


@pytest.mark.parametrize("name", ["autoformer-tiny", "autoformer-original-base", "pit-full-xs"])
def test_what_is_written_is_read_again(name, tmp_path):
    space = spaces.get(name)
    arch, path = space.sample(1, 3)[0], tmp_path / "a.yml"
    spaces.write_yaml(path, arch, space=name)
    assert (spaces.read_yaml(path).space, spaces.read_yaml(path).arch) == (space, arch)
    spaces.write_yaml(path, space=name)
    read = spaces.read_yaml(path)
    assert read.space == space and read.arch is None
    with pytest.raises(ValueError, match="describes a space and no architecture of it"):
        spaces.read_architectures(str(path))


def test_options_in_files_of_autoprox(tmp_path):
    space, path = spaces.get("pit"), tmp_path / "a.yaml"
    spaces.write_yaml(path, PIT, space=space, num_classes=102, patch_size=32, drop_path_rate=0.2)
    read = spaces.read_yaml(path)
    assert read.arch == space.decode(PIT)
    assert read.model_options == {"num_classes": 102, "patch_size": 32, "drop_path_rate": 0.2}
    assert read.space.name == "pit-full-tiny"  # choices are listed by stage
    with pytest.raises(ValueError, match="do not hold img_size, pool; leave it out"):
        spaces.write_yaml(path, PIT, space=space, img_size=32, pool="avg")
    with pytest.raises(ValueError, match="'autoformer-original-tiny' do not hold num_classes"):
        spaces.write_yaml(path, space="autoformer-original-tiny", num_classes=3)
    with pytest.raises(ValueError, match="describe architectures by strings, not YAML"):
        spaces.write_yaml(path, SEED, space="asvit")


def test_a_space_that_is_not_registered(tmp_path):
    path = tmp_path / "wide.yaml"
    path.write_text(CREAM.partition("RETRAIN")[0].replace("[192, 216, 240]", "[200, 400]"))
    space = spaces.read_yaml(path).space
    assert space.name == "wide" and space.hidden_dims == (200, 400) and space.relative_position
    assert "wide" not in spaces.available() and len(space.sample(3)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "cannot be read as YAML"),
        ("- 1", "it is a list"),
        ("MODEL: {TYPE: ResNet}", "MODEL.TYPE is 'ResNet'; known: AutoFormerSub, PiT, DeiT"),
        ("a: 1", "neither a search space nor a subnet"),
        ("RETRAIN: {DEPTH: 1}", "the subnet has no EMBED_DIM, MLP_RATIO, NUM_HEADS"),
        ("RETRAIN: 3", "RETRAIN is 3; it holds names and values"),
        ("SEARCH_SPACE: {EMBED_DIM: 4}", "EMBED_DIM is 4; it is a list of choices"),
        (CREAM.replace("DEPTH: 13\n", "DEPTH: 12\n"), "13 entries for depth 12"),
        (TF_TAS.replace("[36, 36, 36]", "[36, 36, 72]"), "give the same to every stage"),
        ("!!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_files_that_are_none(content, message, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(BadFileError, match=message) as raised:
        spaces.read_yaml(path)
    assert str(path) in str(raised.value)


def test_names_and_strings():
    assert spaces.read_architecture(SEED).space == "asvit"
    for name in ("vitas-a", "vitas-b", "vitas-e", "vitas-f"):
        model = spaces.reference(name)
        genotype = spaces.get(model.space).genotype(model.arch)
        written = spaces.read_architecture(" ".join(map(str, genotype)))
        assert written.space == model.space
        assert spaces.get(model.space).decode(written.arch) == model.arch
    named = spaces.read_architecture("deit-tiny")
    assert named.space == "autoformer-tiny" and named.model_options["pool"] == "token"
    with pytest.raises(FileNotFoundError, match="did you mean deit-tiny"):
        spaces.read_architecture("deit-tinny")
    with pytest.raises(ValueError, match="'{depth: 3}' is not JSON"):
        spaces.read_architecture("{depth: 3}")
    for nothing in ("", ".", "\x00", "x" * 100_000):
        with pytest.raises(
            FileNotFoundError, match="neither an existing file nor an architecture"
        ) as raised:
            spaces.read_architecture(nothing)
        assert len(str(raised.value)) < 600
    with pytest.raises(FileNotFoundError, match="'none.json' is neither an existing file"):
        spaces.read_architecture("none.json")


def test_json_files(tmp_path):
    best, several = tmp_path / "best.json", tmp_path / "list.json"
    content = {"space": "pit", "arch": PIT, "model_options": {"img_size": [48, 48]}}
    best.write_text(json.dumps(content))
    several.write_text(json.dumps([PIT, content]))
    assert spaces.read_architecture(str(best)) == spaces.Written(PIT, "pit", {"img_size": [48, 48]})
    assert [one.space for one in spaces.read_architectures(str(several))] == [None, "pit"]
    with pytest.raises(ValueError, match="holds 2 architectures; give a file of one"):
        spaces.read_architecture(str(several))


def test_score_takes_each_and_its_space(tmp_path, capsys):
    path = tmp_path / "autoformer-t.yaml"
    path.write_text(CREAM)
    flags = ["--proxies", "params", "--json", "--quiet", "--arch"]
    for given, space in (
        ([VITAS_A], "vitas-deit"),
        (["pit-ti", "pit-xs"], "pit"),
        ([str(path)], "autoformer-original-tiny"),
    ):
        assert main(["score", *flags, *given]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["space"] == space and len(answer["candidates"]) == len(given)
        if space == "autoformer-original-tiny":
            (note,) = answer["notes"]
            assert "mlp_ratio[2] is 3.0; searched: 3.5, 4.0" in note
    assert main(["score", *flags, "pit-ti", "deit-tiny"]) == 2
    assert "of several spaces, pit, autoformer-tiny" in capsys.readouterr().err
