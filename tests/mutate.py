"""Mutation tests: a seeded sample of small changes to the sources, each run against the tests that reach it.

`make mutate` runs it. mutmut changes a copy of the tree in a temporary folder; its settings are in pyproject.toml. The
first run there makes all mutants of `compiler/`, `graph/` and `train/` and records which tests reach which function;
then the sample runs. A survivor is a change that no test noticed: a gap in the tests, or a change without effect.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = "archspec.graph.reach.x__below__mutmut_1"
"""A mutant that few tests reach: the run that asks for it makes all others. A pattern would run every test again."""
CAUGHT = frozenset({"killed", "timeout", "segfault"})


def main() -> None:
    """Prints the survivors, each with its change, then the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=150, help="so many mutants (150)")
    parser.add_argument(
        "--seed", type=int, default=0, help="which ones: a seed draws the same ones from the same sources"
    )
    parser.add_argument("--only", default="*", help="a pattern of mutants, such as 'archspec.graph.reach.*'")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (2)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archspec-mutate-") as name:
        folder = Path(name)
        copy_tree(folder)
        sys.stderr.write("running the tests once, to see which of them reach which function\n")
        run(folder, asked.jobs, [FIRST])
        names = sorted(fnmatch.filter(mutants(folder), asked.only))
        chosen = random.Random(asked.seed).sample(names, min(asked.sample, len(names)))  # noqa: S311 - no secret
        sys.stderr.write(f"running {len(chosen)} of {len(names)} mutants\n")
        run(folder, asked.jobs, chosen)
        report(folder, chosen, len(names))


def copy_tree(folder: Path) -> None:
    """Copies the files that git tracks or does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - whichever git there is
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip
    for path in filter(None, listed.split("\0")):
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)


def mutmut(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs mutmut in the copy; one thread of torch each, and the same examples of Hypothesis every time."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CI": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def run(folder: Path, jobs: int, names: list[str]) -> None:
    """Runs mutants by name or pattern; ends the script if the tests fail without any change."""
    done = mutmut(folder, "run", "--max-children", str(jobs), *names)
    if done.returncode:
        sys.exit(f"mutmut failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def mutants(folder: Path) -> dict[str, int | None]:
    """Every mutant by name, with the exit status of its tests; None if they have not run."""
    found: dict[str, int | None] = {}
    for path in (folder / "mutants").rglob("*.meta"):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def report(folder: Path, chosen: list[str], among: int) -> None:
    """The outcome of each mutant."""
    lines = mutmut(folder, "results", "--all", "true").stdout.splitlines()
    status = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    left = [name for name in sorted(chosen) if status[name] not in CAUGHT]
    for name in left:
        shown = mutmut(folder, "show", name).stdout.splitlines()
        change = [line for line in shown if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}]
        sys.stdout.write("\n".join((f"{name}: {status[name]}", *change, "")) + "\n")
    counts = ", ".join(f"{count} {what}" for what, count in Counter(status[name] for name in chosen).most_common())
    caught = len(chosen) - len(left)
    share = caught / max(len(chosen), 1)
    sys.stdout.write(f"{caught} of {len(chosen)} mutants caught ({share:.0%}; {counts}), drawn from {among}\n")


if __name__ == "__main__":
    main()
