"""What a search refuses, it refuses before it loads, draws or scores anything."""

import numpy as np
import pytest

import tvtfast
from tvtfast.searching import loop


@pytest.fixture
def idle(monkeypatch):
    """No search begins."""

    def begun(*args, **settings):
        raise AssertionError("work was begun")

    monkeypatch.setattr(loop, "Scorer", begun)
    monkeypatch.setattr(loop, "ScoreStore", begun)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 1.5}, "trials is 1.5; give a whole number of at least 1"),
        ({"trials": True}, "trials is True"),
        ({"trials": 0}, "trials is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is 18446744073709551616; give a whole number from 0 to"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"init_seeds": 0}, "init_seeds is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"memory": 0}, "memory is 0"),
        ({"method": "sum"}, "unknown method 'sum'; known: minmax_sum"),
        ({"method": None}, "unknown method None"),
        ({"strategy": "evo"}, "unknown strategy 'evo'.*did you mean evolution"),
        (
            {"proxies": ("teacher_awar",)},
            "unknown proxy .*did you mean teacher_aware",
        ),
        ({"objectives": ("accuracy",)}, "objectives are accuracy; give some of weight_norm"),
        ({"constraints": {"speed": 1}}, "unknown constraint 'speed'"),
        ({"device": "cud"}, "device is 'cud'; give cpu, cuda.*did you mean cuda"),
        ({"dtype": "float8"}, "dtype is 'float8'; allowed"),
        ({"protocol": "papr"}, "protocol is 'papr'; allowed: fixed, paper; did you mean paper"),
        ({"img_size": 32, "patch_size": 7}, "patch_size is 7, .*give one of 1, 2, 4, 8, 16, 32"),
        ({"img_size": 0}, "img_size is 0"),
        ({"num_classes": 0}, "num_classes is 0"),
    ],
)
def test_before_work(idle, tmp_path, changes, message):
    given = {"proxies": ("weight_norm",), "run_dir": tmp_path / "run"} | changes
    with pytest.raises(ValueError, match=message):
        tvtfast.search("autoformer-tiny", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_space_of_another_name(idle):
    with pytest.raises(ValueError, match="unknown space 'autoformr'.*did you mean autoformer"):
        tvtfast.search("autoformr")


def test_a_run_folder_that_is_a_file_or_cannot_be_made(idle, tmp_path):
    (tmp_path / "file").write_text("")
    for folder, message in (
        (tmp_path / "file", "which is a file; give a folder"),
        (tmp_path / "file" / "below", "inside .*file, which is a file"),
        ("/proc/nowhere", "nothing can be written to /proc"),
    ):
        with pytest.raises(OSError, match=f"run_dir is .*{message}"):
            tvtfast.search("autoformer-tiny", run_dir=folder, proxies="params")


def test_a_gpu_that_is_not_there(idle, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device is 'cuda', and torch finds 0 GPUs here; give cpu"):
        tvtfast.search("autoformer-tiny", proxies="params", device="cuda")


def test_numbers_of_numpy_are_numbers():
    given = {"trials": np.int64(2), "seed": np.int32(1), "top_k": np.int8(3)}
    result = tvtfast.search("pit", proxies="params", strategy="random", **given)
    assert len(result.table) == 2


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.5, "a", None])
def test_scores_and_samples_refuse_the_same_seeds(seed):
    space = tvtfast.spaces.get("pit")
    with pytest.raises(ValueError, match="seed is"):
        tvtfast.score(space.sample(1), space=space, proxies="params", seed=seed)
    with pytest.raises(ValueError, match="seed is"):
        space.sample(1, seed)
