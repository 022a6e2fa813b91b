"""The wheel, installed into its own environment: it contains everything that users need of archspec, and nothing else.

Nothing is downloaded: the dependencies are those of this interpreter and, for the newest Python of this machine, those
of .venv-newest, which `make test` fills.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import archspec

ROOT = Path(__file__).resolve().parent.parent
NEWEST = ROOT / ".venv-newest" / "bin" / "python"
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel, and an empty working folder."""

    folder: Path
    work: Path

    def run(self, program: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a program in the environment, which does not see the checkout."""
        settings = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
        command = [str(self.folder / SCRIPTS / program), *arguments]
        done = subprocess.run(command, cwd=self.work, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert "Warning" not in done.stderr
        return done


def built(target: str, source: Path, folder: Path) -> Path:
    """The wheel or sdist that the build backend creates from a checkout, in a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture(scope="module", params=[sys.executable, str(NEWEST)], ids=["this", "newest"])
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, installed for an interpreter whose other libraries are used."""
    if not Path(request.param).exists():
        pytest.skip("`make test` makes .venv-newest where there is a newer Python than this one")
    place = tmp_path_factory.mktemp("installed")
    found = Environment(place / "environment", place / "work")
    found.work.mkdir()
    subprocess.run([request.param, "-m", "venv", "--without-pip", found.folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(found.folder), "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-compile", str(wheel)], check=True)
    libraries = subprocess.run([request.param, "-c", SITE_PACKAGES], capture_output=True, text=True, check=True).stdout
    # Python ignores path files in a folder that a path file adds, so an editable archspec is not found.
    Path(found.run("python", "-c", SITE_PACKAGES).stdout.strip(), "libraries.pth").write_text(libraries, "utf-8")
    return found


def test_the_wheel_holds_the_package_and_the_architectures(wheel: Path) -> None:
    """It contains every file of archspec/, specs/ and plugins/, also py.typed and templates, and nothing else."""
    places = {
        "archspec": "archspec",
        "specs": "archspec/architectures/specs",
        "plugins": "archspec/architectures/plugins",
    }
    expected = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in places.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {"archspec/py.typed", "archspec/cli/explanations.md", "archspec/cli/templates/plugins/test.py.txt"} < found


def test_the_sdist_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """The sdist and a checkout give the same wheel, byte for byte."""
    with tarfile.open(built("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    again = built("wheel", tmp_path / f"archspec_mtl-{archspec.__version__}", tmp_path / "wheel")
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_an_index_shows_the_readme_without_what_leads_nowhere(wheel: Path) -> None:
    """The long description has the README's text and spec, but no picture, and only links with `https:`."""
    (metadata,) = importlib.metadata.distributions(name="archspec-mtl", path=[str(wheel)])
    text = metadata.metadata["Description"]
    links = [
        token.attrs.get("href") or token.attrs.get("src")
        for block in MarkdownIt().enable("table").parse(text)
        for token in block.children or ()
        if token.type in {"link_open", "image"}
    ]
    assert [link for link in links if not str(link).startswith("https://")] == []
    assert re.findall(r"<(?!!--)[^\n>]*>", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)) == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## .*$", readme, re.MULTILINE)
    assert headings
    assert re.findall(r"^## .*$", text, re.MULTILINE) == headings
    assert re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE) == re.findall(
        r"^```.*?^```", readme, re.DOTALL | re.MULTILINE
    )
    assert metadata.metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.metadata["Project-URL"] is None, "with an address, links and pictures can be absolute"


def test_the_installed_package_is_the_one_that_runs(environment: Environment) -> None:
    """Modules, templates and architectures come from the environment, and the version matches the metadata."""
    program = (
        "import archspec, importlib.metadata, archspec.cli.architectures as on\n"
        "print(archspec.__file__, on.TEMPLATES, on.published('specs'), on.published('plugins'), sep='\\n')\n"
        "print(archspec.__version__, importlib.metadata.version('archspec-mtl'))\n"
    )
    *places, versions = environment.run("python", "-c", program).stdout.splitlines()
    assert [place for place in places if not Path(place).is_relative_to(environment.folder)] == []
    assert len(places) == 4
    assert versions == f"{archspec.__version__} {archspec.__version__}"
    assert environment.run("archspec", "--version").stdout == f"archspec {archspec.__version__}\n"


def test_the_commands_work_where_there_is_no_checkout(environment: Environment) -> None:
    """`--help`, `init`, `validate`, `build`, `render` and `explain` work with a published spec that needs a plugin."""
    assert "Commands:" in environment.run("archspec", "--help").stdout
    assert "Star Topology Adaptive Recommender" in environment.run("archspec", "init").stdout
    checked = environment.run("archspec", "init", "star").stderr.removeprefix("the spec needs its plugin: ")
    program, *words = shlex.split(checked)
    assert environment.run(program, *words).stdout == "star.yaml: valid\n"
    environment.run("archspec", "validate", "star.yaml", status=1)
    for command, file, opening in (("build", "built.py", '"""'), ("render", "star.svg", "<svg")):
        environment.run("archspec", command, *words[1:], "-o", file)
        assert opening in (environment.work / file).read_text(encoding="utf-8")
    assert "AS204" in environment.run("archspec", "explain", "AS204").stdout
    environment.run("archspec", "init", "--plugin", "gate", "my_gate")


def test_a_model_of_the_installed_package_computes(environment: Environment) -> None:
    """A published spec with its plugin compiles, and the model returns one number per row and output."""
    if environment.run("python", "-c", "import importlib.util as u; print(u.find_spec('torch'))").stdout == "None\n":
        pytest.skip("no torch for this Python here")
    environment.run("archspec", "init", "star", "--force")
    program = (
        "import archspec, torch\n"
        "ids, history = torch.tensor([0, 1, 2]), torch.full((3, 10), -1)\n"
        "batch = {'scene': ids, 'user': ids, 'item': ids, 'history': history, 'stats': torch.ones(3, 8)}\n"
        "outputs = archspec.compile('star.yaml', plugins=['star.py'], seed=0)(batch)\n"
        "print(archspec.__file__, {name: list(value.shape) for name, value in outputs.items()}, sep='\\n')"
    )
    file, shapes = environment.run("python", "-c", program).stdout.splitlines()
    assert Path(file).is_relative_to(environment.folder)
    assert shapes == "{'main': [3], 'auxiliary': [3], 'click': [3]}"
