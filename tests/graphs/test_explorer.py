"""The explorer, driven in a browser without a window."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

pytestmark = [
    pytest.mark.browser,
    # Selenium's own connection may still be open when a test ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
NASTY = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def leaf(value: Any, name: str | None = None) -> ag.Tensor:
    return ag.Tensor(value, requires_grad=True, name=name, dtype=float)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver_path = shutil.which("chromedriver")
    if driver_path is None:
        pytest.skip("needs Chromium and its driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
        "window-size=1400,800",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(driver_path)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Page]:
    page = Page(browser, tmp_path)
    yield page
    page.check_nothing_left_it()


class Page:
    """A saved page, opened from its file."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser = browser
        self.path = folder / "page.html"

    def open(self, graph: Any, at: str = "") -> None:
        graph.save(self.path)
        self.browser.get("about:blank")
        self.browser.get_log("performance")
        self.browser.get(self.path.as_uri() + at)

    def check_nothing_left_it(self) -> None:
        assert self.browser.get_log("browser") == []
        messages = [
            json.loads(m["message"])["message"] for m in self.browser.get_log("performance")
        ]
        sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
        asked = {m["params"]["request"]["url"].partition("#")[0] for m in sent}
        assert asked <= {self.path.as_uri(), "about:blank"}
        assert not self.js("return window.hacked")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def click(self, selector: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        element = self.find(selector)[0]
        WebDriverWait(self.browser, 20).until(lambda _: element.is_displayed())
        element.click()

    def click_drawn(self, selector: str) -> None:
        event = "new MouseEvent('click', {bubbles: true})"
        self.js(f"arguments[0].dispatchEvent({event})", self.find(selector)[0])

    def colour_by(self, value: str) -> None:
        self.js(
            "const e = document.getElementById('colour'); e.value = arguments[0];"
            " e.dispatchEvent(new Event('change'))",
            value,
        )

    def text(self, selector: str) -> str:
        return " ".join(element.text for element in self.find(selector))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.find("body")[0].send_keys(key)

    def numbers(self, selector: str) -> list[float]:
        return [float(span.text.replace("−", "-")) for span in self.find(f"{selector} span")]


def neuron() -> ag.Tensor:
    x, w, b = leaf([2.0, -1.0], "x"), leaf([-3.0, 0.5], "w"), leaf(3.0, "b")
    y = np.tanh(np.sum(x * w) + b) * 1.0
    y.name = "y"
    return y


LEFT, RIGHT, HOME, END, ENTER = "\ue012", "\ue014", "\ue011", "\ue010", "\ue007"


def test_stepping_to_the_end_shows_the_engines_gradients(page: Page) -> None:
    y = neuron()
    page.open(ag.graph(y))
    assert page.text("h1") == "Backpropagation from y"
    assert page.text("#where") == "Start"
    for i in range(1, 6):
        page.click("#next")
        assert page.text("#where").startswith(f"Forward {i} of 5")
    assert "keeps" not in page.text("#step")
    for i in range(1, 6):
        page.click("#next")
        assert page.text("#where").startswith(f"Backward {i} of 5")
        hidden = page.js("return document.querySelectorAll('svg .unknown').length")
        assert (hidden == 0) is (i == 5)
    assert "t1 = x * w" in page.text("#step h2")
    y.backward()
    x = next(t for t in ag.graph(y).nodes if t.label == "x")
    told = page.numbers("#step .card .gradient")
    assert np.allclose(told[:2], x.gradient.array, rtol=1e-3)
    page.click("#next")
    assert page.text("#where").startswith("Backward 5 of 5")
    # The drawn gradients are those, too.
    drawn = page.js(
        "return [...document.querySelectorAll('.node.leaf text')].map(t => t.textContent)"
    )
    assert ", ".join(f"{v:.4g}" for v in x.gradient.array) in " ".join(drawn)
    assert page.find(".unknown") == []


def test_a_step_lights_up_its_node_and_shows_rule_and_sums(page: Page) -> None:
    x, b = leaf(np.ones((3, 2)), "x"), leaf([1.0, 2.0], "b")
    page.open(ag.graph(np.sum((x + b) * x)))
    page.press(*[RIGHT] * 6)
    assert page.text("#where") == "Backward 3 of 3: t1"
    assert page.js("return [...document.querySelectorAll('svg .now')].map(e => e.id)") == [
        "g0v0-n2"
    ]
    assert "np.add" in page.text("svg .now")
    assert len(page.find("svg .goal")) == 3  # both uses of x, and b
    assert len(page.find("svg .flow")) == 2
    told = page.text("#step")
    assert "to x: g" in told
    assert "2nd of 2 contributions: now they are added up" in told
    assert "summed over axis 0, which broadcasting had repeated: (3, 2) → (2,)" in told
    page.press(LEFT)
    assert "to x: g * t1" in page.text("#step")
    assert "1st of 2 contributions" in page.text("#step")


def test_the_keyboard_is_enough(page: Page) -> None:
    page.open(ag.graph(neuron()))
    page.press(RIGHT, RIGHT)
    assert page.text("#where").startswith("Forward 2 of 5")
    page.press(LEFT)
    assert page.text("#where").startswith("Forward 1 of 5")
    page.press(END)
    assert page.text("#where").startswith("Backward 5 of 5")
    page.press(HOME)
    assert page.text("#where") == "Start"
    page.press(" ")
    assert "pause" in page.text("#play")
    page.press(" ")
    assert "play" in page.text("#play")
    page.press("/")
    assert page.js("return document.activeElement.id") == "find"
    find = page.browser.switch_to.active_element
    find.send_keys("tanh")
    assert len(page.find("svg .found")) == 1
    find.send_keys(ENTER)
    assert "np.tanh" in page.text("#node h2")
    node = page.find("svg .node.leaf")[0]
    page.js("arguments[0].focus()", node)
    node.send_keys(ENTER)
    assert "The chosen node: leaf" in page.text("#node")


def test_what_a_screen_reader_is_told(page: Page) -> None:
    page.open(ag.graph(neuron()))
    told = page.js(
        "return [...document.querySelectorAll('svg .node')].map(n => [n.tabIndex,"
        " n.getAttribute('role'), n.getAttribute('aria-label')])"
    )
    assert [0, "button", "x: leaf, shape (2,)"] in told
    assert [0, "button", "t1: np.multiply, shape (2,)"] in told
    assert page.js("return document.documentElement.lang") == "en"
    assert page.find("#step")[0].get_attribute("aria-live") == "polite"
    page.press(RIGHT)
    assert page.find("#slider")[0].get_attribute("aria-valuetext") == "Forward 1 of 5: t1"
    unnamed = page.js(
        "return [...document.querySelectorAll('button, input, select')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).length"
    )
    assert unnamed == 0


def test_a_node_is_inspected(page: Page) -> None:
    with ag.recording():
        x = leaf(np.linspace(-1, 1, 100).reshape(10, 10), "x")
        y = np.sum(np.maximum(x, 0.0) * 3.0)
    page.open(ag.graph(y), "#0.6")
    page.click_drawn("svg .leaf")
    told = page.text("#node")
    assert "(10, 10) float64, 800 B" in told
    assert "used by" in told
    assert len(page.find("#node .value .grid span")) == 100
    assert len(page.find("#node .value .hist span")) == 20
    assert "50 zero" in page.text("#gradient")
    page.click("#node td .link")
    told = page.text("#node")
    assert "np.maximum" in told
    assert "tests/graphs/test_explorer.py:" in told
    assert "rule, x" in told


def test_an_entry_is_checked_against_what_moving_it_does(page: Page) -> None:
    page.open(ag.graph(neuron()), "#0.10")
    page.click_drawn("svg .leaf")
    names = page.text("#check").split()
    assert names == ["x[0]", "x[1]"]  # the larger gradient first
    told = page.text("#told")
    assert re.fullmatch(
        r"Moved up and down by 1.2e-5, it changes y by \S+: a slope of (\S+)\. "
        r"The gradient there is \1\.",
        told,
    )
    page.find("#check option")[1].click()
    assert page.text("#told") != told
    page.click("#predict")
    assert page.find("#check") == []  # it would tell the gradient


def test_what_is_not_finite_is_said_where_it_begins(page: Page) -> None:
    data = np.linspace(0.1, 1, 1000)
    data[7] = np.nan
    w = leaf(np.ones(1000), "w")
    graph = ag.graph(np.mean(np.tanh(w * data)), grads=True)
    page.open(graph, "#0.6")
    page.click_drawn("svg .born")
    assert "nan is in the data" in page.text("#node")
    with np.errstate(all="ignore"):
        graph = ag.graph(np.mean(np.log(leaf(np.zeros(1000), "x") * 2.0)), grads=True)
    page.open(graph, "#0.6")
    page.click_drawn("svg .born")
    assert "inf is born here" in page.text("#node")


def test_a_gradient_that_moving_the_entry_denies_is_questioned(page: Page) -> None:
    page.open(ag.graph(np.abs(leaf(0.0, "x"))), "#0.2")
    page.click_drawn("svg .leaf")
    assert "a slope of 0. The gradient there is 0." in page.text("#told")
    page.open(ag.graph(np.maximum(leaf(1e-7, "x"), 0.0)), "#0.2")
    page.click_drawn("svg .leaf")
    assert page.text("#told").endswith("The gradient there is 1. Is there a kink nearby?")
    x = leaf(np.ones(1000), "x")
    page.open(ag.graph(np.sum(x + np.ones(1000))), "#0.4")  # what is added is not kept
    page.click_drawn("svg .leaf")
    assert "compute the graph under ag.recording()" in page.text("#node")


class Net(ag.nn.Module):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.encoder, self.head = ag.nn.LayerNorm(3), ag.nn.Linear(3, 1, rng=rng)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x))


