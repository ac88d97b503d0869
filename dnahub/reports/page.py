"""Sections of figures -> one HTML file, which needs no network."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.plotting import figure as Figure
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader

from dnahub.machine.files import write_text
from dnahub.machine.text import printable

# Draws the figures; shows or hides what belongs to a key when it is clicked; and takes a tap for a pointer that moved
# there, without which bokeh shows nothing on a phone.
SCRIPT = """
const {docs, items} = JSON.parse(document.getElementById("figures").textContent);
Bokeh.embed.embed_items(docs, items).then(() => {
  for (const key of document.querySelectorAll(".keys button")) {
    key.addEventListener("click", () => {
      const shown = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", shown);
      for (const name of JSON.parse(key.dataset.renderers))
        Bokeh.documents[0].get_model_by_name(name).visible = shown;
    });
  }
  document.addEventListener("click", event => {
    if (event.pointerType !== "touch") return;
    const {clientX, clientY, view} = event;
    const at = {clientX, clientY, view, isPrimary: true, bubbles: true, composed: true};
    event.composedPath()[0].dispatchEvent(new PointerEvent("pointermove", at));
  });
  document.body.dataset.drawn = "true";
});
"""


@dataclass(frozen=True)
class Key:
    """An entry of a legend, which switches renderers on and off."""

    name: str
    colour: str
    renderers: Sequence[str]  # their names
    is_species: bool = False  # set in italics


@dataclass(frozen=True)
class Section:
    name: str  # of letters
    title: str
    text: str
    figures: Mapping[str, Figure]  # by their captions; side by side where there is room
    keys: Sequence[Key] = ()
    verdict: str | None = None


def write_page(title: str, warnings: Sequence[str], facts: Sequence[str], sections: Sequence[Section], path: Path):
    """
    Write the page. All texts are plain: whatever stands in them is escaped. The same input gives the same bytes.

    Figures can be in one page only.
    """
    bokeh, document, roots = Resources("inline", components=["bokeh"]).js_raw, Document(), {}
    for section in sections:
        for number, figure in enumerate(section.figures.values(), start=1):
            document.add_root(figure)
            roots[figure.id] = f"{section.name}-{number}"
    item = {"docid": "report", "roots": roots, "root_ids": list(roots)}
    figures = json.dumps(
        _renumbered({"docs": {"report": document.to_json(deferred=False)}, "items": [item]}), allow_nan=False
    )
    scripts = {"bokeh": "\n".join(bokeh), "script": SCRIPT}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda text: printable(text) if type(text) is str else text,  # no `Markup`: the scripts
    )
    page = environment.get_template("page.html").render(
        title=title,
        warnings=warnings,
        facts=facts,
        sections=sections,
        figures=figures.replace("<", "\\u003c"),  # no </script> in a name ends the script
        script_digests=[
            base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts.values()
        ],
        **scripts,
    )
    write_text(path, page)


def _renumbered(document: dict[str, Any]) -> dict[str, Any]:
    """The ids of bokeh's models count all that this process ever made: here from 1."""
    numbers: dict[str, str] = {}

    def visit(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [visit(each) for each in value]
        if isinstance(value, dict):
            return {key: new(each) if key == "id" else visit(each) for key, each in value.items()}
        return value

    def new(old: str) -> str:
        return numbers.setdefault(old, f"m{len(numbers) + 1}")

    visited = visit(document)
    (item,) = visited["items"]
    item["roots"] = {new(root): place for root, place in item["roots"].items()}
    item["root_ids"] = list(item["roots"])
    return visited
