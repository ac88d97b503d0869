"""The report's page: in a browser, at two widths; what is shown of which data; and that it is one harmless file."""

import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest

from dnahub.reports.predictions import PredictedRows
from dnahub.reports.sections import SECTIONS, Report, write_report
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from tests.browser import resize, start_chromium

HOSTILE = "<img src=x onerror=alert(1)></script>"
ESCAPE = "\x1b[31m"
NAMES = ["Homo sapiens", HOSTILE, "$$x^2$$ & \\(y\\)"]
ROWS = 120
LOG = [
    {"step": 5, "loss": 1.2},
    {"step": 10, "loss": 1.0},
    {"step": 10, "eval_loss": 1.1, "eval_accuracy": 0.4},
    {"step": 20, "eval_loss": 1.3, "eval_accuracy": 0.5},
]


def rows_of(task: str, outputs: np.ndarray, labels: np.ndarray, names: list[str]) -> PredictedRows:
    of_rows = TASKS[task].rows_of(outputs, labels, Labels(names, outputs.shape[1]))
    groups = [f"g{i % 3}{HOSTILE}{ESCAPE}" for i in range(len(labels))]
    return PredictedRows([f"row{i}" for i in range(len(labels))], "gene", groups, of_rows)


@pytest.fixture(scope="module")
def report() -> Report:
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % 3
    outputs = rng.normal(size=(ROWS, 3)) + 2 * np.eye(3)[labels]
    scores = TASKS["classification"].measure(outputs, labels, NAMES)
    scores |= {"intervals": {"accuracy": (scores["accuracy"] - 0.05, scores["accuracy"] + 0.05)}}
    return Report(
        title=f"A model of {HOSTILE}",
        facts=[f"Data set toy{ESCAPE}."],
        split="test",
        scores=scores,
        class_names=NAMES,
        verdict="No difference from 3-mer counts.",
        methods={"this model": scores, "3-mer counts": {"accuracy": 0.5, "intervals": {"accuracy": (0.4, 0.6)}}},
        compared=["accuracy"],
        best_possible={"accuracy": 0.9},
        rows=rows_of("classification", outputs, labels, NAMES),
        log=LOG,
        metrics_of_log=["loss", "accuracy"],
        best_step=10,
        curve={
            name: [{"rows": n, "accuracy": {"mean": 0.5, "lowest": 0.4, "highest": 0.6}} for n in (100, 300)]
            for name in ("probe", "3-mer counts")
        },
        metric_of_curve="accuracy",
        maps={
            "Before": rng.normal(size=(ROWS, 2)),
            "After": rng.normal(size=(ROWS, 2)) + 9 * np.eye(3)[labels][:, :2],
        },
        drawn=np.arange(ROWS),
    )


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report" / "report.html"
    write_report(report, path)
    return path


# In a browser

WIDTHS = {1280: 2, 390: 1}  # and how many figures stand side by side
POINT = """
const renderer = Bokeh.documents[0].get_model_by_name(arguments[0]), {x, y} = renderer.glyph;
const plot = Bokeh.index.find_one(renderer).parent, {left, top} = plot.canvas_view.el.getBoundingClientRect();
const data = renderer.data_source.data;
const [sx] = plot.frame.x_scale.v_compute([data[x.field][0]]), [sy] = plot.frame.y_scale.v_compute([data[y.field][0]]);
return [Math.round(left + sx), Math.round(top + sy), data.id[0]];
"""
TEXT_OF_TOOLTIPS = """
const text = node => node.nodeType === 3 ? node.textContent : ["STYLE", "SCRIPT"].includes(node.nodeName) ? "" :
  [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes].map(text).join(" ");
return [...document.querySelectorAll(".bk-Tooltip")].map(text).join(" ").replace(/\\s+/g, " ");
"""
DRAWN = """
const done = arguments[0];
const wait = () => document.body.dataset.drawn ? requestAnimationFrame(() => done()) : setTimeout(wait, 50);
wait();
"""
VISIBLE = "return arguments[0].map(name => Bokeh.documents[0].get_model_by_name(name).visible)"


def tooltip_is(text: str, is_shown: bool, browser) -> bool:
    return (text in browser.execute_script(TEXT_OF_TOOLTIPS)) is is_shown


@pytest.fixture(scope="module")
def chromium():
    """A function that opens a page, given its path and the width of the window."""
    browser = start_chromium()

    def open_page(path, width):
        resize(browser, width)
        browser.get(path.as_uri())
        browser.execute_async_script(DRAWN)
        return browser

    yield open_page
    browser.quit()


