"""The page in a real browser: gestures, keyboard, links, dark mode, reload on save; no text becomes markup."""

from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from archspec.graph.load import load_graph
from archspec.page import page, serve
from archspec.page.facts import facts
from archspec.plugins import load as load_plugins
from archspec.train.gates import GateStatistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Graph

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
browser_only = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def graph_of(spec: str | Path, *plugins: str) -> Graph:
    """The checked graph of a spec."""
    return load_graph(str(spec), None, load_plugins(plugins))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield made
        made.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:  # noqa: ANN401 - playwright's types are optional
    """A tab; a script error, or a request to another machine, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    made, wrong = context.new_page(), []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("request", lambda request: None if _is_own(request.url) else wrong.append(request.url))
    yield made
    context.close()
    assert wrong == []


def _is_own(url: str) -> bool:
    return url.startswith(("file://", "data:", "http://127.0.0.1:", "http://localhost:"))


def opened(tab: Any, tmp_path: Path, text: str, link: str = "") -> Any:  # noqa: ANN401 - as `tab`
    """The tab with a page."""
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    tab.goto(f"file://{path}{link}")
    return tab


def dimmed(tab: Any, node: str) -> bool:  # noqa: ANN401 - as `tab`
    """Whether a block of the figure is faded."""
    return "dim" in tab.locator(f'[data-node~="{node}"]').first.get_attribute("class").split()


def test_one_file_of_a_size_to_send() -> None:
    """PLE's page is below 300 KB, names no other address, and is the same for the same spec."""
    text = page(graph_of(ROOT / "specs" / "ple.yaml"))
    assert len(text.encode()) < 300_000
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert text == page(graph_of(ROOT / "specs" / "ple.yaml"))


def test_every_node_has_its_facts() -> None:
    """Settings, costs, edges and the line of the YAML file are those of the graph, for each node of a spec."""
    graph = graph_of(ROOT / "specs" / "pepnet.yaml")
    found = facts(graph)
    assert set(found["nodes"]) == {str(name) for name in graph.nodes}
    lines = (ROOT / "specs" / "pepnet.yaml").read_text().splitlines()
    for name, node in found["nodes"].items():
        assert node["settings"]
        assert node["line"] <= node["last"] <= len(lines)
        assert name.rpartition(".")[2] in lines[node["line"] - 1] or "$" in lines[node["line"] - 1]
    assert sum(node["parameters"] or 0 for node in found["nodes"].values()) >= found["parameters"]
    assert any(detached for *_, detached in found["edges"])


