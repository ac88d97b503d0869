"""Settings of the suite: own caches, no network."""

import os
import tempfile

# The Hugging Face libraries read their environment at import: these lines come before any import of them.
_CACHE = tempfile.TemporaryDirectory(prefix="nt-tests-")
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
