"""README.md -> what the Hub reads in its metadata, and what it refuses there."""

import re

import yaml

# Some of https://huggingface.co/docs/hub/repositories-licenses
LICENSES = "apache-2.0 mit bsd-3-clause cc0-1.0 cc-by-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 gpl-3.0 unknown other"
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
    from huggingface_hub.repocard_data import model_index_to_eval_results  # conftest.py settles its environment first

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
            if name == "license" and value not in LICENSES.split():
                errors.append(f'"license" must be one of [{LICENSES}]; got "{value}"')
            if name in ("datasets", "base_model") and not REPO_ID.fullmatch(value if "/" in value else f"old/{value}"):
                errors.append(f'"{name}" with value "{value}" is not valid. Use an id from https://hf.co/{name}.')
    for i, config in enumerate(metadata.get("configs", [])):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append(f'"configs[{i}].config_name" must be a string')
    try:
        if "model-index" in metadata:
            model_index_to_eval_results(metadata["model-index"])
    except (KeyError, TypeError) as error:
        errors.append(f'"model-index" is not valid: {error!r}')
    return errors