@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser_labels_are_switched_in_both_maps_at_once_and_a_pointer_or_a_finger_shows_a_row(
    page, chromium, width, tmp_path, report
):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    browser = chromium(page, width)

    # It fits the width, with maps side by side or one below the other, and nothing came from a network.
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    tops = [browser.find_element("id", f"umap-{i}").rect["y"] for i in (1, 2)]
    assert len(set(tops)) == {2: 1, 1: 2}[WIDTHS[width]]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")] == []
    assert browser.find_elements("css selector", "img[src=x]") == []
    assert browser.title == report.title

    # A label off and on.
    first, second, _ = browser.find_elements("css selector", "#umap .keys button")
    assert (first.text, second.text) == ("Homo sapiens (40)", f"{HOSTILE[:15]}…{HOSTILE[-14:]} (40)")
    names = [["map 0 0", "map 0 1"], ["map 1 0", "map 1 1"]]
    second.click()
    assert [browser.execute_script(VISIBLE, each) for each in names] == [[True, True], [False, False]]
    assert [each.get_attribute("aria-pressed") for each in (first, second)] == ["true", "false"]
    second.click()
    assert browser.execute_script(VISIBLE, names[1]) == [True, True]

    # The pointer, on the first row of a class that is shown, and of one that is not.
    second.click()
    browser.execute_script("arguments[0].scrollIntoView()", browser.find_element("id", "umap-2"))
    for name, is_shown in (("map 0 1", True), ("map 1 1", False)):
        x, y, row = browser.execute_script(POINT, name)
        if width < 600:
            for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
                browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        else:
            pointer = ActionChains(browser)
            pointer.w3c_actions.pointer_action.move_to_location(x, y)
            pointer.perform()
        shown = f"id: {row} gene: g0{HOSTILE}\\x1b[31m label: Homo sapiens predicted:"
        WebDriverWait(browser, 10).until(partial(tooltip_is, shown, is_shown))
    for section in browser.find_elements("css selector", "section"):
        assert section.rect["height"] > 200
    assert browser.save_screenshot(str(tmp_path / "page.png"))


# One harmless file


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_loads_nothing_and_what_stands_in_names_is_text(page):
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert {tag for tag, _ in tags.found} & {"img", "link", "iframe", "object"} == set()
    assert not any({"src", "href"} & attributes.keys() for _, attributes in tags.found)
    (policy,) = (attributes["content"] for tag, attributes in tags.found if tag == "meta" and "content" in attributes
                 and "http-equiv" in attributes)  # fmt: skip
    assert policy.startswith("default-src 'none';") and "unsafe-inline" not in policy.split("script-src")[1]
    assert len(re.findall("'sha256-", policy)) == 2 and "http" not in policy
    assert not list(page.parent.glob(".*"))
    assert "Data set toy\\x1b[31m." in text and not re.search(r"\\u001b|\x1b", text.rpartition("application/json")[2])
    assert text.count("<h2>Confusion matrix: this model</h2>") == 1


def test_the_same_input_gives_the_same_bytes(page, report, tmp_path):
    write_report(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == page.read_bytes()
    assert len(page.read_bytes()) < 2_000_000


# What is shown of which data


def names_of(report: Report) -> list[str]:
    return [section.name for make in SECTIONS if (section := make(report))]


def test_a_report_has_the_sections_that_it_has_data_for(report):
    assert names_of(report) == ["scores", "confusion", "curves", "reliability", "labels", "training", "umap"]
    assert names_of(Report("t", [], "test", {})) == []
    infinite = rows_of("classification", np.full((4, 3), np.inf), np.zeros(4, int), NAMES)
    assert names_of(Report("t", [], "test", {}, NAMES, rows=infinite)) == []


def test_masked_tokens_have_curves_and_a_map_of_one_colour(report):
    rows = replace(report.rows, of_rows=None)
    masked = Report("t", [], "test", {"loss": 1.0}, rows=rows, log=LOG, metrics_of_log=["loss"], maps=report.maps,
                    drawn=report.drawn)  # fmt: skip
    assert names_of(masked) == ["training", "umap"]
    assert SECTIONS[-1](masked).keys == []


@pytest.mark.parametrize("outputs", [1, 2])
def test_numbers_have_a_figure_for_each_output_and_a_map_in_their_colours_if_there_is_one(report, outputs):
    true = np.random.default_rng(0).normal(size=(ROWS, outputs))
    rows = rows_of("regression", true + 1, true if outputs > 1 else true[:, 0], [])
    numbers = Report("t", [], "test", {}, rows=rows, maps=report.maps, drawn=report.drawn)
    assert names_of(numbers) == ["numbers", "umap"]
    assert len(SECTIONS[4](numbers).figures) == outputs
    colours = SECTIONS[-1](numbers).figures["Before"].renderers[0].glyph.fill_color
    assert isinstance(colours, str) is (outputs > 1)


def test_rows_of_several_labels_or_of_rare_ones_share_a_key(report):
    labels = np.eye(30, dtype=np.float32)[np.arange(ROWS) % 30]
    labels[:9, 5] = 1
    rows = rows_of("multi_label", 4 * labels - 2, labels, [f"label{i}" for i in range(30)])
    names = [f"label{i}" for i in range(30)]
    many = Report("t", [], "test", {}, names, rows=rows, maps=report.maps, drawn=report.drawn)
    assert names_of(many) == ["curves", "reliability", "umap"]
    keys = SECTIONS[-1](many).keys
    assert len(keys) == 21 and keys[-1].name.startswith("other labels")
    assert sum(int(re.search(r"\((\d+)\)", key.name)[1]) for key in keys) == ROWS
    assert "10 other labels" in SECTIONS[2](many).text
