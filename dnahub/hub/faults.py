"""Call to the Hub -> its result, after retries where they help, or one sentence."""

import json
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.request import getproxies

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of the HTTP library, which is another one in each major version; HfHubHTTPError is one, too
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

Result = TypeVar("Result")

# Seconds before the second, third, ... try. huggingface_hub 2.4 itself retries downloads and uploads of files, but not
# calls that create a repository, validate a card or commit, nor those with which `datasets` opens a file.
WAITS = (1, 1, 2, 4, 8)
LONGEST_WAIT = 60  # even if the server asks for more
PASSING = (408, 429, 500, 502, 503, 504)
LASTING = (OfflineModeIsEnabled, LocalTokenNotFoundError)
FAULTS = (HTTPError, *LASTING)
LOG_IN = "set HF_TOKEN (which takes precedence), or log in with `hf auth login`"


class HubError(ValueError):
    """A failed call to the Hub, in one sentence that says what to do."""


def retrying(call: Callable[[], Result], what: str) -> Result:
    """
    The result of a call that is safe to repeat.

    Args:
        call: Called up to six times, as long as the fault may pass: 429, 5xx, a lost connection.
        what: Its subject, for the message, as "user/nt-species".

    Raises:
        HubError: If it failed for good.
    """
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:
            if unusable := _unusable(error):
                raise HubError(f"{what}: {unusable}") from error
            fault = _fault(error)
            if fault is None:
                raise
            status = fault.response.status_code if isinstance(fault, HfHubHTTPError) else None
            passes = status in PASSING if status else not isinstance(fault, LASTING)
            if wait is None or not passes:
                raise HubError(f"{what}: {_explain(fault, error, status)}") from error
            asked = fault.response.headers.get("Retry-After", "") if status else ""
            time.sleep(min(int(asked), LONGEST_WAIT) if asked.isdecimal() else wait)


def _unusable(error: Exception) -> str | None:
    """What of the environment made a request impossible, and what to do; None where it was made. No secrets."""
    if not constants.ENDPOINT.startswith(("https://", "http://")) and not isinstance(error, LASTING):
        return f"HF_ENDPOINT is {constants.ENDPOINT!r}; it must begin with https://, as https://huggingface.co."
    if isinstance(error, UnicodeEncodeError) and str(error.object).startswith("Bearer "):
        return "the token contains a character other than ASCII; copy it again."
    proxies = " and ".join(f"{kind.upper()}_PROXY" for kind in getproxies() if kind in ("http", "https", "all"))
    if isinstance(error, ImportError) and "SOCKS" in str(error):
        return f"a SOCKS proxy needs a package: pip install socksio; or unset {proxies}."
    # By name, for the HTTP library is another one in each major version.
    if proxies and (type(error).__name__ == "InvalidURL" or "proxy URL" in str(error)):
        return f"the proxy cannot be used ({error}); correct or unset {proxies}."
    return None


def _fault(error: BaseException) -> Exception | None:
    """The fault of the Hub or the connection that caused an error, or None."""
    if isinstance(error, json.JSONDecodeError):  # validate-yaml got an error page; as a cause, it is about a file
        return error
    cause: BaseException | None = error
    while cause is not None:
        # A missing file is a normal answer while the libraries look for an existing one.
        if isinstance(cause, FAULTS) and not (isinstance(cause, EntryNotFoundError) and cause is not error):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _explain(fault: Exception, error: Exception, status: int | None) -> str:
    """What was wrong and what to do, without the token."""
    hub, tries = constants.ENDPOINT, 1 + len(WAITS)
    if isinstance(fault, OfflineModeIsEnabled):
        return "not in the cache, and HF_HUB_OFFLINE is set; unset it to reach the Hub."
    if isinstance(fault, LocalTokenNotFoundError):
        return f"you are not logged in; {LOG_IN}, with a token that can write."
    if status is None or status in PASSING:
        return f"{hub} failed {tries} times ({status or type(fault).__name__}); check the network, or try again later."
    if isinstance(fault, RevisionNotFoundError):
        return "there is no such branch, tag or commit on the Hub; leave it out for the latest commit."
    if isinstance(fault, GatedRepoError):
        return f"access is granted on request; ask for it at {hub}, and {LOG_IN}."
    if isinstance(fault, RepositoryNotFoundError):
        return f"the Hub has no such repository, or it is private; check the name, or {LOG_IN}."
    if status == 401:
        return f"the Hub does not accept the token; create one at {hub}/settings/tokens and {LOG_IN}."
    said = (fault.server_message or type(fault).__name__) if error is fault else " ".join(str(error).split())
    if status == 403:
        return (
            f"the token does not permit this (403: {said}); name one of your own repositories, or log in with a token "
            "that can write there."
        )
    return f"the Hub answered {status}: {said}"
