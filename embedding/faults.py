"""What a machine runs out of while it embeds -> one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate.utils.memory import should_reduce_batch_size

LONGEST_SHOWN = 200


@contextmanager
def memory_told() -> Iterator[None]:
    """Within it, a batch that does not fit into memory becomes a ValueError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        reason = str(error).strip().splitlines()[0][:LONGEST_SHOWN]
        raise ValueError(
            f"A batch does not fit into memory ({reason}); give --batch_tokens, smaller than it is now, or a shorter "
            "--max_length."
        ) from error
