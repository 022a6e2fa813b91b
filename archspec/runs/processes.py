"""The processes that train together, on one machine or several, and how they agree on the folder of their run.

With `--devices`, Lightning starts the other processes once the first one has prepared the data. torchrun starts all of
them at once, on every node: the first one (`RANK` 0) prepares the data, and the others wait for it. They read the
prepared rows from the same folder, which all nodes have to share.
"""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from archspec.diagnostics import SpecError, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_LONGEST: Final = timedelta(days=30)
"""How long a process waits: preparation takes as long as it takes, and torchrun ends all processes if one dies."""
_REPORTING: Final = 5.0
"""Seconds in which the first process reports an error and ends."""
_VISIBLE: Final = 60.0
"""Seconds after which a file that one node has written is visible on all others: NFS caches a missing one so long."""
_PREPARED, _FAILED, _BEGIN = "prepared", "failed", "begin"
_TORCHRUN: Final = "TORCHELASTIC_RUN_ID"
"""A variable that torchrun sets."""


def rank_of(environment: Mapping[str, str] = os.environ) -> int:
    """The rank of this process among all of its run, which is not `LOCAL_RANK` on the second node of torchrun."""
    return int(environment["RANK"] if _TORCHRUN in environment else environment.get("LOCAL_RANK", "0"))


@dataclass(frozen=True, slots=True)
class Processes:
    """The place of this process among those of its run: `rank` of `count`, `per_node` of them on each node."""

    rank: int = 0
    count: int = 1
    per_node: int = 1
    torchrun: bool = False
    """Whether torchrun has started all of them, rather than Lightning."""

    @classmethod
    def started(cls, devices: int, environment: Mapping[str, str] = os.environ) -> Processes:
        """The processes by the variables that torchrun, or Lightning, has set for this one.

        Args:
            devices: the value of `--devices`.
            environment: the variables.

        Raises:
            SpecError: torchrun has started another number of processes on each node than `devices`, which is not 1.
        """
        if _TORCHRUN not in environment:
            return cls(rank_of(environment), devices, devices)
        count, here = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
        if devices not in {1, here}:
            unusable(
                "AS755", f"`--devices {devices}`, but torchrun has started {here} process{'es' * (here != 1)} on this "
                "node", help="omit `--devices`: `torchrun --nproc-per-node` decides how many there are",
            )  # fmt: skip
        if count % here:
            unusable(
                "AS755", f"torchrun has started {count} processes, {here} of them on this node: not as many on each",
                help="give `torchrun --nproc-per-node` the same number on every node",
            )  # fmt: skip
        return cls(rank_of(environment), count, here, torchrun=True)

    @property
    def first(self) -> bool:
        """Whether this process prepares the data, writes the files and prints."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return self.count // self.per_node

    @contextmanager
    def preparing(self, folder: Path) -> Iterator[Callable[[], None]]:
        """For the first process: yields the function to call once the folder is prepared; the others wait for it.

        If the block ends with an error before that, the other processes end, too. The function waits until they have
        found the run in the folder, and raises SpecError if one of them does not.
        """
        if not self.torchrun or self.count == 1:
            yield lambda: None
            return
        store = _store()
        try:
            yield lambda: self._begin(folder, store)
        except BaseException as error:
            store.set(_PREPARED, f"{_FAILED} {error.status if isinstance(error, SpecError) else 1}")
            raise

    def _begin(self, folder: Path, store: Any) -> None:  # noqa: ANN401 - as _store
        """Lets the other processes begin, if all of them find the run in the folder."""
        store.set(_PREPARED, _digest(folder))
        found = {rank: _answer(store, f"found {rank}") for rank in range(1, self.count)}
        nodes = sorted({where for where in found.values() if where})
        store.set(_BEGIN, f"{_FAILED} 2" if nodes else _BEGIN)
        if nodes:
            unusable(
                "AS756", f"`{folder}` is not one folder on all nodes: the run is missing on {', '.join(nodes)}",
                help="choose a folder with `-o` that all nodes share, such as one on a network drive",
            )  # fmt: skip

    def wait(self, folder: Path) -> None:
        """For all other processes: waits until the first one has prepared the folder.

        Raises:
            SpecError: the first process has failed, or the connection to it was lost. It has no message: the first
                process, or torchrun, has reported the reason.
        """
        if not self.torchrun:
            return  # Lightning starts them once everything is prepared
        store = _store()
        expected = _answer(store, _PREPARED)
        _check(expected)
        store.set(f"found {self.rank}", "" if _appears(folder, expected) else socket.gethostname())
        _check(_answer(store, _BEGIN))


def _check(answer: str) -> None:
    """Raises SpecError, without a message, if the first process has failed: later, so that it can report why.

    torchrun ends all processes of a node as soon as one of them fails.
    """
    word, _, status = answer.partition(" ")
    if word == _FAILED:
        sleep(_REPORTING)
        raise SpecError([], status=int(status))


def _appears(folder: Path, expected: str) -> bool:
    """Whether a folder has the run with this digest, now or soon: a network drive may show new files late."""
    end = monotonic() + _VISIBLE
    while _digest(folder) != expected:
        if monotonic() >= end:
            return False
        sleep(1)
    return True


def _digest(folder: Path) -> str:
    """The hash of `run.json`, by which processes know that they read the same folder; empty if it is missing."""
    from archspec.runs.files import RUN

    try:
        return hashlib.sha256((folder / RUN).read_bytes()).hexdigest()
    except OSError:
        return ""


def _store() -> Any:  # noqa: ANN401 - torch's stores come without a common public type
    """The key-value store that torchrun provides for its processes; it may still have keys from before a restart."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, *_ = next(rendezvous("env://"))
    return PrefixStore(f"archspec {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def lost(error: BaseException) -> bool:
    """Whether an error means that the connection to another process was lost, which usually was killed."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _answer(store: Any, key: str) -> str:  # noqa: ANN401 - as _store
    """The value of a key, once it is set."""
    try:
        store.wait([key], _LONGEST)
        found: bytes = store.get(key)
    except RuntimeError as error:  # the connection was lost, which torchrun reports on each node
        raise SpecError([], status=1) from error
    return found.decode()
