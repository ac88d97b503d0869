"""A model, and how it is to be run -> a function from batches of tokens to hidden states."""

import functools
import threading
import warnings
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from transformers.utils import logging

from .fused_nucleotide_transformer import FusedEncoder, can_fuse, kept_weights, weights_version
from .modeling_nucleotide_transformer import NucleotideTransformerModel

BACKENDS = ("auto", "torch", "fused", "compile", "openvino")

# Tokens of a batch, padding included. CPU: from here on a batch of 60-nt windows is no faster per token, and what a
# layer writes still fits the caches of a core (benchmarks/embed_throughput.py, batches). GPU: not measured; a batch
# that does not fit the memory is divided.
BATCH_TOKENS = {"cpu": 768, "other": 32_768}


class Backend(Protocol):
    """
    What runs an encoder. `name` says which it is, `one_core_each` that several batches at once, on one core each, are
    faster than one after the other on all of them: fewer waits of cores for each other.

    Args:
        input_ids_BT: int64 (batch, tokens), padded on the right, where the model is.
        attention_mask_BT: 1 for tokens, 0 for padding; None where there is no padding.
        layer: As in `NucleotideTransformerModel.forward`.

    Returns:
        Hidden states, (batch, tokens, hidden).
    """

    name: str
    one_core_each: bool

    def refresh(self) -> None:
        """Before some batches: notice weights that have changed since the last ones."""

    def __call__(
        self, input_ids_BT: torch.Tensor, attention_mask_BT: torch.Tensor | None, layer: int
    ) -> torch.Tensor: ...


def make_backend(name: str, model: NucleotideTransformerModel) -> Backend:
    """
    A way to run an encoder.

    Args:
        name: `"torch"`, the model's own forward, which all others are compared with; `"fused"`, the same in fewer
            passes over the memory, for NT-v2 in float32 on a CPU; `"compile"`, by `torch.compile`, which takes a
            minute or more; `"openvino"`, on a CPU; `"auto"`, `"fused"` where it can be, else `"torch"`.
        model: The encoder, where and as it is to be run.

    Raises:
        ValueError: If there is no such backend, it cannot run this model, or its package is not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"Got backend {name!r}; it is one of {', '.join(BACKENDS)}.")
    if name == "auto":
        name = "fused" if can_fuse(model) else "torch"
    elif name == "fused" and not can_fuse(model):
        raise ValueError("The backend 'fused' is for an NT-v2 in float32 on a CPU, without adapters; give 'auto'.")
    return {"torch": TorchBackend, "fused": FusedBackend, "compile": CompiledBackend, "openvino": OpenVINOBackend}[
        name
    ](model)


class TorchBackend:
    """The model's own forward."""

    name = "torch"
    one_core_each = False

    def __init__(self, model: NucleotideTransformerModel):
        self.model = model

    def refresh(self) -> None:
        """Nothing to do: it has no weights of its own."""

    def __call__(self, input_ids_BT, attention_mask_BT, layer: int) -> torch.Tensor:
        return self.model(
            input_ids_BT, attention_mask=attention_mask_BT, layer=layer, return_dict=True
        ).last_hidden_state


class FusedBackend(TorchBackend):
    """`FusedEncoder`, made anew when a weight has changed; the model's own forward once it has got an adapter."""

    name = "fused"
    one_core_each = True

    def __init__(self, model: NucleotideTransformerModel):
        super().__init__(model)
        self.state: tuple | None = None
        self.refresh()

    def refresh(self) -> None:
        version = weights_version(self.model)
        if self.state is None or self.state[0] != version:
            encoder = FusedEncoder(self.model) if can_fuse(self.model) else None
            self.state = version, encoder, kept_weights(self.model)  # in one step, for other threads may be reading

    def __call__(self, input_ids_BT, attention_mask_BT, layer: int) -> torch.Tensor:
        _, encoder, _ = self.state
        if encoder is None:
            return super().__call__(input_ids_BT, attention_mask_BT, layer)
        return encoder(input_ids_BT, attention_mask_BT, self.model.num_layers_up_to(layer))

    def __reduce__(self):
        return FusedBackend, (self.model,)


