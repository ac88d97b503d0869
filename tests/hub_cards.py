"""README.md -> what the Hub reads in its metadata, and what it refuses there."""

import re
from typing import Any

import yaml

# https://huggingface.co/docs/hub/repositories-licenses
LICENSES = set(
    """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
    pddl lgpl-lr deepfloyd-if-license llama2 gemma unknown other""".split()
)
REPO_ID = re.compile(r"(?!.*(--|\.\.))[a-zA-Z0-9][\w.-]{0,95}/[a-zA-Z0-9][\w.-]{0,95}(?<![.-])", re.ASCII)


def card_metadata(card: str) -> dict | None:
    """The YAML at the top of a README.md, None without any. Raises yaml.YAMLError."""
    found = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", card, re.DOTALL)
    metadata = yaml.safe_load(found[1]) if found else None
    return metadata if metadata is None or isinstance(metadata, dict) else {}


def card_errors(card: str) -> list[str]:
    """What the Hub refuses in a card's metadata, in its own words."""
    try:
        metadata = card_metadata(card) or {}
    except yaml.YAMLError as error:
        return [f"YAML metadata is not valid: {' '.join(str(error).split())}"]
    errors = []
    for name in ("pipeline_tag", "library_name"):
        if name in metadata and not isinstance(metadata[name], str):
            errors.append(f'"{name}" must be a string')
    for name in ("license", "tags", "datasets", "base_model", "language", "task_categories", "size_categories"):
        values = metadata.get(name, [])
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            errors.append(f'"{name}" must be a string or an array of strings')
            continue
        for value in values:
            if name == "license" and value not in LICENSES:
                errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]; got "{value}"')
            if name in ("datasets", "base_model") and not REPO_ID.fullmatch(value if "/" in value else f"old/{value}"):
                errors.append(f'"{name}" with value "{value}" is not valid. Use an id from https://hf.co/{name}.')
    for i, config in enumerate(metadata.get("configs", [])):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append(f'"configs[{i}].config_name" must be a string')
    return errors + _model_index_errors(metadata.get("model-index", []))


def _model_index_errors(models: Any) -> list[str]:
    """https://github.com/huggingface/hub-docs/blob/main/modelcard.md: what is marked as required there."""
    errors = []

    def required(value: Any, where: str, *names: str) -> bool:
        missing = [name for name in names if not isinstance(value, dict) or value.get(name) in (None, "", [])]
        errors.extend(f'"{where}.{name}" is required' for name in missing)
        return not missing

    if not isinstance(models, list):
        return ['"model-index" must be an array']
    for i, model in enumerate(models):
        if not required(model, f"model-index[{i}]", "name", "results"):
            continue
        for j, result in enumerate(model["results"]):
            where = f"model-index[{i}].results[{j}]"
            if not required(result, where, "task", "dataset", "metrics"):
                continue
            required(result["task"], f"{where}.task", "type")
            required(result["dataset"], f"{where}.dataset", "type", "name")
            for k, metric in enumerate(result["metrics"]):
                required(metric, f"{where}.metrics[{k}]", "type", "value")
    return errors
