"""What is said where nothing has the name that was given."""

import pytest

import tvtfast
from tvtfast import proxies, spaces, strategies
from tvtfast.common.names import near, unknown
from tvtfast.data import load_dataset
from tvtfast.distill import Distillation, Recipe, train_teacher
from tvtfast.scoring.ranking import check_method


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        ("evo", ("evolution", "exact", "random"), ("evolution",)),
        ("EVOLUTION", ("evolution", "exact"), ("evolution",)),
        ("teacher_awar", ("teacher_aware", "weight_norm"), ("teacher_aware",)),
        ("weight-norm", ("teacher_aware", "weight_norm"), ("weight_norm",)),
        ("--tirals", ("--trials", "--teacher"), ("--trials",)),
        ("e", ("evolution", "exact"), ()),
        ("zebra", ("evolution", "exact"), ()),
        ("", ("evolution",), ()),
    ],
)
def test_names_that_may_be_meant(given, known, expected):
    assert near(given, known) == expected


def test_a_message_says_what_was_given_what_is_known_and_what_may_be_meant():
    assert (
        unknown("method", "zebra", ("minmax_sum", "rank_sum"), also="a function")
        == "unknown method 'zebra'; known: minmax_sum, rank_sum, or a function"
    )
    assert unknown("strategy", "evo", ("evolution", "exact")).endswith("; did you mean evolution?")
    assert unknown("strategy", None, ("exact",)) == "unknown strategy None; known: exact"


@pytest.mark.parametrize(
    ("ask", "meant"),
    [
        (lambda: spaces.get("autoformer-tny"), "autoformer-tiny"),
        (lambda: strategies.get("evo"), "evolution"),
        (lambda: strategies.configured("evolution", {"populaton": 3}), "population"),
        (lambda: proxies.get("teacher_awar"), "teacher_aware"),
        (lambda: load_dataset("cifar1000"), "cifar100"),
        (lambda: train_teacher("resnt18", "digits", output_dir="unused"), "resnet18"),
        (lambda: tvtfast.Scoring(dtype="bfloat"), "bfloat16"),
        (lambda: tvtfast.Scoring(protocol="papr"), "paper"),
        (lambda: tvtfast.spaces.ModelOptions.of(imgsize=32), "img_size"),
        (lambda: Recipe(augmentation="strng"), "strong"),
        (lambda: Recipe(optimizer="adamwe"), "adamw"),
        (lambda: Distillation(guidance="linea"), "linear"),
        (lambda: check_method("minmax"), "minmax_sum"),
        (lambda: tvtfast.kernels.use_backend("natve").__enter__(), "native"),
    ],
)
def test_names_are_suggested_everywhere(ask, meant):
    with pytest.raises((ValueError, TypeError), match=f"did you mean {meant}"):
        ask()


@pytest.mark.parametrize("given", [None, 3, 1.5])
def test_what_is_no_name_is_refused_like_an_unknown_one(given):
    for ask, what in ((spaces.get, "space"), (strategies.get, "strategy"), (proxies.get, "proxy")):
        with pytest.raises(ValueError, match=f"unknown {what} "):
            ask(given)
