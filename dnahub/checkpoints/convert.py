"""Checkpoint with weights in pickle format -> the same in safetensors format, in a folder.

    python -m dnahub.checkpoints.convert --model_name_or_path InstaDeepAI/agro-nucleotide-transformer-1b \\
        --output_dir models/agro-nt

Reading a pickle can run code: convert what you trust. The folder has the model with its head, the tokenizer, for a
Nucleotide Transformer the code to use it without this repository, and a card with the licence of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dnahub.machine.arguments import parse
from dnahub.machine.script import run


@dataclass
class ConvertArguments:
    """What is converted."""

    model_name_or_path: str = field(metadata={"help": "Folder or Hub id of an encoder with a head."})
    output_dir: str = field(metadata={"help": "Folder to write, which must not exist."})
    model_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit on the Hub."})

    def __post_init__(self):
        if Path(self.output_dir).exists():
            raise ValueError(f"--output_dir {self.output_dir} exists; remove it, or name another folder.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments; errors are raised."""
    (given,) = parse("python -m dnahub.checkpoints.convert", __doc__, (ConvertArguments,), arguments)

    from huggingface_hub import ModelCard, ModelCardData

    from dnahub.checkpoints.licence import inherited_licence
    from dnahub.checkpoints.loading import find_checkpoint, head_of, load_for_task
    from dnahub.checkpoints.saving import save_checkpoint

    files = find_checkpoint(given.model_name_or_path, given.model_revision, allow_pickle=True)
    head = head_of(files)
    if head == "none":
        raise ValueError(f"{files.name}: config.json has no head in architectures; name the class there.")
    model, tokenizer = load_for_task(head, files, None)
    metadata = ModelCardData(library_name="transformers", **inherited_licence(files))
    source = f"{files.published_name}, commit {files.commit}" if files.commit else files.published_name
    card = ModelCard(f"---\n{metadata.to_yaml()}\n---\n\nThe weights of {source}, in safetensors format.\n")
    save_checkpoint(Path(given.output_dir), model, tokenizer, None, str(card))
    print(given.output_dir)


if __name__ == "__main__":
    run("convert", main)