class CompiledBackend(TorchBackend):
    """The model's forward, compiled for any number of sequences and tokens."""

    name = "compile"

    def __init__(self, model: NucleotideTransformerModel):
        super().__init__(model)
        self.compiled = torch.compile(super().__call__, dynamic=True)
        self.lock = threading.Lock()  # two threads must not compile at once

    def __call__(self, input_ids_BT, attention_mask_BT, layer: int) -> torch.Tensor:
        if attention_mask_BT is None:  # or there would be twice as many graphs to compile
            attention_mask_BT = torch.ones_like(input_ids_BT)
        with self.lock:
            return self.compiled(input_ids_BT, attention_mask_BT, layer)

    def __reduce__(self):
        return CompiledBackend, (self.model,)


class OpenVINOBackend:
    """The model as an OpenVINO graph on the CPU, in float32; one graph for each layer that is asked for."""

    name = "openvino"
    one_core_each = False

    def __init__(self, model: NucleotideTransformerModel):
        try:
            import openvino
            import openvino.frontend.pytorch.ts_decoder
        except ImportError as error:
            raise ValueError(
                "The backend 'openvino' needs the package openvino: pip install openvino, or give another backend."
            ) from error
        if model.device.type != "cpu" or model.dtype != torch.float32:
            raise ValueError(
                f"The backend 'openvino' runs float32 on a CPU; this model is in {model.dtype} on {model.device.type}."
            )
        self.model = model
        self.openvino = openvino
        self.graphs: dict[int, Any] = {}  # by number of layers
        self.state: tuple | None = None
        self.lock = threading.Lock()

    def refresh(self) -> None:
        version = weights_version(self.model)
        with self.lock:
            if self.state is None or self.state[0] != version:
                self.graphs.clear()
                self.state = version, kept_weights(self.model)

    def __call__(self, input_ids_BT, attention_mask_BT, layer: int) -> torch.Tensor:
        num_layers = self.model.num_layers_up_to(layer)
        with self.lock:
            if num_layers not in self.graphs:
                self.graphs[num_layers] = self._compile(num_layers)
            graph = self.graphs[num_layers]
        if attention_mask_BT is None:
            attention_mask_BT = torch.ones_like(input_ids_BT)
        # A request of its own for each call: several threads may be at it.
        request = graph.create_infer_request()
        request.infer([input_ids_BT.numpy(), attention_mask_BT.numpy()])
        return torch.from_numpy(np.copy(request.get_output_tensor(0).data))

    def _compile(self, num_layers: int):
        # Traced on a batch with padding, for the graph is then one for batches with and without.
        ids = torch.full((2, 3), self.model.config.mask_token_id + 4)
        mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
        frontend = self.openvino.frontend.FrontEndManager().load_by_framework("pytorch")
        with torch.no_grad(), warnings.catch_warnings(), _silent():
            warnings.simplefilter("ignore")  # of tracing: what it fixes is fixed on purpose
            # What `openvino.convert_model` does, which beside it reports to its maker that it was used.
            decoder = self.openvino.frontend.pytorch.ts_decoder.TorchScriptPythonDecoder(
                _OneLayer(self.model, num_layers), example_input=(ids, mask)
            )
        graph = frontend.convert(frontend.load(decoder))
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        return _core(self.openvino).compile_model(graph, "CPU", settings)

    def __reduce__(self):
        return OpenVINOBackend, (self.model,)


@contextmanager
def _silent():
    """No warnings of transformers: tracing looks at all that a model has, also at its loss, of which it has none."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@functools.cache
def _core(openvino):
    # One for the process, never freed: its CPU plugin sets the stack on which this thread's signals are handled, and
    # with several of them, freed in the order in which they were made, the next signal would be a segmentation fault.
    return openvino.Core()


class _OneLayer(torch.nn.Module):
    def __init__(self, model: NucleotideTransformerModel, layer: int):
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, input_ids_BT: torch.Tensor, attention_mask_BT: torch.Tensor) -> torch.Tensor:
        return self.model(
            input_ids_BT, attention_mask=attention_mask_BT, layer=self.layer, return_dict=True
        ).last_hidden_state
