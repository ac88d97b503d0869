"""app.py -> its page in its own process, used by Gradio's client over HTTP and clicked in a browser; published."""

import gzip
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pandas as pd
import pytest

from dnahub.hub_code import DNAClassificationPipeline, NucleotideTransformerForSequenceClassification
from tests.browser import resize, start_chromium
from tests.hub_fixtures import REPOSITORY
from tests.tiny_models import random_model, tokenizer_of

pytest.importorskip("gradio", reason="needs pip install -r requirements-tools.txt")

LABELS = {0: "fly", 1: "<img src=x onerror=alert(1)>", 2: "yeast"}
SEQUENCE = "ATGGTAGCTACATCATCTGAAGCTGTTCGTAAAGCTCTGGAAGAAGGTCTGGACGTTATC"
PORT = 7893


@pytest.fixture(scope="module")
def model():
    return random_model(NucleotideTransformerForSequenceClassification, id2label=LABELS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    model.save_pretrained(folder)
    tokenizer_of(model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory, model):
    """The files of a Space: the page and a map, without this repository."""
    folder, rng = tmp_path_factory.mktemp("space"), np.random.default_rng(0)
    shutil.copyfile(REPOSITORY / "app.py", folder / "app.py")
    vectors = rng.normal(size=(60, model.config.hidden_size)).astype(np.float16)
    table = {"x": rng.normal(size=60), "y": rng.normal(size=60), "label": [LABELS[i % 3] for i in range(60)]}
    pd.DataFrame(table | {"embedding": list(vectors)}).to_parquet(folder / "map.parquet")
    return folder


@pytest.fixture(scope="module")
def page(space, checkpoint, environment):
    """The address of the running page."""
    address = f"http://127.0.0.1:{PORT}"
    offline = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "app.py", "--model", str(checkpoint), "--port", str(PORT)]
    with open(space / "log", "w") as log:
        process = subprocess.Popen(command, cwd=space, env=environment | offline, stdout=log, stderr=log)
    for _ in range(240):
        assert process.poll() is None, (space / "log").read_text()
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def client(page):
    from gradio_client import Client

    return Client(page, verbose=False)


def test_the_answers_are_those_of_the_pipeline(client, model, tmp_path):
    fasta = tmp_path / "in.fa"
    fasta.write_text(f">a first\n{SEQUENCE[:30]}\n{SEQUENCE[30:]}\n>b\nacgun\n")
    from gradio_client import handle_file

    table, path = client.predict(None, handle_file(str(fasta)), api_name="/classify")
    pipe = DNAClassificationPipeline(model, tokenizer_of(model), device="cpu")
    for row, name, sequence in zip(table["data"], "ab", (SEQUENCE, "acgun"), strict=True):
        answer = pipe(sequence)
        assert row[:3] == [name, len(sequence), answer["label"]]
        assert row[3:] == pytest.approx(list(answer["scores"].values()), abs=1e-4)
    assert pd.read_csv(path, sep="\t").columns.tolist() == ["id", "nt", "label", *LABELS.values()]

    plot, path = client.predict(SEQUENCE * 5, None, 60, 15, api_name="/along")
    along = pd.read_csv(path, sep="\t")
    assert plot["plot"].startswith("data:image") and along["start"].tolist() == list(range(0, 241, 15))
    assert along["yeast"][2] == pytest.approx(pipe((SEQUENCE * 5)[30:90])["scores"]["yeast"], abs=1e-4)
    assert client.predict(SEQUENCE, None, api_name="/place")["plot"].startswith("data:image")

    plot, path = client.predict(SEQUENCE[:18], None, "yeast", api_name="/mutate")
    mutated = pd.read_csv(path, sep="\t")
    assert plot["plot"].startswith("data:image") and len(mutated) == 54
    row = mutated.iloc[20]
    changed = SEQUENCE[: row["position"] - 1] + row["alt"] + SEQUENCE[row["position"] : 18]
    before, after = (pipe(each, return_logits=True)["logits"][2] for each in (SEQUENCE[:18], changed))
    assert row["d_logit_yeast"] == pytest.approx(after - before, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste"),
        ("  \n ", "Paste"),
        (None, "Paste"),
        ("MKVLAMKVLAMKVLAF", "not nucleotides"),
        ("1 atggtagcta", "'1'"),
        ("NNNN", "no A, C, G or T"),
        (">a\n>b\nACGT", "a has no sequence"),
        ("ACGT" * 60_000, "200,000 nt"),
        (">a\nACGT\n" * 300, "200 sequences"),
    ],
)
def test_bad_input_gets_a_sentence(client, text, words):
    with pytest.raises(Exception, match=words):
        client.predict(text, None, api_name="/classify")


