"""The computations of the examples: claims over paired runs, cells of tables, sections of a file."""

from __future__ import annotations

from math import sqrt
from statistics import stdev
from typing import TYPE_CHECKING

import pytest
import torch

from archspec.cli.evaluate import evaluate
from archspec.cli.train import train
from archspec.synthetic import synthetic_events
from examples import after_training, census_commands, events, rows, synthetic_runs, train_synthetic, watch_time
from examples.loop import trained
from examples.report import spread, write_section
from examples.synthetic_claims import Found, check, claims, judge
from examples.synthetic_figure import draw
from examples.synthetic_runs import CORRELATIONS, MODELS, Job, Plan

if TYPE_CHECKING:
    from pathlib import Path

    from examples.synthetic_claims import Claim, Losses

SEEDS = range(6)
NOISE = (0.0, 0.02, -0.01, 0.01, -0.02, 0.005)
AS_THE_PAPER_HAS_IT = {"Shared-Bottom": 0.5, "one-gate MoE": 0.4, "MMoE": 0.1, "PLE": 0.1}


def losses(slopes: dict[str, float]) -> Losses:
    """Losses that fall with p, each model's with its own slope; Shared-Bottom's spread is twice as wide."""
    wide = {"Shared-Bottom": 2.0}
    return {
        (model, p, seed): 1 + slope * (1 - p) + NOISE[seed] * wide.get(model, 1.0) * (2 - p)
        for model, slope in slopes.items()
        for p in CORRELATIONS
        for seed in SEEDS
    }


def verdict(words: str, made: Losses) -> str:
    """The verdict on the claim with this text, judged alone."""
    (found,) = judge([check(claim(words), made, SEEDS)])
    return found


def claim(words: str) -> Claim:
    """The claim with this text."""
    (found,) = (one for one in claims(list(MODELS), CORRELATIONS) if words in one.words)
    return found


def test_the_papers_ordering_holds_for_losses_made_to_it() -> None:
    """Losses with the claimed slopes and spreads satisfy every claim."""
    made = losses(AS_THE_PAPER_HAS_IT)
    made |= {("PLE", p, seed): made["PLE", p, seed] - 0.1 for p in CORRELATIONS for seed in SEEDS}
    found = [check(one, made, SEEDS) for one in claims(list(MODELS), CORRELATIONS)]
    assert judge(found) == ["holds"] * 22


def test_an_ordering_that_is_turned_around_does_not_hold() -> None:
    """If the slopes of MMoE and one-gate MoE are swapped, or losses rise, the opposite of the claims holds."""
    made = losses(AS_THE_PAPER_HAS_IT | {"one-gate MoE": 0.1, "MMoE": 0.4, "PLE": -0.3})
    assert verdict("MMoE loses less than one-gate MoE", made) == "the opposite holds"
    assert verdict("PLE: the loss at p = 0.9 is below", made) == "the opposite holds"


def test_models_that_differ_are_not_alike() -> None:
    """Being alike needs an interval within the margin: a wide one leaves it undecided, a far one refutes it."""
    made, alike = losses(AS_THE_PAPER_HAS_IT), "are alike"
    assert verdict(alike, made) == "holds"
    for shift in (-0.5, 0.5):
        moved = made | {("MMoE", 1.0, seed): made["MMoE", 1.0, seed] + shift + NOISE[seed] for seed in SEEDS}
        assert verdict(alike, moved) == "the opposite holds"
    noisy = made | {("MMoE", 1.0, seed): 1 + 30 * NOISE[-1 - seed] for seed in SEEDS}
    assert verdict(alike, noisy) == "undecided"


def test_verdicts_are_corrected_for_the_number_of_claims() -> None:
    """Holm's procedure: a number that would count alone does not count among twenty; a clear one does."""
    slight, clear, none = Found(2.2, 1.0), Found(-9.0, 1.0), Found(0.1, 1.0)
    assert judge([slight]) == ["holds"]
    assert judge([slight, clear, *[none] * 18]) == ["undecided", "the opposite holds", *["undecided"] * 18]
    assert judge([slight, clear]) == ["holds", "the opposite holds"]  # after the clear one, 5 % are left for the other


def test_finished_runs_are_read_from_their_file(tmp_path: Path) -> None:
    """Runs of the same plan come back exactly; a line that was cut off counts as no run, and spoils no later one."""
    file, plan = tmp_path / "build" / "runs.jsonl", Plan(rows=300)
    first, second = Job("MMoE", 0.5, 1, 0.003), Job("PLE", 1.0, 2)
    assert synthetic_runs.kept(file, plan) == {}
    synthetic_runs.keep(file, plan, first, [(4, 0.1 + 0.2)])
    with file.open("a") as lines:
        lines.write('{"plan": {"ro')
    synthetic_runs.keep(file, plan, second, [(4, 0.5), (6, 0.25)])
    assert synthetic_runs.kept(file, plan) == {first: [(4, 0.1 + 0.2)], second: [(4, 0.5), (6, 0.25)]}
    assert synthetic_runs.kept(file, Plan(rows=400)) == {}


