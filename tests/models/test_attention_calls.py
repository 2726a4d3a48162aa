"""Ways in which a module attends, and what only looks like attention."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.models import UnsupportedModelError, attention_stats
from tvtfast.models.attention_layout import AttentionLayer

HEADS, TOKENS, CHANNELS = 3, 7, 4


class Attends(nn.Module):
    """Projects tokens ``[B, N, C]``; a function of q, k, v ``[B, H, N, D]`` does the rest."""

    def __init__(self, attend, keys=HEADS):
        super().__init__()
        torch.manual_seed(0)
        self.num_heads, self.keys = HEADS, keys
        self.q = nn.Linear(12, HEADS * CHANNELS)
        self.kv = nn.Linear(12, 2 * keys * CHANNELS)
        self.attend = attend
        nn.init.normal_(self.q.weight)
        nn.init.normal_(self.kv.weight)

    def heads(self, x):
        q = self.q(x).unflatten(-1, (HEADS, CHANNELS)).transpose(1, 2)
        kv = self.kv(x).unflatten(-1, (2, self.keys, CHANNELS)).transpose(1, 3).unbind(2)
        return q, *kv

    def forward(self, x):
        return self.attend(*self.heads(x)).transpose(1, 2).flatten(2)


class Model(nn.Module):
    def __init__(self, attend, **options):
        super().__init__()
        self.attn = Attends(attend, **options)

    def forward(self, x):
        return self.attn(x)


def tokens():
    torch.manual_seed(1)
    return torch.randn(2, TOKENS, 12)


def scores(q, k):
    return q @ k.mT * CHANNELS**-0.5


def weights_of(model, x, bias=0.0):
    with torch.no_grad():
        q, k, _ = model.attn.heads(x)
        return (scores(q, k.repeat_interleave(HEADS // k.shape[1], 1)) + bias).softmax(-1)


ADDED = torch.randn(2, 1, TOKENS, TOKENS)
SEEN = torch.rand(TOKENS, TOKENS) < 0.6
SEEN.fill_diagonal_(True)
HIDDEN = torch.zeros(TOKENS, TOKENS).masked_fill(~SEEN, -torch.inf)
LATER = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
sdpa = F.scaled_dot_product_attention

FUSED = {
    "plain": (sdpa, 0.0, {}),
    "scale": (lambda q, k, v: sdpa(2 * q, k, v, scale=0.5 * CHANNELS**-0.5), 0.0, {}),
    "bias": (lambda q, k, v: sdpa(q, k, v, ADDED), ADDED, {}),
    "boolean mask": (lambda q, k, v: sdpa(q, k, v, attn_mask=SEEN), HIDDEN, {}),
    "causal": (lambda q, k, v: sdpa(q, k, v, is_causal=True), LATER, {}),
    "grouped keys": (lambda q, k, v: sdpa(q, k, v, enable_gqa=True), 0.0, {"keys": 1}),
    "one key for all": (sdpa, 0.0, {"keys": 1}),
    "heads with images": (
        lambda q, k, v: sdpa(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)).view_as(q),
        0.0,
        {},
    ),
}


class Normalised(nn.Module):
    def forward(self, x):
        return x.softmax(-1)


class Parts(nn.Module):
    """A softmax and a dropout that are modules."""

    def __init__(self, softmax):
        super().__init__()
        self.softmax, self.dropout = softmax, nn.Dropout(0.5)

    def forward(self, q, k, v):
        return self.dropout(self.softmax(scores(q, k))) @ v


FORMED = {
    "matmul": lambda q, k, v: torch.matmul(F.softmax(scores(q, k), dim=-1), v),
    "method": lambda q, k, v: scores(q, k).softmax(3).to(v.dtype).matmul(v),
    "bmm": lambda q, k, v: torch.bmm(
        torch.softmax(scores(q, k).flatten(0, 1), -1), v.flatten(0, 1)
    ).view_as(q),
    "einsum": lambda q, k, v: torch.einsum("bhij, bhjd -> bhid", scores(q, k).softmax(-1), v),
    "transposed": lambda q, k, v: (v.mT @ scores(q, k).softmax(-1).transpose(-2, -1)).mT,
    "modules": Parts(nn.Softmax(dim=-1)),
    "a module of its own": Parts(Normalised()),
    "read before": lambda q, k, v: _read(scores(q, k).softmax(-1)) @ v,
}


def _read(weights):
    assert weights.amax() <= 1 and weights.shape[-1] == TOKENS
    return weights


@pytest.mark.parametrize("name", FUSED)
def test_fused(name, assert_stats):
    attend, bias, options = FUSED[name]
    model, x = Model(attend, **options), tokens()
    found = attention_stats(model, x, statistics=STATISTICS)
    assert_stats(found["attn"], weights_of(model, x, bias))
    assert found.layers == {"attn": AttentionLayer(HEADS, 1, TOKENS, TOKENS)}
    assert not found.left_out


@pytest.mark.parametrize("name", FORMED)
def test_formed(name, assert_stats):
    model, x = Model(FORMED[name]), tokens()
    found = attention_stats(model, x, statistics=STATISTICS, teacher_map=torch.ones(TOKENS))
    (actual,) = found.values()
    assert_stats(actual, weights_of(model, x), torch.ones(2, TOKENS))
    expected = "attn.attend" if isinstance(FORMED[name], nn.Module) else "attn"
    assert list(found) == [expected] and not found.left_out


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float64))
@pytest.mark.parametrize(
    "attend", (sdpa, lambda q, k, v: sdpa(q, k, v, ADDED.to(q.dtype)), FORMED["matmul"])
)
def test_dtypes(attend, dtype):
    found = attention_stats(Model(attend).to(dtype), tokens().to(dtype))["attn"]
    assert found.row_entropy.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert (found.column_sums.sum(-1) - TOKENS).abs().max() < 0.05


class Turned(nn.Module):
    """Attention between channels in a module that is given queries, keys and values."""

    def forward(self, q, k, v):
        return sdpa(q.mT, k.mT, v.mT).mT


OTHER = {
    "weights that are mixed": (
        lambda q, k, v: scores(q, k).softmax(-1).permute(0, 2, 3, 1).permute(0, 3, 1, 2) @ v,
        "goes through torch.Tensor.permute before",
    ),
    "weights that are scaled": (
        lambda q, k, v: (scores(q, k).softmax(-1) * 2) @ v,
        "goes through torch.Tensor.mul before",
    ),
    "weights that are overwritten": (
        lambda q, k, v: scores(q, k).softmax(-1).mul_(0.5) @ v,
        "goes through torch.Tensor.mul_ before",
    ),
    "channels in a module": (
        Turned(),
        "4 rows attend to 4 keys, which are not the 21 or 28 tokens",
    ),
    "weights in a list": (
        lambda q, k, v: torch.cat([scores(q, k).softmax(-1)] * 2, dim=1)[:, :HEADS] @ v,
        "goes through torch.cat before",
    ),
    "linear attention": (
        lambda q, k, v: q.softmax(-1) @ (k.softmax(-2).mT @ v),
        "7 rows attend to 4 keys, which are not the 7 tokens",
    ),
    "channels": (
        lambda q, k, v: ((q.mT @ k).softmax(-1) @ v.mT).mT,
        "4 rows attend to 4 keys, which are not the 7 tokens",
    ),
    "channels, fused": (
        lambda q, k, v: sdpa(q.mT, k.mT, v.mT).mT,
        "4 rows attend to 4 keys, which are not the 7 tokens",
    ),
    "heads nobody knows": (
        lambda q, k, v: sdpa(q[:, :2], k[:, :2], v[:, :2]).repeat(1, 2, 1, 1)[:, :HEADS],
        r"3 heads, and the shape \[2, 2, 7, 4\] does not show",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_only_looks_like_attention(name):
    attend, reason = OTHER[name]
    with pytest.raises(
        UnsupportedModelError, match=f"attn(.attend)?: .*{reason}.*queries and keys to"
    ):
        attention_stats(Model(attend), tokens())


def test_tokens_that_could_be_channels():
    model = Model(sdpa)
    x = torch.randn(2, CHANNELS, 12)
    with pytest.raises(UnsupportedModelError, match="cannot be told from channels; use images of"):
        attention_stats(model, x)


def test_no_attention():
    with pytest.raises(UnsupportedModelError, match="Linear called no attention.*no softmax"):
        attention_stats(nn.Linear(8, 8), torch.randn(1, 8))
    scripted = torch.jit.trace(nn.Linear(8, 8), torch.randn(1, 8))
    with pytest.raises(UnsupportedModelError, match="scripted modules.*pass the model"):
        attention_stats(scripted, torch.randn(1, 8))


class Two(nn.Module):
    """One module called twice, and a layer that mixes its weights."""

    def __init__(self):
        super().__init__()
        self.attn, self.mixing = Attends(sdpa), Attends(OTHER["weights that are mixed"][0])

    def forward(self, x):
        return self.mixing(self.attn(self.attn(x)))


def test_a_module_called_twice_and_a_layer_left_out(assert_stats):
    model, x = Two(), tokens()
    with pytest.warns(UserWarning, match="leaves out mixing: its softmax goes through.*permute"):
        found = attention_stats(model, x, statistics=STATISTICS)
    assert list(found) == list(found.layers) == ["attn", "attn:2"]
    assert list(found.left_out) == ["mixing"]
    assert_stats(found["attn"], weights_of(model, x))
    with torch.no_grad():
        assert_stats(found["attn:2"], weights_of(model, model.attn(x)))


@pytest.mark.parametrize("batch_first", (False, True))
def test_multi_head_attention_with_a_mask(batch_first, assert_stats):
    """torch.nn's own module, whose fast path would show nothing."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = nn.MultiheadAttention(12, HEADS, dropout=0.5, batch_first=batch_first)
            nn.init.normal_(self.attn.in_proj_weight)

        def forward(self, x):
            x = x if batch_first else x.transpose(0, 1)
            return self.attn(x, x, x, need_weights=False, attn_mask=LATER)[0]

    model, x = Encoder().train(), tokens()
    found = attention_stats(model, x, statistics=STATISTICS)
    inputs = x if batch_first else x.transpose(0, 1)
    with torch.no_grad():
        _, weights = model.eval().attn(
            *(inputs, inputs, inputs), attn_mask=LATER, average_attn_weights=False
        )
    assert_stats(found["attn"], weights)