@browser_only
def test_a_task_shows_what_its_loss_trains(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """The chip of a task fades what its loss does not reach; again, or Escape, shows everything."""
    opened(tab, tmp_path, page(graph_of(ROOT / "specs" / "ple.yaml")))
    tab.click("#tasks button >> text=vcr")
    assert not dimmed(tab, "towers.vcr")
    assert not dimmed(tab, "level1.experts.vtr.0")  # PLE trains it through the shared gate
    assert dimmed(tab, "level2.experts.vtr.0")
    assert tab.locator(".wire.dim").count() > 0
    assert tab.url.endswith("#task=vcr")
    tab.click("#tasks button >> text=vcr")
    assert tab.locator(".dim").count() == 0


@browser_only
def test_a_detached_edge_ends_what_a_loss_trains(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """A line without a gradient is faded for every task, also where both of its ends are trained."""
    opened(tab, tmp_path, page(graph_of(ROOT / "specs" / "pepnet.yaml")), "#task=like")
    wires = tab.locator('.wire[data-detached="true"]')
    assert wires.count() > 0
    assert all("dim" in wires.nth(index).get_attribute("class").split() for index in range(wires.count()))


@browser_only
def test_a_click_opens_what_a_gate_reads(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """The panel has kind, formula, settings, costs and the YAML line; the figure keeps both cones lit."""
    opened(tab, tmp_path, page(graph_of(ROOT / "specs" / "ple.yaml")))
    tab.locator('[data-node="level1.gates.vcr"]').first.click()
    panel = tab.inner_text("#panel")
    for words in (
        "level1.gates.vcr",
        "softmax(W s / temperature)",
        "trained by vcr",
        "level1.experts.shared.2",
        "sees",
    ):
        assert words in panel
    assert "$task: {sees: [$task, shared]" in tab.inner_text("#yaml")
    assert not dimmed(tab, "level1.experts.shared.0")
    assert dimmed(tab, "level1.gates.vtr")
    tab.locator("#panel .link >> text=level1.experts.shared.2").first.click()
    assert tab.inner_text("#chosen") == "level1.experts.shared.2"


@browser_only
def test_the_keyboard_is_enough(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """Tab and Enter choose a block, arrows follow edges, a slash searches, Escape ends it."""
    opened(tab, tmp_path, page(graph_of(ROOT / "specs" / "ple.yaml")))
    tab.locator('[data-node="towers.vtr"]').first.focus()
    tab.keyboard.press("Enter")
    assert tab.inner_text("#chosen") == "towers.vtr"
    tab.keyboard.press("ArrowDown")
    assert tab.inner_text("#chosen") == "level2.gates.vtr"
    tab.keyboard.press("Escape")
    assert tab.locator("#chosen").count() == 0
    tab.keyboard.press("/")
    tab.keyboard.type("level2.gates.vcr")
    tab.keyboard.press("Enter")
    assert tab.inner_text("#chosen") == "level2.gates.vcr"
    roles = tab.locator(".node[role=button][tabindex='0'][aria-label]")
    assert roles.count() == tab.locator(".node").count()


@browser_only
def test_links_lead_to_a_state(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """A link with a task, a node and a shade restores them; one with unknown names shows everything."""
    text = page(graph_of(ROOT / "specs" / "ple.yaml"))
    opened(tab, tmp_path, text, "#node=level1.gates.vtr&shade=flops")
    assert tab.inner_text("#chosen") == "level1.gates.vtr"
    assert tab.locator(".shade").count() > 0
    opened(tab, tmp_path, text)
    tab.goto(f"file://{tmp_path / 'page.html'}#task=nobody&node=nothing")
    assert tab.locator(".dim").count() == 0


@browser_only
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_reader_s_colours(browser: Any, tmp_path: Path, scheme: str) -> None:  # noqa: ANN401 - as `tab`
    """In dark mode background, words and boxes are dark; in light mode they are not."""
    context = browser.new_context(color_scheme=scheme)
    tab = opened(context.new_page(), tmp_path, page(graph_of(ROOT / "specs" / "ple.yaml")))
    back, box = tab.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('.node.inputs [fill]')).fill]"
    )
    context.close()
    for colour in (back, box):
        values = [int(value) for value in re.findall(r"\d+", colour)[:3]]
        assert (sum(values) / 3 < 128) == (scheme == "dark")


@browser_only
def test_pan_zoom_and_unfold(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """The wheel zooms, dragging moves, 0 fits; a folded figure unfolds."""
    tasks = ", ".join(f"t{i}: {{}}" for i in range(12))
    text = (
        f"archspec: 1\nname: many\ninputs: {{x: {{kind: dense, dim: 4}}}}\ntasks: {{{tasks}}}\n"
        "levels: [{experts: {shared: {count: 2, units: [4]}}, gates: {$task: {sees: all}}}]\n"
        "towers: {$task: {units: [2]}}\n"
    )
    opened(tab, tmp_path, page(graph_of(text)))
    view = "() => document.querySelector('.figure:not([hidden]) svg').getAttribute('viewBox')"
    before = tab.evaluate(view)
    tab.mouse.move(400, 400)
    tab.mouse.wheel(0, -200)
    zoomed = tab.evaluate(view)
    tab.mouse.down()
    tab.mouse.move(460, 430, steps=3)
    tab.mouse.up()
    moved = tab.evaluate(view)
    assert len({before, zoomed, moved}) == 3
    tab.keyboard.press("0")
    assert tab.evaluate(view) == before
    folded = tab.locator(".figure:not([hidden]) .node.tower").count()
    tab.click("#unfold")
    assert tab.locator(".figure:not([hidden]) .node.tower").count() == 12 > folded


@browser_only
def test_texts_of_a_spec_stay_texts(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """Markup in `about`, labels and comments is shown, not obeyed: no script runs and no element appears."""
    evil = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    spec = tmp_path / "evil.yaml"
    spec.write_text(
        f"archspec: 1\nname: evil\nabout: {json.dumps(evil)}\n"
        f"inputs: {{x: {{kind: dense, dim: 4, column: {json.dumps(evil + '2')}}}}}\n"
        f"tasks:\n  a: {{label: {json.dumps(evil)}}}  # {evil}\ntowers: {{a: {{units: [2]}}}}\n"
    )
    opened(tab, tmp_path, page(graph_of(spec), problems=evil), "#node=tasks.a")
    assert tab.evaluate("() => window.hit") is None
    assert tab.locator("img").count() == 0
    assert evil in tab.inner_text("#problems")
    assert evil in tab.inner_text("#yaml")


@browser_only
def test_gate_weights_of_a_run(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """With a run, lines are as wide as the mean weight, and the panel has means with whiskers."""
    graph = graph_of(ROOT / "specs" / "mmoe.yaml")
    gate = next(name for name in graph.seen if ".gates." in name)
    experts = tuple(str(edge.source) for edge in graph.into(gate, "sees"))
    share = (0.7, *[0.3 / (len(experts) - 1)] * (len(experts) - 1))
    statistics = GateStatistics(str(gate), experts, share, tuple(0.1 for _ in experts), 10, "softmax")
    opened(tab, tmp_path, page(graph, gates=[statistics]), f"#node={gate}")
    assert tab.locator("#panel .bar").count() == len(experts)
    assert "0.700 (0.100)" in tab.inner_text("#panel")
    assert tab.locator(".wire.sees[data-weight]").count() > 0


# -- the server --------------------------------------------------------------------------------------------------------


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of a running server for a spec."""
    server, _ = serve(str(path), lambda: graph_of(path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read(url: str, host: str | None = None) -> str:
    """What the server answers."""
    request = Request(url, headers={"Host": host} if host else {})  # noqa: S310 - an address of this machine
    with urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
        text: str = answer.read().decode()
    return text


def test_the_server_is_for_this_machine_only(tmp_path: Path) -> None:
    """A request under a foreign host name, as DNS rebinding makes, is refused; so is any other path."""
    path = tmp_path / "ple.yaml"
    shutil.copy(ROOT / "specs" / "ple.yaml", path)
    with served(path) as address:
        assert "<title>ple" in read(address)
        assert read(address, "localhost:1") == read(address)
        for url, host, status in ((address, "evil.example:80", 403), (f"{address}etc/passwd", None, 404)):
            with pytest.raises(HTTPError) as caught:
                read(url, host)
            assert caught.value.code == status
            caught.value.close()


@browser_only
def test_the_page_reloads_when_the_spec_is_saved(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """A saved change appears; an error is shown with its line above the last good figure, until it is corrected."""
    path = tmp_path / "ple.yaml"
    text = (ROOT / "specs" / "ple.yaml").read_text()
    path.write_text(text)
    with served(path) as address:
        tab.goto(f"{address}#task=vtr")
        assert tab.locator("#problems").is_hidden()
        path.write_text(text.replace("name: ple", "name: renamed"))
        tab.wait_for_function("() => document.title.startsWith('renamed')", timeout=15_000)
        assert tab.url.endswith("#task=vtr")
        path.write_text(text.replace("sees: [$task, shared]", "sees: [$task, sharde]"))
        tab.wait_for_selector("#problems:not([hidden])", timeout=15_000)
        assert "did you mean `shared`?" in tab.inner_text("#problems")
        assert tab.locator('[data-node="towers.vtr"]').count() > 0
        path.write_text(text)
        tab.wait_for_selector("#problems[hidden]", state="attached", timeout=15_000)


@browser_only
def test_a_spec_that_is_broken_from_the_beginning(tab: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as `tab`
    """The page has the problems and no figure, and the figure as soon as they are corrected."""
    path = tmp_path / "ple.yaml"
    path.write_text("archspec: 1\n")
    with served(path) as address:
        tab.goto(address)
        assert "error[AS" in tab.inner_text("#problems")
        path.write_text((ROOT / "specs" / "ple.yaml").read_text())
        tab.wait_for_selector("svg.archspec", timeout=15_000)
