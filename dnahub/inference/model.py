"""Arguments -> the engine, what is recorded of it, and the columns that it fills."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import CheckpointFiles, find_checkpoint, head_of, load_for_task
from dnahub.hub_code.pipeline_dna_classification import trained_windows
from dnahub.inference.answers import Answers, check_threshold, choose_track
from dnahub.inference.arguments import (
    CuttingArguments,
    EmbedArguments,
    ModelArguments,
    PredictArguments,
    RowOutputArguments,
)
from dnahub.inference.engine import Engine
from dnahub.inference.readouts import Readout, SequenceAnswers, TokenAnswers
from dnahub.inference.tracks import check_whole
from dnahub.sequences.arguments import InputArguments

# What `predict.py --embeddings` adds, in the words of embed.py.
MEAN_OF_TOKENS = {"pooling": "mean", "layer": -1, "normalize": False}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Job:
    """What is computed of each sequence, and how it is written."""

    engine: Engine
    plan_settings: dict[str, Any]  # of the engine's plans
    settings: dict[str, Any]  # all that decides the numbers: parts of others are never mixed
    with_windows: bool  # whether each window has a row
    per_token: bool = False  # whether a row has a vector for each token
    answers: Answers | None = None
    hidden_size: int = 0  # of the embedding; 0: none is written


def load_embedder(
    given: ModelArguments,
    embed: EmbedArguments,
    cutting: CuttingArguments,
    output: RowOutputArguments,
    device: torch.device,
) -> Job:
    """Any encoder, with or without a head -> its embeddings."""
    files = find_checkpoint(given.model_name_or_path, given.model_revision, given.allow_pickle)
    engine = _engine("none", files, given, output, device)
    plan = embed.plan_settings(cutting)
    settings = _settings(files, given, output, engine, plan) | {"hidden_size": engine.encoder.hidden_size}
    return Job(
        *(engine, plan, settings, cutting.long == "windows", embed.per_token), hidden_size=engine.encoder.hidden_size
    )


def load_predictor(
    given: ModelArguments,
    predict: PredictArguments,
    cutting: CuttingArguments,
    output: RowOutputArguments,
    device: torch.device,
) -> Job:
    """A fine-tuned checkpoint -> what its head gives; ValueError if it has none."""
    files = find_checkpoint(given.model_name_or_path, given.model_revision, given.allow_pickle)
    head = head_of(files)
    if head not in ("sequence", "token"):
        raise ValueError(
            f"{files.name} was not fine-tuned to predict anything (its config.json names no head for it); train it "
            "with train.py, or embed sequences with embed.py."
        )
    engine = _engine(head, files, given, output, device)
    config = engine.encoder.model.config
    problem = "token_classification" if head == "token" else problem_of(engine.encoder.model)
    names = tuple(config.id2label[i] for i in range(config.num_labels))
    check_threshold(problem, names, predict.threshold)
    threshold = predict.threshold
    if threshold is None:  # that of training, which a checkpoint of another encoder has as a field of its own
        threshold = config.to_dict().get("decision_threshold")
    plan = vars(cutting) | trained_windows(config.to_dict(), vars(cutting))
    if head == "token":
        _check_for_tokens(predict, cutting)
        plan["long"] = "windows" if cutting.long == "mean" else cutting.long
    engine.readout = _readout(problem, len(names), predict.embeddings)
    suffix = Path(output.output).suffix.lower()
    check_whole(Path(output.output), cutting.long)
    if problem == "regression" and suffix == ".bed":
        raise ValueError(f"--output {output.output}: BED has labels, not numbers; name a .bedgraph, .bw or .tsv file.")
    track = choose_track(problem, names, predict.track, suffix)
    answers = Answers(problem, names, threshold, track)
    hidden_size = engine.encoder.hidden_size if predict.embeddings else 0
    settings = _settings(files, given, output, engine, plan)
    settings |= {"problem": problem, "labels": list(names), "threshold": threshold}
    settings |= {"track": track, "hidden_size": hidden_size}
    settings |= MEAN_OF_TOKENS if predict.embeddings else {}
    with_windows = cutting.long == "windows"
    return Job(engine, plan, settings, with_windows, answers=answers, hidden_size=hidden_size)


def problem_of(model: PreTrainedModel) -> str:
    """What the head for sequences gives, in transformers' words; where config.json has none, guessed as there."""
    guess = "regression" if model.config.num_labels == 1 else "single_label_classification"
    return model.config.problem_type or guess


def _readout(problem: str, num_outputs: int, with_embedding: bool) -> Readout:
    if problem == "token_classification":
        return TokenAnswers(num_outputs)
    return SequenceAnswers(problem, num_outputs, with_embedding)


def _check_for_tokens(predict: PredictArguments, cutting: CuttingArguments) -> None:
    given = {
        "--embeddings": predict.embeddings,
        "--reverse_complement": cutting.reverse_complement,
        "--window_nt": cutting.window_nt,
        "--stride_nt": cutting.stride_nt,
        "--long windows": cutting.long == "windows",
    }
    for flag, is_given in given.items():
        if is_given:
            raise ValueError(f"{flag} does not go with a model that labels each token; leave it out.")


def _engine(
    head: str, files: CheckpointFiles, given: ModelArguments, output: RowOutputArguments, device: torch.device
) -> Engine:
    model, tokenizer = load_for_task(head, files, None)
    return Engine(model.to(device, DTYPES[given.dtype]), tokenizer, output.backend, output.batch_tokens)


def _settings(
    files: CheckpointFiles, given: ModelArguments, output: RowOutputArguments, engine: Engine, plan: dict[str, Any]
) -> dict[str, Any]:
    engine.plan(["A"], **plan)  # finds settings out of range before anything is read
    return {
        "model": files.published_name,
        "revision": files.commit,
        "weights": checkpoint_digest(files),
        **plan,
        "max_length": plan["max_length"] or engine.encoder.max_tokens,
        "dtype": given.dtype,
        "output_dtype": output.output_dtype,
    }


def data_set(inputs: InputArguments, commit: str | None) -> dict[str, str | None]:
    """What the output says of the data set that it was made from; nothing for files."""
    if not inputs.dataset_name:
        return {}
    return {
        "dataset_name": inputs.dataset_name if commit else Path(inputs.dataset_name).resolve().name,
        "dataset_config_name": inputs.dataset_config_name,
        "dataset_split": inputs.dataset_split,
        "dataset_revision": commit,
    }
