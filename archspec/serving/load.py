"""Loads exported models as functions, each in the way that its format runs fastest from Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from archspec.serving.formats import FILES, INPUTS, METADATA, OUTPUTS, check_libraries, inductor, quiet

if TYPE_CHECKING:
    import os

    from archspec.serving.formats import Format

    Run = Callable[[list[Tensor]], Sequence[Tensor]]
    """From the columns, in the order of the file, to its outputs."""

Column = tuple[torch.dtype, tuple[int | str, ...]]
"""Dtype and shape of a column."""


class Served:
    """An exported model as a function: a batch in, outputs by name out, without gradients.

    The batch may have its columns in any order, with any strides, and further ones, which are ignored. This matters for
    AOTInductor, whose own function takes columns by place, reads them as contiguous, and checks nothing.

    Args:
        columns: dtype and shape of each column; `B` is the number of rows, another name the free length of a list.
        outputs: the names of the outputs.
        metadata: what `archspec.export` wrote into the file: the spec, its digest, the experts of each gate.
        run: the function of the file.
    """

    def __init__(
        self, columns: Mapping[str, Column], outputs: tuple[str, ...], metadata: Mapping[str, str], run: Run
    ) -> None:
        self.columns, self.outputs, self.metadata = columns, outputs, metadata
        self._run = run
        self._dtypes = [dtype for dtype, _ in columns.values()]
        self._after_rows = [shape[1:] for _, shape in columns.values()]

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs for a batch. Ids are not compared with the vocabularies.

        Raises:
            KeyError: a column is missing.
            TypeError: a column has another dtype.
            ValueError: a column has another shape, or another number of rows than the first.
        """
        given = [batch[name] for name in self.columns]
        rows = given[0].shape[:1]
        expected = [(*rows, *after) for after in self._after_rows]
        # Whole lists are compared, since a loop over the columns would cost a tenth of a request of one row.
        if [each.dtype for each in given] != self._dtypes or [each.shape for each in given] != expected:
            self._check(given, rows)
        return dict(zip(self.outputs, self._run([each.contiguous() for each in given]), strict=True))

    def _check(self, given: list[Tensor], rows: tuple[int, ...]) -> None:
        """Checks each column; lists may have any length."""
        for column, (name, (dtype, shape)) in zip(given, self.columns.items(), strict=True):
            if column.dtype != dtype:
                raise TypeError(f"column `{name}` is {column.dtype}, but the exported model takes {dtype}")
            expected = (*rows, *shape[1:])
            if len(column.shape) != len(shape) or any(
                size != own for size, own in zip(expected, column.shape, strict=True) if not isinstance(size, str)
            ):
                shown = ", ".join(map(str, expected if rows else shape))
                raise ValueError(
                    f"column `{name}` has shape {list(column.shape)}, but the exported model takes [{shown}]"
                )


def load_export(folder: str | os.PathLike[str], to: Format | None = None) -> Served:
    """Loads a model that `archspec.export` wrote, as a function from a batch to its outputs.

    Args:
        folder: the folder of the exported model.
        to: the format; needed only if the folder has several.

    Raises:
        FileNotFoundError: the folder has no exported model, or none in this format.
        ValueError: the folder has several formats and `to` is missing; or the file was not written by this version.
        SpecError: AS709: a library is missing.
    """
    tried = [to] if to else list(FILES)
    present = [each for each in tried if Path(folder, FILES[each]).is_file()]
    if not present:
        raise FileNotFoundError(f"{folder} has no exported model: {', '.join(FILES[each] for each in tried)}")
    if len(present) > 1:
        raise ValueError(f"{folder} has several formats, so `to` must be one of {', '.join(present)}")
    check_libraries(present[0])
    return loaded(present[0], Path(folder, FILES[present[0]]))


def loaded(to: Format, path: Path) -> Served:
    """The function of a written file."""
    with quiet():
        metadata, of_names = _OPEN[to](path)
    if not {INPUTS, OUTPUTS} <= metadata.keys():
        raise ValueError(f"{path} was written by another version of archspec: export the model again")
    inputs = json.loads(metadata[INPUTS])
    columns = {name: (getattr(torch, dtype), tuple(shape)) for name, (dtype, shape) in inputs.items()}
    outputs = tuple(metadata[OUTPUTS].split(","))
    return Served(columns, outputs, metadata, of_names(tuple(columns), outputs))


Opened = tuple[Mapping[str, str], Callable[[tuple[str, ...], tuple[str, ...]], "Run"]]
"""The metadata of a file, and its function for the names of its inputs and outputs."""


def _onnx(path: Path) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    read = {each.name for each in session.get_inputs()}

    def of_names(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Run:
        def run(columns: list[Tensor]) -> list[Tensor]:
            feed = {name: column.numpy() for name, column in zip(inputs, columns, strict=True) if name in read}
            return [torch.from_numpy(values) for values in session.run(outputs, feed)]

        return run

    return session.get_modelmeta().custom_metadata_map, of_names


def _torch_export(path: Path) -> Opened:
    extra = {METADATA: ""}
    module: Any = torch.export.load(path, extra_files=extra).module()

    @torch.no_grad()
    def run(inputs: tuple[str, ...], outputs: tuple[str, ...], columns: list[Tensor]) -> list[Tensor]:
        found = module(dict(zip(inputs, columns, strict=True)))
        return [found[name] for name in outputs]

    return json.loads(extra[METADATA] or "{}"), lambda inputs, outputs: lambda given: run(inputs, outputs, given)


def _aoti(path: Path) -> Opened:
    """Without the function of torch's package, which takes a fifth of the time of a request of one row.

    torch holds Python's lock (the GIL) while the model runs, gives it away when a column is freed, and waits for the
    model with the GIL held: two threads in it can block each other forever. Ours wait outside of it, without the GIL.
    """
    loader: Any = inductor().aoti_load_package(str(path)).loader
    turn = Lock()

    def run(columns: list[Tensor]) -> Sequence[Tensor]:
        with turn:
            found: Sequence[Tensor] = loader.boxed_run(columns)
        return found

    return loader.get_metadata(), lambda _, __: run


_OPEN: Final[Mapping[Format, Callable[[Path], Opened]]] = {"onnx": _onnx, "torch-export": _torch_export, "aoti": _aoti}