def test_masked_attention_of_timm(assert_stats):
    attention = timm.layers.Attention(12, num_heads=HEADS)

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = attention

        def forward(self, x):
            return self.attn(x, attn_mask=SEEN)

    x = tokens()
    found = attention_stats(Masked(), x, statistics=STATISTICS)["attn"]
    with torch.no_grad():
        q, k, _ = attention.qkv(x).view(2, TOKENS, 3, HEADS, CHANNELS).permute(2, 0, 3, 1, 4)
        assert_stats(found, (scores(q, k) + HIDDEN).softmax(-1))


def test_maps_of_a_teacher_that_do_not_fit():
    attention = timm.layers.Attention(8, num_heads=2)
    x = torch.randn(2, 5, 8)
    for teacher_map in (
        *(torch.rand(6), torch.rand(2, 6), torch.rand(3, 5), torch.rand(1, 2, 5)),
        torch.rand(2, 2),
    ):
        with pytest.raises(ValueError, match=r"attends to 5 tokens.*map over the keys, \[2, N\]"):
            attention_stats(attention, x, teacher_map=teacher_map)
    options = {"img_size": 56, "depths": (1, 1), "num_heads": (2, 4), "embed_dim": 16}
    swin = timm.create_model("swin_tiny_patch4_window7_224", **options)
    with pytest.raises(ValueError, match="49 tokens in each of 4 windows.*or none"):
        attention_stats(swin, torch.randn(1, 3, 56, 56), teacher_map=torch.rand(49))


