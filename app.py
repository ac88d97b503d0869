"""Checkpoint -> a Gradio Space on which DNA is classified, drawn along a sequence, placed on a map and mutated.

    python app.py --model runs/demo/checkpoint --map runs/demo/test_windows.parquet
    python app.py --model user/nt-species-classifier --map runs/demo/test_windows.parquet --push_to_hub user/space

The page needs requirements-space.txt and the checkpoint, whose code it runs, and nothing else of this repository: a
Space consists of this file, space.json and map.parquet. The map is made from embeddings of embed.py with a column
label. In a Space, this file is run without arguments.
"""

import argparse
import csv
import html
import io
import json
import os
import re
import tempfile
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from transformers import AutoConfig, pipeline

HERE = Path(__file__).parent
SETTINGS, MAP = "space.json", "map.parquet"
MAX_SEQUENCES, MAX_NT, MAX_MUTATED_NT, MAX_WINDOWS = 200, 200_000, 300, 2_000
NEIGHBOURS = 15  # on the map a sequence is at the mean place of these
BASES = "ACGT"
FORMULA = re.compile(r"^(\s*[=+@\-].*[(|!])", re.DOTALL)  # what a spreadsheet would run
EXAMPLES = (
    "ATGGTAGCTACATCATCTGAAGCTGTTCGTAAAGCTCTGGAAGAAGGTCTGGACGTTATCAAAGAACTGGCTGAA",
    ">first\nATGGCCTCCAACGACTATACCCAACAAGCAACCCAAAGCTATGGGGCCTACCCCACCCAG\n>second\nATGTCTGAAGAAAAAGTTTACGACAAAATCAACGACATGGGTAAAGAAATTGTTGAACAA",
)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")  # Okabe and Ito


