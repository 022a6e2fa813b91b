"""Properties of the architectures for tokens and events: RankMixer, Wukong, and DIN under PLE."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from tests.compiler.models import assert_equal
from tests.published import PLUGINS
from tests.specs.test_modern_identities import batch_of, compiled, loaded, views

if TYPE_CHECKING:
    from types import ModuleType


def plugin(name: str) -> ModuleType:
    """The module of a plugin file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", PLUGINS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rankmixer_exchanges_heads_and_back() -> None:
    """With as many heads as tokens, mixing twice restores the tokens, and head h of token t is head t of token h."""
    mixed = plugin("rankmixer").mixed
    x = torch.randn(3, 4, 8)
    assert torch.equal(mixed(mixed(x)), x)
    assert torch.equal(mixed(x)[:, 2, 2:4], x[:, 1, 4:6])


def test_rankmixer_of_one_token_is_one_network() -> None:
    """A single token has nothing to exchange: X' = LN(S + FFN(S)) with S = LN(2 X), on one projection."""
    model = compiled("rankmixer", (("from: [user, item, history, context]", "from: user"),
                                   (r"  context: .*\n", "")))  # fmt: skip
    weights, batch = dict(model.named_weights()), batch_of("rankmixer")
    own = {key.removeprefix("blocks.mixer."): value for key, value in weights.items()}
    linear, norm = torch.nn.functional.linear, torch.nn.functional.layer_norm
    x = linear(weights["inputs.user.weight"][batch["user"]], own["tokens.0.weight"], own["tokens.0.bias"])
    for at in ("layers.0", "layers.1"):
        s = norm(2 * x, (32,), own[f"{at}.norms.0.weight"], own[f"{at}.norms.0.bias"])
        inner = torch.nn.functional.gelu(linear(s, own[f"{at}.up.weight"][0], own[f"{at}.up.bias"][0]))
        made = linear(inner, own[f"{at}.down.weight"][0], own[f"{at}.down.bias"][0])
        x = norm(s + made, (32,), own[f"{at}.norms.1.weight"], own[f"{at}.norms.1.bias"])
    hidden = torch.relu(linear(x, weights["towers.like.layers.0.weight"], weights["towers.like.layers.0.bias"]))
    logits = linear(hidden, weights["towers.like.head.weight"], weights["towers.like.head.bias"]).squeeze(1)
    assert_equal(model(batch)["like"], logits)


def test_wukong_with_y_of_one_multiplies_all_pairs() -> None:
    """With Y = 1 nothing is compressed: flat(X X^T)."""
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    pairs = torch.stack([(x[:, i] * x[:, j]).sum(1) for i in range(5) for j in range(5)], dim=1)
    assert_equal(plugin("wukong").products(x, torch.eye(5, dtype=torch.float64)), pairs)


def test_wukong_without_its_parts_is_a_norm_of_its_fields() -> None:
    """A layer that outputs as many fields, all zero, is the layer norm of the fields it reads."""
    five = (("layers: 3, products: 8, compressed: 8", "layers: 1, products: 2, compressed: 3"),)
    model = compiled("wukong", five)
    for value in views(model, r"(compress|mlp\.2\.(weight|bias))$"):
        value.zero_()
    assert not views(model, "residual")
    weights, batch = dict(model.named_weights()), batch_of("wukong")
    fields = [weights[f"inputs.{name}.weight"][batch[name]] for name in ("user", "item", "scene")]
    history = batch["history"]
    rows = weights["inputs.item.weight"][history.clamp(min=0)] * (history >= 0).unsqueeze(2)
    fields.insert(2, rows.sum(1) / (history >= 0).sum(1, keepdim=True).clamp(min=1))
    number = weights["inputs.price.linear.weight"], weights["inputs.price.linear.bias"]
    fields.append(torch.nn.functional.linear(batch["price"].reshape(-1, 1), *number))
    normed = torch.cat([torch.nn.functional.layer_norm(field, (16,)) for field in fields], dim=1)
    hidden = torch.relu(normed @ weights["towers.buy.layers.0.weight"].T + weights["towers.buy.layers.0.bias"])
    logits = hidden @ weights["towers.buy.head.weight"].T + weights["towers.buy.head.bias"]
    assert_equal(model(batch)["buy"], logits.squeeze(1))


def test_din_ple_with_equal_scores_pools_the_events() -> None:
    """Logits of zero with `normalize: softmax` weight all events equally, like the mean of `kind: pool`."""
    softmax = ("units: [32, 16]}", "units: [32, 16], normalize: softmax}")
    model = compiled("din_ple", (softmax,))
    plain = compiled("din_ple", ((r"kind: target_attention.*\}", "kind: pool, from: [clicks, click_cates]}"),))
    for value in views(model, r"blocks\.interest\.head"):
        value.zero_()
    mine = dict(model.named_weights())
    plain.load_weights({key: mine[key] for key, _ in plain.named_weights()})
    batch = batch_of("din_ple")
    assert_equal(model(batch), plain(batch))


def test_din_ple_reads_events_and_not_padding() -> None:
    """Events beside -1 have no effect, and a row whose history is all padding has a finite output."""
    model, batch = compiled("din_ple"), batch_of("din_ple", 32)
    before = model(batch)["click"]
    longer = {**batch, "clicks": batch["clicks"].clone()}
    longer["clicks"][-1] = -1
    longer["click_cates"] = batch["click_cates"].clone()
    longer["click_cates"][-1] = -1
    assert_equal(model(longer)["click"][:-1], before[:-1])
    assert model(longer)["click"].isfinite().all()


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("rankmixer", "dim: 32", "dim: 30", "`dim: 30` is not a multiple of the 4 fields"),
        (
            "wukong",
            "price: {kind: numeric, dim: 16}",
            "price: {kind: numeric, dim: 8}",
            "must have the same width, but have",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused(name: str, old: str, new: str, said: str) -> None:
    """Widths of fields are checked when a spec is validated, before anything is built."""
    with pytest.raises(archspec.SpecError, match=said):
        archspec.build_graph(loaded(name, ((old, new),)))
