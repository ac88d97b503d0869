"""Batches of token ids -> what is read of them: on a CPU several at once, one core each, where that is faster."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from dnahub.hub_code.pipeline_dna_embedding import BATCH_TOKENS
from dnahub.inference.encoder import Encoder

# Numbers of a batch -> token ids and mask, int64 (batch, tokens) each.
Inputs = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# The same on the device, and the numbers -> a tensor of the batch, or one after the other of its items.
Read = Callable[[torch.Tensor, torch.Tensor, np.ndarray], torch.Tensor]


class Runner:
    """
    Runs an encoder on batches.

    Args:
        encoder: The encoder.
        batch_tokens: The most tokens of a forward pass, padding included; default by the device. Halved after a batch
            that does not fit into the memory.
    """

    def __init__(self, encoder: Encoder, batch_tokens: int | None = None):
        self.encoder, self.device = encoder, encoder.model.device
        self.batch_tokens = batch_tokens or BATCH_TOKENS["cpu" if self.device.type == "cpu" else "other"]

    def run(self, batches: Sequence[np.ndarray], inputs: Inputs, read: Read) -> Iterator[torch.Tensor]:
        """What is read of each batch, on the CPU, in the order of the batches; to be closed."""
        num_threads = torch.get_num_threads()
        if self.encoder.backend != "fused" or num_threads == 1 or len(batches) < num_threads:
            before = None
            for batch in batches:
                values = self._run(batch, inputs, read)
                # A GPU computes this batch while the values of the one before are fetched.
                if before is not None:
                    yield before.cpu()
                before = values
            if before is not None:
                yield before.cpu()
            return
        # Several batches at once, one core each: faster than one after the other on all cores, which wait for each
        # other in every layer.
        torch.set_num_threads(1)  # a thread takes this number with its first product
        try:
            with ThreadPoolExecutor(num_threads) as threads:
                yield from threads.map(lambda batch: self._run(batch, inputs, read), batches)
        finally:
            torch.set_num_threads(num_threads)

    @torch.inference_mode()
    def _run(self, batch: np.ndarray, inputs: Inputs, read: Read) -> torch.Tensor:
        ids, mask = inputs(batch)
        try:
            # No name for the hidden states, which would keep them where what is read does not fit.
            return read(torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device), batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self.batch_tokens = max(1, ids.size // 2)  # of the batches to come
        # Outside of the handler, which would keep what did not fit.
        halves = [self._run(half, inputs, read).cpu() for half in np.array_split(batch, 2)]
        if halves[0].dim() == 3:  # of tokens
            widest = max(half.shape[1] for half in halves)
            halves = [torch.nn.functional.pad(half, (0, 0, 0, widest - half.shape[1])) for half in halves]
        return torch.cat(halves)
