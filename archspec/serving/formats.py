"""The formats of an exported model: each writes its file into a folder."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

import torch

from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from archspec.serving.scoring import Scoring

Format = Literal["onnx", "torch-export", "aoti"]
FILES: Final[Mapping[Format, str]] = {"onnx": "model.onnx", "torch-export": "model.pt2", "aoti": "model_aoti.pt2"}
"""The file of each format."""
METADATA: Final = "archspec.json"
"""The file in an archive of torch.export with the metadata; in the other formats, its keys are keys of the file's."""
INPUTS, OUTPUTS = "archspec.inputs", "archspec.outputs"
"""Keys of the metadata: dtype and shape of each input as JSON, and the names of all outputs, both in their order."""
_PACKED: Final = 200_000
"""From this number of weights on, a product of packed weights is faster at every number of rows but 1."""
_OPERATION: Final = re.compile(r"OpOverload\(op='([^']+)'|No ONNX function found for ([\w.:]+)")


def traced(module: Scoring, batch: Mapping[str, Tensor], lists: Mapping[str, bool]) -> torch.export.ExportedProgram:
    """The module as a graph for any number of rows.

    Args:
        module: the module.
        batch: an example of a batch.
        lists: which columns are lists of any length.

    Raises:
        SpecError: AS808: torch.export cannot trace it.
    """
    rows = torch.export.Dim("rows", min=1)
    free = {
        name: {0: rows, 1: torch.export.Dim(f"length{number}", min=1)} if lists[name] else {0: rows}
        for number, name in enumerate(batch)
    }
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(module, (dict(batch),), dynamic_shapes=(free,))
    except Exception as error:  # noqa: BLE001 - whatever a plugin's code or torch raises
        unusable(
            "AS808", f"torch.export cannot trace the model: {_first_line(error)}",
            help="code of a plugin that depends on values, or on the number of rows as a Python number (`len(x)`), "
            "cannot be traced: use `x.shape[0]` and operations on tensors",
        )  # fmt: skip


def write(
    to: Format, program: torch.export.ExportedProgram, module: Scoring, folder: Path, metadata: Mapping[str, str]
) -> None:
    """Writes a traced module into a folder.

    Raises:
        SpecError: AS809: the format does not have an operation of the model; AS811: there is no C++ compiler.
    """
    path = folder / FILES[to]
    match to:
        case "torch-export":
            with quiet():
                torch.export.save(program, path, extra_files={METADATA: json.dumps(dict(metadata))})
        case "onnx":
            _write_onnx(program, module, path, metadata)
        case "aoti":
            _write_aoti(program, path, metadata)


def _write_onnx(
    program: torch.export.ExportedProgram, module: Scoring, path: Path, metadata: Mapping[str, str]
) -> None:
    names = list(module.names)
    if module.gates:
        names = list(program.module()(*program.example_inputs[0]))
    inputs = list(program.example_inputs[0][0])
    try:
        with torch.no_grad(), quiet():
            made: Any = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=names)
    except Exception as error:
        found = next((match for text in _texts(error) if (match := _OPERATION.search(text))), None)
        if found is None:
            raise
        unusable(
            "AS809", f"ONNX does not have the operation `{found[1] or found[2]}` of this model",
            help="use `--to torch-export` or `--to aoti`, which have every operation",
        )  # fmt: skip
    made.model.metadata_props.update(metadata)
    made.save(path)


def _write_aoti(program: torch.export.ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        unusable(
            "AS811", "AOTInductor compiles C++, but there is no compiler on this machine",
            help="install g++ or clang++; `--to torch-export` and `--to onnx` need none",
        )  # fmt: skip
    # `freezing` folds constants and stores weights as oneDNN's products read them. With `max_autotune`, requests of 16
    # and more rows took longer: it measures with the example's number of rows.
    configs = {"freezing": True, "aot_inductor.metadata": dict(metadata)}
    with torch.no_grad(), quiet():
        program = program.run_decompositions(PRODUCTS)
        inductor().aoti_compile_and_package(program, package_path=str(path), inductor_configs=configs)


def unpacked(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A small matrix product as a batched one, which inductor leaves to MKL; NotImplemented for a large one.

    oneDNN's product of packed weights spends 15 us before it starts: a small model would take three times as long for
    one row.
    """
    if weight.numel() >= _PACKED or x.dtype != torch.float32:
        return NotImplemented  # type: ignore[no-any-return] # as torch expects it from a decomposition
    out = torch.bmm(x.reshape(1, -1, x.shape[-1]), weight.t().unsqueeze(0)).reshape(*x.shape[:-1], weight.shape[0])
    return out if bias is None else out + bias


def biased(bias: Tensor, x: Tensor, weight: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """A batched product and its bias as two operations: inductor fuses the second one with what follows."""
    if (beta, alpha) != (1, 1):
        return NotImplemented  # type: ignore[no-any-return] # as above
    return torch.bmm(x, weight) + bias


PRODUCTS: Final = {torch.ops.aten.linear.default: unpacked, torch.ops.aten.baddbmm.default: biased}
"""How AOTInductor gets matrix products."""


def inductor() -> Any:  # noqa: ANN401 - torch leaves it untyped
    """The functions of AOTInductor."""
    import torch._inductor

    return torch._inductor  # noqa: SLF001 - torch documents these functions under this name


def check_libraries(to: Format) -> None:
    """Raises SpecError AS709 if a library that a format needs is not installed."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if to == "onnx" and missing:
        unusable(
            "AS709", f"export to ONNX needs {', '.join(missing)}",
            help="pip install 'archspec-mtl[serve]', or from a checkout: pip install -e '.[serve]'",
        )  # fmt: skip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the exporters' own messages."""
    names = ("torch.onnx", "torch.export", "torch._inductor", "torch.fx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _texts(error: BaseException | None) -> Iterator[str]:
    """The messages of an error and of its causes."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