def test_the_error_of_a_mean_is_that_of_paired_differences() -> None:
    """The jackknife error of a mean difference is its standard deviation over runs by the root of their number."""
    made = losses(AS_THE_PAPER_HAS_IT)
    found = check(claim("MMoE: the loss at p = 1.0 is below that at p = 0.9"), made, SEEDS)
    differences = [made["MMoE", 0.9, seed] - made["MMoE", 1.0, seed] for seed in SEEDS]
    assert found.value == pytest.approx(sum(differences) / 6)
    assert found.error == pytest.approx(stdev(differences) / sqrt(6))


def test_claims_on_models_left_out_are_left_out() -> None:
    """With MMoE alone, claims that compare it with other models are omitted."""
    assert [one.models for one in claims(["MMoE"], CORRELATIONS)] == [("MMoE",)] * 3


def test_runs_of_one_seed_are_the_same_and_end_with_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job always gives the same curve, with a test after the last step, however many steps are between tests."""
    monkeypatch.setattr(train_synthetic, "TEST_ROWS", 50)
    synthetic_runs.data.cache_clear()
    jobs = [Job("MMoE", p, seed) for p in CORRELATIONS for seed in (0, 1)]
    curves = {job: synthetic_runs.run(job, Plan(300, every=4)) for job in jobs}
    assert {tuple(step for step, _ in curve) for curve in curves.values()} == {(4, 6)}
    assert curves[jobs[0]] == synthetic_runs.run(jobs[0], Plan(300, every=4)) != curves[jobs[1]]
    assert [step for step, _ in synthetic_runs.run(jobs[0], Plan(300))] == [6]
    synthetic_runs.data.cache_clear()
    figure = draw(curves, ["MMoE"], CORRELATIONS)
    assert [axes.get_title() for axes in figure.axes[::2]] == ["p = 0.5", "p = 0.9", "p = 1.0"]


def test_a_test_leaves_the_mode_as_it_was() -> None:
    """A test in the middle of training restores training mode."""
    model = torch.nn.Module()
    model.forward = lambda batch: batch
    rows = {name: torch.zeros(3) for name in ("first", "second")}
    for training in (True, False):
        assert train_synthetic.test(model.train(training), rows) == 0
        assert model.training is training


def test_cells_hold_mean_and_deviation() -> None:
    """A single run has no spread."""
    assert spread([1.0, 2.0], ".2f") == "1.50 ± 0.71"
    assert spread([1.0, 2.0], "+.1f") == "+1.5 ± 0.7"
    assert spread([0.5]) == "0.5000"


def test_a_section_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    """Sections are appended at the end and replaced in place; other text is unchanged, byte for byte."""
    path = tmp_path / "docs" / "results.md"
    write_section(path, "one", "first\n")
    write_section(path, "two", "second\n")
    path.write_text(path.read_text() + "by hand\n")
    before = path.read_text()
    write_section(path, "one", "new\n")
    assert path.read_text() == before.replace("first", "new")
    assert before.startswith("# Results\n\n<!-- one -->\nfirst\n<!-- /one -->\n\n<!-- two -->\n")


def test_a_section_without_an_end_is_refused(tmp_path: Path) -> None:
    """Text after a lone marker might belong to somebody else, so it is not overwritten."""
    path = tmp_path / "results.md"
    path.write_text("<!-- one -->\nby hand\n")
    with pytest.raises(ValueError, match="`<!-- one -->` has no `<!-- /one -->`"):
        write_section(path, "one", "new\n")
    assert path.read_text() == "<!-- one -->\nby hand\n"


def test_the_way_from_one_version_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a new task and expert, old scores stay within the bound, and served scores equal those of `predict`."""
    monkeypatch.setattr(after_training, "ROWS", 600)
    after_training.main(tmp_path / "after")
    printed = capsys.readouterr().out
    assert "before the first step, old scores move by at most" in printed
    assert "largest differences of served scores: {'click'" in printed
    assert sorted(path.name for path in (tmp_path / "after" / "served").iterdir()) == [
        "encoding.json", "model.onnx", "score.py",
    ]  # fmt: skip


def test_the_example_fails_if_scores_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the example works: with a bound of zero it fails."""
    monkeypatch.setattr(after_training, "ROWS", 300)
    monkeypatch.setattr(after_training, "BOUND", 0.0)
    with pytest.raises(SystemExit, match="old scores moved by"):
        after_training.main(tmp_path)


def test_the_table_of_events_compares_within_seeds() -> None:
    """A model's gain over the mean of the events is computed per seed; the first row has none."""
    scores = {
        "mean": [{"click": 0.5, "buy": 0.6}, {"click": 0.7, "buy": 0.6}],
        "attention": [{"click": 0.6, "buy": 0.5}, {"click": 0.8, "buy": 0.7}],
    }
    head, _, first, second = events.table(scores)
    assert head == "| events | click | more than the mean | buy | more than the mean |"
    assert first == "| mean | 0.6000 ± 0.1414 |  | 0.6000 ± 0.0000 |  |"
    assert second == "| attention | 0.7000 ± 0.1414 | +0.1000 ± 0.0000 | 0.6000 ± 0.1414 | +0.0000 ± 0.1414 |"