class Page:
    """What the page computes; errors are ValueErrors of one sentence."""

    def __init__(self, model: str, map_file: Path | None):
        self.config = AutoConfig.from_pretrained(model, trust_remote_code=True)
        is_classifier = str((self.config.architectures or [""])[0]).endswith("ForSequenceClassification")
        if not is_classifier or self.config.problem_type == "regression":
            raise ValueError(
                f"{model} does not classify sequences; give a checkpoint of train.py --task classification."
            )
        self.classify = pipeline("dna-classification", model=model, trust_remote_code=True)
        self.labels = [self.config.id2label[i] for i in range(self.config.num_labels)]
        self.map = None if map_file is None or not map_file.is_file() else pd.read_parquet(map_file)

    def table(self, text: str | None, file: str | None) -> pd.DataFrame:
        """A row for each sequence: id, nt, label, the probability of each class."""
        records = read(text, file)
        answers = self.classify([sequence for _, sequence in records], long="mean")
        rows = [
            {"id": name, "nt": len(sequence), "label": label_of(answer), **answer["scores"]}
            for (name, sequence), answer in zip(records, answers, strict=True)
        ]
        return pd.DataFrame(rows).round(4)

    def along(
        self, text: str | None, file: str | None, window_nt: float, stride_nt: float
    ) -> tuple[Figure, pd.DataFrame]:
        """The probabilities in windows of the first sequence."""
        (name, sequence), *_ = read(text, file)
        for what, number in (("window", window_nt), ("step", stride_nt)):
            if number is None or number != int(number) or number < 1:
                raise ValueError(f"The {what} is {number}; give a whole number of nt, 1 or more.")
        window_nt, stride_nt = int(window_nt), int(stride_nt)
        if stride_nt > window_nt:
            raise ValueError(f"A step of {stride_nt} nt skips letters between windows of {window_nt} nt; give less.")
        starts = np.arange(0, max(1, len(sequence) - window_nt + stride_nt), stride_nt)
        if len(starts) > MAX_WINDOWS:
            raise ValueError(f"{len(starts):,} windows; at most {MAX_WINDOWS:,} are drawn here: take a larger step.")
        answers = self.classify([sequence[start : start + window_nt] for start in starts], long="mean")
        table = pd.DataFrame([answer["scores"] for answer in answers]).round(4)
        table.insert(0, "start", starts)
        table.insert(1, "end", np.minimum(starts + window_nt, len(sequence)))
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for i, label in enumerate(self.labels[: len(COLOURS)]):
            middles = (table["start"] + table["end"]) / 2
            axes.plot(middles, table[label], color=COLOURS[i], label=plain(label), linewidth=1.5, marker=".")
        axes.set(xlabel=f"{plain(name)}, nt", ylabel="probability", ylim=(0, 1))
        figure.legend(loc="outside right upper", fontsize=8)
        return figure, table

    def place(self, text: str | None, file: str | None) -> Figure:
        """Where the sequences are among those of the test split."""
        if self.map is None:
            raise ValueError("This page has no map of test sequences.")
        records = read(text, file)
        answers = self.classify([each for _, each in records], long="mean", return_embedding=True)
        vectors = np.stack([answer["embedding"] for answer in answers])
        known = np.stack(self.map["embedding"].to_numpy()).astype(np.float32)
        cosines = unit(vectors) @ unit(known).T
        nearest = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
        places = self.map[["x", "y"]].to_numpy()[nearest].mean(axis=1)
        figure = Figure(figsize=(8, 6), layout="constrained")
        axes = figure.add_subplot()
        for i, label in enumerate(dict.fromkeys([*self.labels, *self.map["label"]])):
            rows = self.map[self.map["label"] == label]
            axes.scatter(rows["x"], rows["y"], s=4, color=COLOURS[i % len(COLOURS)], alpha=0.5, label=plain(label))
        axes.scatter(*places.T, s=90, color="black", marker="*", zorder=3)
        for (name, _), place in zip(records[:20], places, strict=False):
            axes.annotate(plain(name[:20]), place, fontsize=9, xytext=(5, 5), textcoords="offset points")
        axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
        figure.legend(loc="outside right upper", fontsize=8, markerscale=3)
        return figure

    def mutate(self, text: str | None, file: str | None, label: str) -> tuple[Figure, pd.DataFrame]:
        """The change of a class's logit by every substitution of the first sequence."""
        (name, sequence), *_ = read(text, file)
        if label not in self.labels:
            raise ValueError(f"There is no class {label}; choose one of {', '.join(self.labels)}.")
        sequence = sequence.upper().replace("U", "T")
        if len(sequence) > MAX_MUTATED_NT:
            raise ValueError(f"{name} has {len(sequence)} nt; at most {MAX_MUTATED_NT} nt can be mutated here.")
        changes = [
            (i, base) for i, letter in enumerate(sequence) for base in BASES if letter in BASES and base != letter
        ]
        mutants = [f"{sequence[:i]}{base}{sequence[i + 1 :]}" for i, base in changes]
        answers = self.classify([sequence, *mutants], return_logits=True, long="mean")
        logits = np.array([answer["logits"][self.labels.index(label)] for answer in answers])
        values = np.full((len(BASES), len(sequence)), np.nan)
        rows = []
        for (i, base), change in zip(changes, logits[1:] - logits[0], strict=True):
            values[BASES.index(base), i] = change
            rows.append(
                {"position": i + 1, "ref": sequence[i], "alt": base, f"d_logit_{label}": round(float(change), 4)}
            )
        figure = Figure(figsize=(max(6, 1.5 + 0.16 * len(sequence)), 2.4), layout="constrained")
        axes = figure.add_subplot()
        largest = np.nanmax(np.abs(values), initial=0) or 1
        image = axes.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
        axes.set_yticks(range(len(BASES)), list(BASES))
        axes.set_xticks(range(len(sequence)), list(sequence), fontsize=6, family="monospace")
        axes.set(xlabel=plain(name), ylabel="alternative", title=f"Change of the logit of {plain(label)}")
        figure.colorbar(image, pad=0.01)
        return figure, pd.DataFrame(rows)