def test_modules_fold_and_open_in_the_page(page: Page) -> None:
    rng = np.random.default_rng(0)
    model = ag.nn.Sequential(ag.nn.LayerNorm(8), np.tanh, ag.nn.Linear(8, 1, rng=rng))
    loss = np.sum(model(np.ones((4, 8))))
    shown = "[...document.querySelectorAll('.picture:not([hidden]) svg .node')]"
    titles = f"return {shown}.map(e => e.querySelector('[font-weight=bold]').textContent)"
    page.open(ag.graph(loss, names={"model": model}), "#0.2")
    opened = page.js(titles)
    assert "ag.nn.Linear" in opened
    assert opened.count("weight") == 2
    page.click("#fold")
    folded = ["model.0", "np.tanh", "model.2", "np.sum"]
    assert page.js(titles) == folded
    assert page.js(f"return {shown}.map(e => e.classList.contains('now'))") == [True] + [False] * 3
    page.js(f"{shown}[0].dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert page.text("#node h2").startswith("t2 = t1 + ")  # the last of those in the box
    assert page.js(f"return {shown}[0].getAttribute('aria-label')").startswith("folded operations")
    page.colour_by("bytes")
    fills = page.js(f"return {shown}.map(e => e.querySelector('polygon, path').style.fill)")
    assert ["60%" in fill for fill in fills] == [False, False, True, False]
    find = page.find("#find")[0]
    find.send_keys("model")  # the module that an operation stands in
    found = page.js(f"return {shown}.map(e => e.classList.contains('found'))")
    assert found == [True, False, True, False]
    page.click("#fold")
    assert page.js(titles) == opened
    page.open(ag.graph(loss, names={"model": model}, depth=0), "#0.2")
    assert page.find("#fold")[0].is_selected()
    assert page.js(titles) == folded
    # As few boxes as tell something: not one for the whole model.
    net = Net()
    page.open(ag.graph(np.sum(net(np.ones((2, 3)))), names={"net": net}))
    page.click("#fold")
    assert page.js(titles) == ["net.encoder", "net.head", "np.sum"]
    page.open(ag.graph(neuron()))
    assert not page.find("#folding")[0].is_displayed()


def test_the_way_from_the_chosen_node_to_the_output_is_marked(page: Page) -> None:
    page.open(ag.graph(neuron()), "#0.3")
    page.click_drawn("svg .leaf[id$=n0u1]")
    assert len(page.find("svg .path")) == 5  # x, then four operations to y
    page.click_drawn("svg .result")
    assert page.find("svg .path") == []


def test_a_long_array_takes_no_more_than_32_rows(page: Page) -> None:
    page.open(ag.graph(np.sum(leaf(np.ones((300, 3)), "x") * 2.0)), "#0.1")
    page.click_drawn("svg .leaf")
    assert len(page.find("#node .value .grid span")) == 32 * 3
    assert "Its first rows and columns." in page.text("#node .value")


def test_on_paper_the_pictures_fit_the_page(page: Page) -> None:
    page.open(ag.graph(neuron()))
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    tools = page.find("footer, header label, header button")
    assert len(tools) > 5
    assert not any(tool.is_displayed() for tool in tools)
    assert page.find("svg.graph")[0].is_displayed()
    width = "return document.querySelector('svg.graph').getBoundingClientRect().width"
    assert page.js(width) <= page.js("return document.documentElement.clientWidth")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_colours_by_gradient_and_bytes(page: Page) -> None:
    page.open(ag.graph(neuron()))
    fills = (
        "return [...document.querySelectorAll('svg .node > g > a > *:first-child')]"
        ".map(e => getComputedStyle(e).fill)"
    )
    kinds = page.js(fills)
    page.colour_by("gradient")
    gradients = page.js(fills)
    assert kinds != gradients
    assert page.text("#key").split() == sorted(page.text("#key").split(), key=float)
    page.colour_by("ratio")
    assert page.js(fills) not in (kinds, gradients)
    page.colour_by("bytes")
    assert page.js(fills) not in (kinds, gradients)
    assert "B" in page.text("#key")
    page.colour_by("kind")
    assert page.js(fills) == kinds


def test_predicting_hides_gradients_until_asked(page: Page) -> None:
    x = leaf(3.0, "x")
    page.open(ag.graph(x * x), "#0.2")
    page.click("#predict")
    assert "3" not in page.text("#step .card .gradient")
    assert page.js("return document.querySelectorAll('svg .of-gradient:not(.unknown)').length") == 0
    answer = page.find("#step .card input")[0]
    answer.send_keys("4", ENTER)
    assert "Not that." in page.text("#step .card")
    answer.clear()
    answer.send_keys("3", ENTER)
    assert "Right." in page.text("#step .card")
    page.find("#step .card .hidden-gradient button")[-1].click()
    assert page.text("#step .card:nth-of-type(3) .gradient") in ("3", "")


def answer(page: Page, text: str) -> str:
    """Type an answer for what the step adds, and return what is said of it."""
    field = page.find("#step .card input")[0]
    field.clear()
    field.send_keys(text, ENTER)
    return page.text("#step .card [role=status]")


def test_an_array_is_predicted_cell_by_cell(page: Page) -> None:
    x = leaf([[1.0, 2.0], [3.0, 0.25]], "x")
    page.open(ag.graph(x * np.array([[1.0, 2.0], [-3.0, 4.0]]), grads=np.ones((2, 2))), "#0.2")
    page.click("#predict")
    field = page.find("#step .card input")[0]
    assert field.get_attribute("placeholder") == "[[·, ·], [·, ·]]"
    assert answer(page, "[[1, 2], [3, 5]]") == "2 of 4 cells are right; not [1, 0], [1, 1]."
    assert answer(page, "[1, 2, -3, 4]") == (
        "That is an array of shape (4,); the gradient is an array of shape (2, 2)."
    )
    assert answer(page, "7") == (
        "That is a single number; the gradient is an array of shape (2, 2)."
    )
    assert answer(page, "[[1, 2], [3]]") == "The rows differ in length."
    assert answer(page, "[[1, 2], [3, x]]") == "x is no number."
    assert answer(page, "[[1, 2], [3, 4]") == "A bracket is open."
    assert answer(page, "1, 2") == "Write arrays in brackets, as [1, 2]."
    assert page.find("#step .card .figure") == []
    # As NumPy prints it, with a minus sign that is one, and within 1 %.
    assert answer(page, "[[1. 2.01] [\u22123 3.98]]") == "Right."
    assert page.numbers("#step .card .gradient .grid") == [1, 2, -3, 4]


def test_what_is_shown_as_colours_is_not_predicted(page: Page) -> None:
    page.open(ag.graph(np.sum(leaf(np.ones((9, 9)), "x"))), "#0.2")
    page.click("#predict")
    assert page.find("#step .card input") == []
    assert page.text("#step .card button") == "x Show it"


def deep() -> ag.Tensor:
    """Return a result of 11 operations on 2 x 2 matrices."""
    x, w, b = leaf(np.eye(2), "x"), leaf(np.ones((2, 2)), "w"), leaf([1.0, 2.0], "b")
    z = np.tanh(x @ w + b) @ w + b
    return np.sum(np.log(np.sum(np.exp(z), axis=1)) - z[:, 0])


BOXES = """
const box = (selector) => document.querySelector(selector).getBoundingClientRect();
const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1
  && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
"""
OUTSIDE = (
    BOXES + "return [...document.querySelectorAll('.active svg .node')]"
    ".filter((node) => !inside(node.getBoundingClientRect(), box('.active .scroll'))).length"
)
SCALE = (
    "const svg = document.querySelector('svg.graph');"
    " return svg.width.baseVal.value / svg.viewBox.baseVal.width"
)
# How far the last box stands to the right of the first, and how far below it.
DIRECTION = (
    BOXES + "const first = box('svg .leaf'), last = box('svg .result, svg .fused');"
    "return [last.left - first.right, last.top - first.bottom]"
)
NOW_IN_VIEW = BOXES + "return inside(box('svg .now'), box('.scroll'))"


@pytest.fixture
def sized(page: Page) -> Iterator[Any]:
    def resize(width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    yield resize
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("size", [(1280, 800), (700, 560), (390, 844)])
@pytest.mark.parametrize("position", [0, 8, 24])
def test_fit_shows_every_box(page: Page, sized: Any, size: tuple[int, int], position: int) -> None:
    sized(*size)
    page.open(ag.graph(deep()), f"#0.{position}")
    page.press("f")
    assert page.js(OUTSIDE) == 0


def test_a_desktop_shows_eleven_operations_at_once(page: Page, sized: Any) -> None:
    sized(1280, 800)
    page.open(ag.graph(deep()))
    assert len(page.find("svg .node:is(.operation, .result)")) == 11
    assert page.js(OUTSIDE) == 0
    assert page.js(SCALE) >= 0.57
    across, down = page.js(DIRECTION)
    assert across > 0 > down
    # A graph that there is room for has the details beside it, not below.
    assert "below" in page.js("return document.body.className")
    page.open(ag.graph(np.sum(leaf([1.0, 2.0], "x") * 2.0)))
    assert page.js("return document.body.className") == ""


def test_a_phone_shows_three_operations_at_once_from_top_to_bottom(page: Page, sized: Any) -> None:
    sized(390, 844)
    x, w, b = leaf(np.ones((3, 2)), "x"), leaf(np.ones((2, 2)), "w"), leaf([0.0, 1.0], "b")
    page.open(ag.graph(ag.cross_entropy(x @ w + b, [0, 1, 1])))
    assert page.js(OUTSIDE) == 0
    assert page.js(SCALE) >= 0.75
    _, down = page.js(DIRECTION)
    assert down > 0
    assert page.text("#step").endswith("Choose a box for its numbers.")
    assert not page.find("#step .keys")[0].is_displayed()
    assert not page.find("#predict")[0].is_displayed()
    page.click("#more")
    page.click("#predict")
    sized(1400, 800)  # turned, or no phone after all
    wait_for(lambda: page.js(DIRECTION)[0] > 0)
    assert page.find("#step .keys")[0].is_displayed()


def test_a_phone_keeps_a_long_graph_legible_and_follows_it(page: Page, sized: Any) -> None:
    sized(390, 844)
    page.open(ag.graph(deep()))
    assert page.js(SCALE) >= 0.85
    for _ in range(22):
        page.press(RIGHT)
        wait_for(lambda: page.js(NOW_IN_VIEW))


def wait_for(holds: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(None, 5, poll_frequency=0.05).until(lambda _: holds())


def test_a_phone_shows_one_of_two_graphs_at_a_time(page: Page, sized: Any) -> None:
    sized(390, 844)
    z = leaf([[2.0, 1.0, 0.0]], "z")
    losses = ag.cross_entropy(z, [0]), ag.unfused_cross_entropy(z, [0])
    page.open(ag.compare_graphs(*losses, titles=("fused", "unfused")))
    assert [view.is_displayed() for view in page.find(".view .scroll")] == [True, False]
    assert page.js(OUTSIDE) == 0
    page.click("#view1 .bar")
    assert [view.is_displayed() for view in page.find(".view .scroll")] == [False, True]
    step, table = (page.find(part)[0].rect["y"] for part in ("#step", "#comparison"))
    assert step < table


def test_boxes_that_are_not_reached_yet_can_be_read(page: Page) -> None:
    page.open(ag.graph(neuron()))
    assert page.find("svg .todo") == []  # the first screen is the whole graph
    page.press(RIGHT)
    assert len(page.find("svg .node.todo")) == 4
    opacity = "return getComputedStyle(document.querySelector('svg .node.todo')).opacity"
    wait_for(lambda: page.js(opacity) == "0.7")


def test_arrows_point_to_where_the_gradient_goes(page: Page) -> None:
    page.open(ag.graph(neuron()), "#0.5")
    heads = """return [...document.querySelectorAll('svg .edge')].map((edge) => {
      const style = getComputedStyle(edge.querySelector('path'));
      return [getComputedStyle(edge.querySelector('polygon')).visibility,
              style.markerStart !== 'none', style.markerEnd !== 'none'];
    })"""
    forward, back = ["visible", False, False], ["hidden", True, False]
    assert page.js(heads).count(forward) == len(page.find("svg .edge"))
    page.press(RIGHT, RIGHT)  # two steps backward, through one argument each
    assert page.js(heads).count(back) == 2
    page.press(END)
    constant = 1  # no gradient goes to the factor 1.0
    assert page.js(heads).count(forward) == constant
    assert page.js(heads).count(back) == len(page.find("svg .edge")) - constant
    page.press(HOME)
    assert back not in page.js(heads)


def test_arrows_that_are_drawn_from_their_ends_turn_round_too(page: Page) -> None:
    linear = ag.nn.Linear(3, 2, rng=np.random.default_rng(0))
    page.open(ag.graph(np.sum(linear(leaf(np.ones((2, 3)), "x"))), names={"linear": linear}))
    page.press(END)
    style = "return getComputedStyle(document.querySelector('svg .turned path')).{}"
    assert page.js(style.format("markerStart")) == "none"
    assert "head" in page.js(style.format("markerEnd"))


def test_statistics_stand_only_where_the_numbers_do_not(page: Page) -> None:
    page.open(ag.graph(np.sum(leaf([[1.0, 2.0], [3.0, 4.0]], "x") * np.ones((12, 2, 2)))), "#0.1")
    page.click_drawn("svg .leaf")
    assert page.numbers("#node .value .grid") == [1, 2, 3, 4]
    assert "mean" not in page.text("#node .value")
    assert "mean" in page.text("#step .value")  # 48 numbers as colours


def test_two_graphs_step_beside_each_other(page: Page) -> None:
    z = leaf([[2.0, 1.0, 0.0]], "z")
    fused, unfused = ag.cross_entropy(z, [0]), ag.unfused_cross_entropy(z, [0])
    page.open(ag.compare_graphs(fused, unfused, titles=("fused", "unfused")))
    assert len(page.find("svg.graph")) == 2
    table = page.text("#comparison")
    count = len(ag.graph(unfused).operations)
    assert f"operations 1 {count}" in table.replace("\n", " ")
    assert "differ by" in table
    page.press(END)
    assert page.text("#where") == "Backward 1 of 1: fused"
    assert "g * (ŷ - y) / N" in page.text("#step")
    page.click("#view1 .bar")
    page.press(END)
    assert page.text("#where") == f"Backward {count} of {count}: t1"
    ids = page.js("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_names_run_nothing(page: Page) -> None:
    x = leaf([1.0, 2.0], NASTY)
    y = np.sum(x * x)
    y.name = NASTY
    page.open(ag.graph(y, names={NASTY: x}))
    page.press(END)
    page.click_drawn("svg .leaf")
    assert NASTY in page.text("#node")
    assert page.find("img") == []
    assert len(page.find("script")) == 2


def test_no_other_script_may_run(page: Page) -> None:
    page.open(ag.graph(neuron()))
    page.js(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        " document.body.append(s)"
    )
    assert not page.js("return window.hacked")
    refused = page.browser.get_log("browser")
    assert len(refused) == 1
    assert "Content Security Policy" in refused[0]["message"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_legible(page: Page, theme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": theme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.open(ag.graph(neuron()), "#0.8")
    colour = "return getComputedStyle(arguments[0])[arguments[1]]"

    def brightness(selector: str, what: str) -> float:
        value = page.js(colour, page.find(selector)[0], what)
        return sum(map(float, value[value.index("(") + 1 : -1].split(",")[:3])) / 3

    dark = theme == "dark"
    assert (brightness("body", "background-color") < 60) is dark
    assert (brightness("body", "color") > 180) is dark
    assert (brightness("svg .leaf polygon", "fill") < 100) is dark
    assert (brightness("svg .leaf text", "fill") > 180) is dark
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_comparison_fits_beside_the_graphs(page: Page) -> None:
    net = Net()
    x = np.ones((2, 3))
    losses = (np.sum(net(x) ** 2.0), np.sum(np.square(net(x))))
    titles = ("a_rather_long.title_of_one", "another_rather_long.title")
    page.open(ag.compare_graphs(*losses, names={"a_long_name_of_a_net": net}, titles=titles))
    wide = "return document.querySelector('{}').{}"
    assert page.js(wide.format("aside", "scrollWidth")) <= page.js(
        wide.format("aside", "clientWidth")
    )
    buttons, caption = (
        page.js(f"return document.querySelector('{where}').getBoundingClientRect().right")
        for where in ("#in", "header")
    )
    assert caption - 40 < buttons <= caption


def test_a_small_window_keeps_everything_reachable(page: Page) -> None:
    page.open(ag.graph(neuron()))
    page.browser.set_window_size(520, 700)
    wide = page.js("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    page.click("#next")
    assert page.text("#where").startswith("Forward 1")
    page.browser.set_window_size(1400, 800)


def test_a_large_graph_steps_without_lag(page: Page) -> None:
    h = leaf(np.ones(4), "x")
    for i in range(200):
        h = np.tanh(h) * (1.0 + i)
    page.open(ag.graph(np.sum(h), max_nodes=2000))
    took = page.js(
        "const t = performance.now();"
        " for (let i = 0; i < 50; i++) document.getElementById('next').click();"
        " return (performance.now() - t) / 50"
    )
    assert took < 100  # milliseconds a step
