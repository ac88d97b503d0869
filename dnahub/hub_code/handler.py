"""Request of a Hub Inference Endpoint -> what this checkpoint's pipeline gives, as JSON."""

from typing import Any

import numpy as np
from transformers import AutoConfig, pipeline

TASKS = {"ForSequenceClassification": "dna-classification", "ForTokenClassification": "token-classification"}


class EndpointHandler:
    """
    What the Hub's inference toolkit looks for in a repository; see its "Create custom Inference Handler".

    A request is `{"inputs": "ACGT" or ["ACGT", ...], "parameters": {...}}`, the parameters those of the pipeline's
    call. A fine-tuned checkpoint answers with labels and scores, numbers, or labels of tokens, any other with
    embeddings; a list with a list.
    """

    def __init__(self, path: str = ""):
        [name] = AutoConfig.from_pretrained(path, trust_remote_code=True).architectures or [""]
        task = next((task for head, task in TASKS.items() if name.endswith(head)), "dna-embedding")
        self.pipeline = pipeline(task, model=path, trust_remote_code=True)

    def __call__(self, data: dict[str, Any]) -> Any:
        inputs, parameters = (data.get("inputs"), data.get("parameters")) if isinstance(data, dict) else (None, None)
        parameters = {} if parameters is None else parameters
        is_good = isinstance(inputs, (str, list)) and isinstance(parameters, dict)
        if not is_good or {"inputs", "self"} & set(parameters):
            raise ValueError('Send {"inputs": a DNA sequence or a list of them, "parameters": an object or nothing}.')
        return _plain(self.pipeline(inputs, **parameters))


def _plain(answer: Any) -> Any:
    """Arrays and numbers of numpy -> lists and numbers that `json.dumps` takes."""
    if isinstance(answer, dict):
        return {name: _plain(each) for name, each in answer.items()}
    if isinstance(answer, list):
        return [_plain(each) for each in answer]
    return answer.tolist() if isinstance(answer, (np.ndarray, np.generic)) else answer