def test_a_sequence_too_long_to_mutate_and_a_window_out_of_range_get_a_sentence(client):
    with pytest.raises(Exception, match="300 nt can be mutated"):
        client.predict(SEQUENCE * 6, None, "fly", api_name="/mutate")
    for window, step, words in ((60, 61, "skips letters"), (60, None, "whole number"), (60, 1, "2,000 are drawn")):
        with pytest.raises(Exception, match=words):
            client.predict(SEQUENCE * 50, None, window, step, api_name="/along")


def test_headers_are_text_in_pictures_tables_and_messages(client):
    fasta = f">=cmd|'/C'!A0$\\frac{{a$\r\n{SEQUENCE[:30]} {SEQUENCE[30:]}\r\n"
    table, path = client.predict(fasta, None, api_name="/classify")
    assert table["data"][0][1] == len(SEQUENCE)
    assert open(path).read().splitlines()[1].startswith("'=cmd|'/C'!A0$")
    assert client.predict(fasta, None, 60, 15, api_name="/along")[0]["plot"].startswith("data:image")
    assert client.predict(fasta, None, api_name="/place")["plot"].startswith("data:image")
    with pytest.raises(Exception, match="&lt;b&gt;x&lt;/b&gt; has no sequence"):
        client.predict("><b>x</b>\n", None, api_name="/classify")


def test_what_is_no_plain_fasta_is_refused(client, tmp_path):
    from gradio_client import handle_file

    (tmp_path / "x.fa").write_bytes(gzip.compress(b">a\nACGT\n"))
    with pytest.raises(Exception, match="not plain text"):
        client.predict(None, handle_file(str(tmp_path / "x.fa")), api_name="/classify")
    (tmp_path / "bom.fa").write_bytes(b"\xef\xbb\xbf>a\n" + SEQUENCE.encode() + b"\n")
    table, _ = client.predict(None, handle_file(str(tmp_path / "bom.fa")), api_name="/classify")
    assert table["data"][0][:2] == ["a", len(SEQUENCE)]


@pytest.mark.parametrize("width", [1200, 400])
def test_in_a_browser_it_fits_and_its_buttons_work(page, width, tmp_path):
    browser = start_chromium()
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        resize(browser, width)
        browser.get(page)
        wait = WebDriverWait(browser, 60)
        wait.until(lambda each: each.find_elements("css selector", "textarea"))[0].send_keys(SEQUENCE)
        [button] = [each for each in browser.find_elements("tag name", "button") if each.text == "Classify"]
        browser.execute_script("arguments[0].click()", button)
        wait.until(lambda each: "sequence 1" in each.find_element("tag name", "body").text)
        assert browser.find_elements("css selector", "img[src=x]") == []  # a label is text
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.save_screenshot(str(tmp_path / "page.png"))
    finally:
        browser.quit()


def test_it_is_published_with_its_settings(hub, monkeypatch, checkpoint, space, tmp_path, capsys):
    import app

    monkeypatch.setenv("HF_TOKEN", hub.user)
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", "user/classifier", "--push_to_hub", "user/page"])
    monkeypatch.setattr(app, "HERE", tmp_path)
    for name in ("app.py", "requirements-space.txt"):
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    shutil.copyfile(space / "map.parquet", tmp_path / "map.parquet")

    app.main()

    repository = hub.server.repository("spaces", "user/page")
    assert {"app.py", "requirements.txt", "space.json", "map.parquet", "README.md"} <= set(repository.files())
    assert b'"user/classifier"' in hub.server.read("spaces", "user/page", "space.json")
    assert b"sdk: gradio" in hub.server.read("spaces", "user/page", "README.md")
    assert hub.user not in capsys.readouterr().out and os.environ["HF_TOKEN"] == hub.user
