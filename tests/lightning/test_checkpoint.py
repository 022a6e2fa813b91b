"""Checkpoints: a model loads from the file alone, and nothing in the file is trusted."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import archspec
from archspec.lightning import MultiTaskModule
from tests.lightning.loops import TEXT, fitted, loader_of, quiet_trainer, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
DECAYING = TEXT.replace("decay: 0.9", "decay: {rate: 0.5, every: epoch}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint after two steps."""
    module = MultiTaskModule(TEXT, seed=0, grouped_by="user", learning_rate=0.05)
    trainer = fitted(module, loader_of(2))
    path = tmp_path / "two.ckpt"
    trainer.save_checkpoint(path)
    return path


def changed(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The checkpoint with one entry changed."""
    checkpoint = torch.load(file, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, file)
    return file


def test_a_checkpoint_holds_the_spec(file: Path) -> None:
    """Canonical text, digest and version, all readable without running code."""
    kept = torch.load(file, weights_only=True)["archspec"]
    spec = archspec.load(TEXT)
    assert kept["spec"] == spec.text()
    assert kept["digest"] == spec.digest
    assert kept["version"]


@pytest.mark.parametrize("optimize", [True, False])
def test_a_checkpoint_loads_with_nothing_else(optimize: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """Scores, clocks and settings are restored from the file alone, for plain and optimized models."""
    module = MultiTaskModule(TEXT, seed=3, grouped_by="user", learning_rate=0.05, optimize=optimize)
    trainer = fitted(module, loader_of(2))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = MultiTaskModule.load_from_checkpoint(tmp_path / "a.ckpt")
    for task, scores in module.predict_step(rows_of(5)).items():
        assert torch.equal(loaded.predict_step(rows_of(5))[task], scores)
    assert loaded.spec.digest == module.spec.digest
    assert int(loaded.criterion.steps) == 2
    assert dict(loaded.hparams) == dict(module.hparams)


def test_a_checkpoint_in_memory_loads_too(file: Path) -> None:
    """An open file works like a path; explicit settings override those of the checkpoint."""
    loaded = MultiTaskModule.load_from_checkpoint(BytesIO(file.read_bytes()), learning_rate=0.5)
    assert (loaded.learning_rate, loaded.hparams["grouped_by"]) == (0.5, "user")


def test_a_checkpoint_of_a_wrapped_model_is_one_of_the_model(tmp_path: Path) -> None:
    """A checkpoint trained with `torch.compile(module.model)` loads without the wrapper; training resumes with it."""
    module = MultiTaskModule(TEXT, seed=0)
    module.model = torch.compile(module.model, backend="eager")  # type: ignore[assignment] # it is a module
    trainer = fitted(module, loader_of(1))
    trainer.save_checkpoint(tmp_path / "wrapped.ckpt")
    loaded = MultiTaskModule.load_from_checkpoint(tmp_path / "wrapped.ckpt")
    assert torch.equal(loaded.predict_step(rows_of(5))["a"], module.predict_step(rows_of(5))["a"])
    again = MultiTaskModule(TEXT, seed=1)
    again.model = torch.compile(again.model, backend="eager")  # type: ignore[assignment] # it is a module
    fitted(again, loader_of(1), max_epochs=1, checkpoint=tmp_path / "wrapped.ckpt")
    assert torch.equal(again.predict_step(rows_of(5))["a"], module.predict_step(rows_of(5))["a"])


def test_a_spec_with_a_plugin_needs_it_enabled(tmp_path: Path) -> None:
    """Without the plugin: the usual error; with it, the same scores."""
    plugin = ROOT / "plugins" / "escm2.py"
    module = MultiTaskModule(ROOT / "specs" / "escm2.yaml", plugins=[plugin], seed=0)
    trainer = quiet_trainer()
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "escm2.ckpt")
    with pytest.raises(archspec.SpecError, match="escm2"):
        MultiTaskModule.load_from_checkpoint(tmp_path / "escm2.ckpt")
    loaded = MultiTaskModule.load_from_checkpoint(tmp_path / "escm2.ckpt", plugins=[plugin])
    assert loaded.spec.digest == module.spec.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: secret.yaml\n", "the spec of a checkpoint cannot extend a file"),
        ("secret.yaml", "the top level is a single value, not a mapping"),
        ("{secret.yaml}", "unknown section"),
        (5, "the checkpoint contains no spec"),
    ],
)
def test_a_spec_in_a_checkpoint_reads_no_file(
    text: object, message: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither `extends` nor a path in the spec makes it open a file, even if such a file exists."""
    for name in ("secret.yaml", "{secret.yaml}"):
        (tmp_path / name).write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(archspec.SpecError, match=message):
        MultiTaskModule.load_from_checkpoint(changed(file, lambda kept: kept["archspec"].update(spec=text)))


def test_settings_in_a_checkpoint_enable_no_plugin(file: Path, tmp_path: Path) -> None:
    """A checkpoint that was crafted to name a plugin, a spec or an optimizer has no such effect."""
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    bad = {"plugins": [str(tmp_path / "evil.py")], "spec": str(tmp_path / "none.yaml"), "optimizer": "evil"}
    loaded = MultiTaskModule.load_from_checkpoint(changed(file, lambda kept: kept["hyper_parameters"].update(bad)))
    assert loaded.spec.name == "mixed"
    assert loaded.optimizer is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"), (b"", "it is empty"), (b"text", "it was not written by torch.save"),
        (b"PK\3\4" + b"x" * 90, "it is truncated or damaged"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_checkpoint_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    """A missing, empty, foreign or damaged file is one sentence with its name, without torch's own advice."""
    path = tmp_path / "x.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(archspec.SpecError, match=f"x.ckpt` cannot be read as a checkpoint: {message}"):
        MultiTaskModule.load_from_checkpoint(path)


def test_a_cut_checkpoint_is_called_that(file: Path, tmp_path: Path) -> None:
    """A truncated file is reported as such, however much is missing, even if torch only fails to map it into memory."""
    whole = file.read_bytes()
    for end in (len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.ckpt").write_bytes(whole[:end])
        with pytest.raises(
            archspec.SpecError, match=r"cut.ckpt` cannot be read as a checkpoint: it is truncated or damaged"
        ):
            MultiTaskModule.load_from_checkpoint(tmp_path / "cut.ckpt")


def test_a_checkpoint_of_another_module_is_named(tmp_path: Path) -> None:
    """A checkpoint of another LightningModule is refused, because it contains no spec."""
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(archspec.SpecError, match=r"other.ckpt` is not a checkpoint of a MultiTaskModule"):
        MultiTaskModule.load_from_checkpoint(tmp_path / "other.ckpt")


def test_resuming_another_spec_is_refused(file: Path) -> None:
    """The error names both specs, before weights are compared."""
    module = MultiTaskModule(TEXT.replace("units: [4]", "units: [6]").replace("mixed", "wider"))
    with pytest.raises(
        ValueError, match=r"the checkpoint's spec is `mixed` \(\w+\), but the module's is `wider` \(\w+\)"
    ):
        fitted(module, loader_of(2), max_epochs=2, checkpoint=file)


def every_two_steps(folder: Path) -> ModelCheckpoint:
    """Saves after the second step of an epoch, before the epoch ends."""
    return ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)


# The resumed run writes beside the first one's checkpoints, as after a kill.
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("step", [2, 4])
def test_resuming_goes_on_where_the_clocks_were(step: int, tmp_path: Path) -> None:
    """A run resumed from the last step of the first or second epoch ends like an uninterrupted run."""
    train = loader_of(2)
    whole = MultiTaskModule(DECAYING, seed=0, learning_rate=0.05)
    options: dict[str, Any] = {"max_epochs": 3, "enable_checkpointing": True}
    fitted(whole, train, callbacks=[every_two_steps(tmp_path)], **options)
    resumed = MultiTaskModule(DECAYING, seed=9, learning_rate=0.05)
    file = tmp_path / f"step={step}.ckpt"
    fitted(resumed, train, callbacks=[every_two_steps(tmp_path)], checkpoint=file, **options)
    assert [int(resumed.criterion.steps), int(resumed.criterion.epochs)] == [6, 3]
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