@pytest.mark.parametrize("attend", (sdpa, FORMED["matmul"], lambda q, k, v: sdpa(q, k, v, ADDED)))
def test_unknown_statistics_are_refused_before_the_model_runs(attend):
    model = Model(attend)
    model.register_forward_pre_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(ValueError, match="class_row, column_sums, row_entropy, head_mean"):
        attention_stats(model, tokens(), statistics=("entropy",))


class Moody(nn.Module):
    """All that a forward pass could leave behind: statistics, dropout, modes that differ."""

    def __init__(self, fails=False):
        super().__init__()
        self.attn, self.norm = Attends(FORMED["modules"]), nn.BatchNorm1d(TOKENS)
        self.drop, self.fails = nn.Dropout(0.5), fails

    def forward(self, x):
        x = self.drop(self.norm(self.attn(x)))
        if self.fails:
            raise RuntimeError("half way")
        return x


@pytest.mark.parametrize("fails", (False, True))
def test_the_model_is_left_as_it_was(fails):
    model = Moody(fails).train()
    model.norm.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    generator = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="half way"):
            attention_stats(model, tokens())
        torch.set_rng_state(generator)
    else:
        attention_stats(model, torch.ones(2, TOKENS, 12))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert not torch.overrides._get_current_function_mode_stack()


def test_compiled_models(assert_stats):
    """The same layers as before, under the names of the compiled module."""
    model, x = Model(sdpa), tokens()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(x)
    found = attention_stats(compiled, x, statistics=STATISTICS)
    assert_stats(found["_orig_mod.attn"], weights_of(model, x))