def read(text: str | None, file: str | None) -> list[tuple[str, str]]:
    """Names and sequences of what was pasted, or of a FASTA file; ValueError if there is nothing or too much."""
    if file and text and text.strip():
        raise ValueError("There are a text and a file; remove one of them.")
    if file:
        if os.path.getsize(file) > 2 * MAX_NT:
            raise ValueError(f"The file is too large: at most {MAX_NT:,} nt are taken here.")
        try:
            text = Path(file).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("The file is not plain text; choose a FASTA file that is not compressed.") from None
    if not text or not text.strip():
        raise ValueError("Paste a DNA sequence or FASTA records, or choose a FASTA file.")
    records: list[tuple[str, list[str]]] = []
    for line in re.split("\r\n|\r|\n", text.removeprefix("\ufeff")):
        if line.startswith(">"):
            records.append((line[1:].split()[0] if line[1:].split() else f"sequence {len(records) + 1}", []))
        elif line.strip():
            if not records:
                records.append(("sequence 1", []))
            records[-1][1].append("".join(line.split()))
    joined = [(name, "".join(lines)) for name, lines in records]
    for name, sequence in joined:
        if not sequence:
            raise ValueError(f"{name} has no sequence; paste it below its header.")
        if other := re.search("[^A-Za-z]", sequence):
            raise ValueError(f"{name} contains {other[0]!r}; paste FASTA records, or letters alone.")
        if not set(sequence.upper()) & set("ACGTU"):
            raise ValueError(f"{name} has no A, C, G or T; paste a DNA sequence.")
    if len(joined) > MAX_SEQUENCES or sum(len(sequence) for _, sequence in joined) > MAX_NT:
        raise ValueError(
            f"At most {MAX_SEQUENCES} sequences and {MAX_NT:,} nt are taken here; run predict.py for more."
        )
    return joined


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def plain(text: str) -> str:
    """Without the mathematics that matplotlib finds between dollars."""
    return text.replace("$", r"\$")


def label_of(answer: dict) -> str:
    """The label; of several labels those above the threshold."""
    return "; ".join(answer["labels"]) if "labels" in answer else answer["label"]


def as_tsv(table: pd.DataFrame, name: str) -> str:
    """A file without quotes, with an apostrophe before what a spreadsheet would run."""
    path = Path(tempfile.mkdtemp()) / f"{name}.tsv"
    inert = table.map(lambda value: FORMULA.sub(r"'\1", value) if isinstance(value, str) else value)
    inert.to_csv(path, sep="\t", index=False, quoting=csv.QUOTE_NONE)
    return str(path)


def build(page: Page, title: str) -> gr.Blocks:
    """The page itself."""

    def guarded(work):
        def run(*inputs):
            try:
                return work(*inputs)
            except ValueError as error:
                raise gr.Error(html.escape(str(error), quote=False), duration=None, print_exception=False) from error

        return run

    def tabled(text, file):
        table = page.table(text, file)
        return table, as_tsv(table, "predicted")

    def drawn(text, file, window_nt, stride_nt):
        figure, table = page.along(text, file, window_nt, stride_nt)
        return figure, as_tsv(table, "along")

    def mutated(text, file, label):
        figure, table = page.mutate(text, file, label)
        return figure, as_tsv(table, "mutated")

    with gr.Blocks(title=title) as blocks:
        gr.Markdown(
            f"# {title}\nPaste DNA, or FASTA records, or choose a FASTA file: at most {MAX_SEQUENCES} sequences and "
            f"{MAX_NT:,} nt. The model card says what the model was trained on and how accurate it is."
        )
        text = gr.Textbox(label="DNA", lines=5, max_lines=12, placeholder="ATGGTAGCTACATCATCT")
        file = gr.File(label="FASTA file", file_types=[".fa", ".fasta", ".fna", ".txt"], type="filepath", height=150)
        gr.Examples([[each] for each in EXAMPLES], [text])
        given = [text, file]
        with gr.Tab("Classes"):
            button = gr.Button("Classify", variant="primary")
            table, download = gr.Dataframe(label="Probabilities", wrap=True), gr.DownloadButton("Table (TSV)")
            button.click(guarded(tabled), given, [table, download], api_name="classify")
        with gr.Tab("Along a sequence"):
            gr.Markdown("Probabilities in windows of the first sequence; positions are 0-based, ends exclusive.")
            window_nt = gr.Number(60, label="Window, nt", precision=0, minimum=6)
            stride_nt = gr.Number(15, label="Step, nt", precision=0, minimum=1)
            button = gr.Button("Draw", variant="primary")
            plot, download = gr.Plot(show_label=False), gr.DownloadButton("Table (TSV)")
            button.click(guarded(drawn), [*given, window_nt, stride_nt], [plot, download], api_name="along")
        if page.map is not None:
            with gr.Tab("Map"):
                gr.Markdown(
                    f"UMAP of the embeddings of test sequences. Each star marks the mean position of the {NEIGHBOURS} "
                    "test sequences with the most similar embeddings (cosine)."
                )
                button = gr.Button("Place", variant="primary")
                plot = gr.Plot(show_label=False)
                button.click(guarded(page.place), given, [plot], api_name="place")
        with gr.Tab("Mutations"):
            gr.Markdown(
                f"Every substitution of the first sequence (up to {MAX_MUTATED_NT} nt); positions count from 1."
            )
            label = gr.Dropdown(page.labels, value=page.labels[-1], label="Class")
            button = gr.Button("Mutate", variant="primary")
            plot, download = gr.Plot(show_label=False), gr.DownloadButton("Table (TSV)")
            button.click(guarded(mutated), [*given, label], [plot, download], api_name="mutate")
    return blocks