def test_the_models_of_events_differ_in_one_block() -> None:
    """Each is the spec with another `interest`, learns a little from few rows, and is measured on both tasks."""
    batch = synthetic_events(400, seed=0)
    for overrides in events.MODELS.values():
        model = trained(events.SPEC, overrides, batch, seed=0, epochs=1, batch=events.BATCH, rate=events.RATE)
        assert set(events.measured(model, batch)) == {"click", "buy"}
        names = {name for name, _ in model.named_weights()}  # type: ignore[operator] # a compiled model
        rest = {name for name in names if not name.startswith("blocks.interest")}
        assert len(rest) == len({name for name in rest if name.startswith(("inputs", "level", "towers"))})


def test_rows_of_events_have_lists_without_padding() -> None:
    """Both columns of an event list have the same length and contain no -1."""
    table = rows.events(50, 0).to_pydict()
    assert all(len(a) == len(b) > 0 for a, b in zip(table["clicks"], table["click_cates"], strict=True))
    assert min(min(row) for row in table["clicks"]) >= 0
    assert set(table["buy"]) <= {0, 1}


def test_watch_time_compares_kinds_of_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small run of the whole example: a row per model, its best rate, gains within seeds, and an answer."""
    monkeypatch.setattr(watch_time, "TEST_ROWS", 500)
    monkeypatch.setattr(watch_time, "EPOCHS", 1)
    text = watch_time.compare(600, range(2), range(1000, 1001), (0.003, 0.01))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[1:]] == [
        *watch_time.MODELS,
        "the true expectation",
    ]
    assert all(line.split(" | ")[1] in {"0.003", "0.01"} for line in lines[1:-1])
    assert lines[1].split(" | ")[3] == ""
    assert text.count("The hypothesis") == 2


def test_watch_time_is_predicted_on_the_scale_of_minutes() -> None:
    """Logarithms are turned back into minutes; the true expectations are calibrated and rank well."""
    train, test = watch_time.data(400, 0)
    overrides = {"tasks.minutes.label": "log_minutes"}
    model = trained(
        watch_time.SPEC, overrides, train, seed=0, epochs=watch_time.EPOCHS, batch=watch_time.BATCH, rate=0.01
    )
    logs = model.predict(test)["minutes"]  # type: ignore[operator] # a compiled model
    torch.testing.assert_close(watch_time.predicted(model, overrides, test).log1p(), logs)
    scores = watch_time.measured(test["expected"], test)
    assert scores.ranks > 0.4
    assert abs(scores.calibration - 1) < 0.1


def test_the_commands_of_census_income_are_complete(tmp_path: Path) -> None:
    """Every run has its own folder, and options that `archspec train` and `archspec evaluate` accept."""
    runs = [census_commands.Run("mmoe", recipe, seed) for recipe in census_commands.RECIPES for seed in (0, 1)]
    contexts = []
    for run in runs:
        to_train, to_evaluate = census_commands.commands(run, tmp_path)
        contexts.append(train.make_context("train", to_train[1:]))
        evaluate.make_context("evaluate", to_evaluate[1:])
    assert len({context.params["output"] for context in contexts}) == 4
    assert [context.params["schedule"] for context in contexts] == ["constant"] * 2 + ["cosine"] * 2


def test_recipes_are_compared_in_pairs() -> None:
    """A recipe that is better in each pair holds, one that is worse does not; noise decides nothing."""

    def found(gains: tuple[float, ...]) -> dict[census_commands.Run, dict[str, float]]:
        runs = {
            census_commands.Run(model, recipe, seed): 0.8 + 0.05 * seed + (recipe == "scheduled") * gain
            for model in census_commands.MODELS
            for seed, gain in enumerate(gains)
            for recipe in census_commands.RECIPES
        }
        return {run: dict.fromkeys(census_commands.TASKS, auc) for run, auc in runs.items()}

    assert "`income` the hypothesis holds: +0.0200" in census_commands.verdict(found((0.01, 0.02, 0.03)))
    assert "better in 6 of 6 pairs" in census_commands.verdict(found((0.01, 0.02, 0.03)))
    assert "is undecided" in census_commands.verdict(found((0.01, -0.02, 0.02)))
    assert "does not hold" in census_commands.verdict(found((-0.01, -0.02, 0.02)))
    rows = list(census_commands.table(found((0.01, 0.02, 0.03))))
    assert rows[2] == "| `shared_bottom` | defaults | 0.8500 ± 0.0500 | 0.8500 ± 0.0500 |"
