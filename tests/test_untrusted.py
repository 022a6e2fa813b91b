"""A spec is data: nothing named in it is imported, executed or opened, and nothing in it becomes markup."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import ExpertKind, Scope, Value, Width, expert
from archspec.cli.app import archspec as command_line
from archspec.render import to_svg

ROOT = Path(__file__).resolve().parent.parent

SPY = """
import os, sys

secret = sys.argv.pop(1)
seen = []

def hook(event, arguments):
    named = [str(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))]
    if event in {"open", "os.listdir", "os.scandir", "exec", "compile"} and any(secret in n for n in named):
        seen.append(f"{event} {named}")
    elif event in {"subprocess.Popen", "os.system", "socket.connect", "urllib.Request", "os.exec", "os.posix_spawn"}:
        seen.append(f"{event} {named}")

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if "evil" in name:
            seen.append(f"imported {name}")

from archspec.cli.app import run
import archspec.cli.messages

sys.meta_path.insert(0, Finder)
sys.addaudithook(hook)
status = run()
seen += [f"imported {name}" for name in sys.modules if "evil" in name]
print("SEEN", seen, file=sys.stderr)
sys.exit(status)
"""


def spec(**sections: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML data
    """A small valid spec with replaced or added sections."""
    return {
        "archspec": 1, "name": "tiny", "inputs": {"x": {"kind": "dense", "dim": 4}},
        "tasks": {"click": {"kind": "binary"}}, "towers": {"click": {"units": [3]}}, **sections,
    }  # fmt: skip


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder beside the spec's, with files and a module that must not be touched."""
    folder = tmp_path / "offlimits"
    folder.mkdir()
    for name in ("evil_plugin.py", "evil.yaml"):
        (folder / name).write_text("raise SystemExit('imported')\n", encoding="utf-8")
    place = tmp_path / "place"
    place.mkdir()
    (place / "evil_plugin.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    return folder


def watched(folder: Path, text: str, *command: str) -> tuple[int, str]:
    """Runs a command on a spec in a process whose imports, files and processes are recorded; status and messages."""
    path = folder / "place" / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    words = [sys.executable, "-c", SPY, "offlimits", *command]
    # In the spec's own folder, which is then on Python's path: the worst case.
    environment = {"PYTHONPATH": f".:{ROOT}", "PATH": ""}
    done = subprocess.run(words, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


COMMANDS = [("validate",), ("render", "-o", "out.svg"), ("summary",), ("expand",)]
NAMES = {
    "requires a module": {"requires": ["evil_plugin"]},
    "requires a file": {"requires": ["./evil_plugin.py"]},
    "requires a file elsewhere": {"requires": ["../offlimits/evil_plugin.py"]},
    "requires a dotted path": {"requires": ["evil_plugin.Kind"]},
    "kind is a file": {"towers": {"click": {"kind": "../offlimits/evil_plugin.py"}}},
    "kind is a dotted path": {"towers": {"click": {"kind": "evil_plugin:Kind"}}},
    "kind of a loss": {"tasks": {"click": {"kind": "binary", "loss": {"kind": "evil_plugin.Loss"}}}},
    "kind of a balance": {"balance": {"kind": "os:system"}},
    "function": {"towers": {"click": {"units": [3], "activation": "evil_plugin:run"}}},
    "table is a file": {"inputs": {"x": {"kind": "sparse", "table": "../offlimits/evil.yaml"}}},
    "extends elsewhere": {"extends": "../offlimits/evil.yaml"},
    "extends by detour": {"extends": "./../place/../offlimits/evil.yaml"},
    "extends an address": {"extends": "https://example.org/evil.yaml"},
    "extends a file url": {"extends": "file:///etc/offlimits"},
    "extends a device": {"extends": "/dev/stdin"},
}


@pytest.mark.parametrize("sections", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("command", COMMANDS[:2], ids=lambda command: command[0])
def test_what_a_spec_names_is_neither_imported_nor_opened(
    tmp_path: Path, secret: Path, sections: dict[str, Any], command: tuple[str, ...]
) -> None:
    """A plugin, module, file or address named in a spec is refused by a diagnostic without being touched."""
    assert secret.exists()
    status, messages = watched(tmp_path, json.dumps(spec(**sections)), command[0], "spec.yaml", *command[1:])
    assert status == 1, messages
    assert "error[AS" in messages
    assert "SEEN []" in messages
    assert "Traceback" not in messages


def test_absolute_paths_are_not_opened(tmp_path: Path, secret: Path) -> None:
    """An absolute path in `extends`, even to an existing file, is refused unopened; so is a link that leads outside."""
    for target in (str(secret / "evil.yaml"), str(ROOT / "specs" / "ple.yaml")):
        status, messages = watched(tmp_path, json.dumps(spec(extends=target)), "validate", "spec.yaml")
        assert status == 1, messages
        assert "SEEN []" in messages
    (tmp_path / "place" / "link.yaml").symlink_to(secret / "evil.yaml")
    status, messages = watched(tmp_path, json.dumps(spec(extends="link.yaml")), "validate", "spec.yaml")
    assert status == 1, messages
    assert "error[AS122]" in messages


TAGS = [
    "!!python/object/apply:os.system [id]",
    "!!python/name:evil_plugin.run",
    "!!python/module:evil_plugin",
    "!!python/object/new:subprocess.Popen [[id]]",
    "!include ../offlimits/evil.yaml",
    "!<tag:yaml.org,2002:python/object/apply:os.system> [id]",
]


@pytest.mark.parametrize("tag", TAGS)
def test_tags_make_no_objects(tmp_path: Path, secret: Path, tag: str) -> None:
    """Every YAML tag is an error, whatever it refers to."""
    assert secret.exists()
    text = f"archspec: 1\nname: tiny\nabout: {tag}\ninputs: {{x: {{kind: dense, dim: 4}}}}\ntasks: {{click: binary}}\n"
    status, messages = watched(tmp_path, text, "validate", "spec.yaml")
    assert status == 1, messages
    assert "error[AS035]" in messages
    assert "SEEN []" in messages


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_spy_sees_nothing_in_a_good_spec(tmp_path: Path, secret: Path, command: tuple[str, ...]) -> None:
    """A spec without plugins is read, drawn and counted without touching a module of a forbidden name beside it."""
    assert secret.exists()
    status, messages = watched(tmp_path, json.dumps(spec()), command[0], "spec.yaml", *command[1:])
    assert status == 0, messages
    seen = messages.partition("SEEN ")[2]
    assert "evil" not in seen
    assert "offlimits" not in seen


def test_the_spy_can_see(tmp_path: Path, secret: Path) -> None:
    """The harness of these tests detects an import and an open file that the caller requests."""
    named = secret / "evil_file.py"
    named.write_text((secret / "evil_plugin.py").read_text())
    status, messages = watched(tmp_path, json.dumps(spec()), "validate", "spec.yaml", "--plugin", str(named))
    assert status == 2
    assert "offlimits" in messages.partition("SEEN ")[2]
    _, messages = watched(tmp_path, json.dumps(spec()), "validate", "spec.yaml", "--plugin", "evil_plugin")
    assert "imported evil_plugin" in messages.partition("SEEN ")[2]


MARKUP = [
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "</text></svg><script>1</script>",
    "]]><!--",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "<<B>bold</B>>",
    '\\N\\G", URL="javascript:alert(1)", label="',
    "<TABLE><TR><TD HREF='javascript:1'>x</TD></TR></TABLE>",
]
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "g", "title", "desc", "polygon", "ellipse", "path", "text", "polyline", "tspan", "rect", "defs",
         "style", "linearGradient", "stop", "line", "circle", "marker", "clipPath", "a"}  # fmt: skip


def hostile(text: str) -> dict[str, Any]:
    """A spec with a text in every free field that a figure might show."""
    return spec(
        about=text,
        inputs={"x": {"kind": "dense", "dim": 4, "column": text.replace("$", "$$")},
                "s": {"kind": "domain", "values": ["a", "b"], "dim": 2, "column": text + "s"}},
        tasks={"click": {"kind": "binary", "label": f"{text}l"}},
        levels=[{"experts": {"shared": {"count": 2, "units": [3]}}, "gates": {"click": {"sees": "shared"}}}],
        towers={"click": {"units": [3]}},
        fusion={"score": {"kind": "product", "of": ["click"]}},
    )  # fmt: skip


def assert_harmless(svg: str) -> None:
    """The SVG is well-formed, has drawing elements only, and no handler, link or script."""
    for element in ET.fromstring(svg).iter():  # noqa: S314 - archspec wrote it a moment ago
        assert element.tag.removeprefix(SVG) in DRAWN, element.tag
        assert not [name for name in element.attrib if name.lower().startswith("on")]
        assert not [value for value in element.attrib.values() if "javascript" in value.lower()]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_a_spec_is_text_in_its_figure(tmp_path: Path, text: str) -> None:
    """The SVG remains well-formed and contains no element, link or handler from the spec."""
    path, figure = tmp_path / "spec.yaml", tmp_path / "out.svg"
    path.write_text(json.dumps(hostile(text)), encoding="utf-8")
    assert command_line.main(["render", str(path), "-o", str(figure)], standalone_mode=False) in {None, 0}
    assert_harmless(figure.read_text(encoding="utf-8"))


@expert("labelled")
class Labelled(ExpertKind):
    """Shows a setting of the spec in the figure."""

    words: str = ""

    def width(self, input: Width) -> Width:
        """The input's."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """The input."""
        return x

    def detail(self) -> str:
        """The text from the spec."""
        return self.words


@pytest.mark.parametrize("text", MARKUP)
def test_markup_of_a_plugin_is_text_in_a_figure(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind's title and detail, which may repeat a setting of the spec, are only text in the figure."""
    monkeypatch.setattr(Labelled, "title", text)
    level = {"experts": {"shared": {"kind": "labelled", "words": text.replace("$", "$$"), "count": 2}},
             "gates": {"click": {"sees": "shared"}}}  # fmt: skip
    loaded = archspec.load(json.dumps(spec(levels=[level])), plugins=[Labelled])
    assert loaded.levels[0].experts["shared"].settings.words == text
    assert_harmless(to_svg(archspec.build_graph(loaded)))