def make_map(embeddings: Path, path: Path) -> None:
    """Embeddings of embed.py with a column label -> their places by UMAP, in the file that the page reads."""
    from dnahub.reports.projection import project

    table = pd.read_parquet(embeddings)
    if not {"embedding", "label"} <= set(table.columns):
        raise ValueError(f"{embeddings}: there is no column label, or no column embedding; give a file of embed.py.")
    table = table.sample(min(len(table), 3_000), random_state=0)
    places = project(np.stack(table["embedding"].to_numpy()).astype(np.float32), seed=0)
    pd.DataFrame(
        {
            "x": places[:, 0],
            "y": places[:, 1],
            "label": table["label"].astype(str).to_numpy(),
            "embedding": [each.astype(np.float16) for each in table["embedding"]],
        }
    ).to_parquet(path)


def push(model: str, map_file: Path | None, repo_id: str) -> str:
    """Publish the page as a Space; its address."""
    from huggingface_hub import HfApi, SpaceCard, SpaceCardData

    api = HfApi()
    data = SpaceCardData(
        title="DNA classifier", sdk="gradio", sdk_version=gr.__version__, app_file="app.py", models=[model]
    )
    files = {
        "app.py": (HERE / "app.py").read_bytes(),
        "requirements.txt": (HERE / "requirements-space.txt").read_bytes(),
        SETTINGS: json.dumps({"model": model}).encode(),
        "README.md": str(SpaceCard(f"---\n{data.to_yaml()}\n---\n\nA page for {model}.\n")).encode(),
    }
    if map_file is not None:
        files[MAP] = map_file.read_bytes()
    from huggingface_hub import CommitOperationAdd

    api.create_repo(repo_id, repo_type="space", space_sdk="gradio", exist_ok=True)
    operations = [CommitOperationAdd(name, io.BytesIO(content)) for name, content in files.items()]
    commit = api.create_commit(repo_id, operations, repo_type="space", commit_message="Page")
    return commit.repo_url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="checkpoint: a folder, or a repository on the Hub")
    parser.add_argument("--map", type=Path, help="Parquet file of embed.py with a column label")
    parser.add_argument("--push_to_hub", metavar="USER/SPACE", help="publish the page; --model is then on the Hub")
    parser.add_argument("--port", type=int, default=7860)
    args = parser.parse_args()
    model, map_file = args.model, HERE / MAP
    if model is None:
        if not (HERE / SETTINGS).is_file():
            parser.error("give --model, a checkpoint")
        model = json.loads((HERE / SETTINGS).read_text())["model"]
    try:
        if args.map is not None:
            map_file = Path(tempfile.mkdtemp()) / MAP
            make_map(args.map, map_file)
        if args.push_to_hub:
            print(push(model, map_file if map_file.is_file() else None, args.push_to_hub))
            return
        title = "/".join(Path(model).parts[-2:])
        build(Page(model, map_file), f"DNA classifier: {title}").launch(server_port=args.port, max_file_size="2mb")
    except (ValueError, OSError, OverflowError) as error:  # a port that is in use, too
        parser.error(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
