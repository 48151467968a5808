"""One file over HTTP, on a line that stalls, cuts and comes back.

A cut transfer goes on where it stopped when the server knows byte ranges, and starts again when
it does not. Waiting is bounded: a stall ends after ``Network.timeout`` seconds, and failures in a
row without new bytes end after ``Network.retries``. Whether the bytes are the right ones is not
decided here but by their hash, in ``sources``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from bioptimus_lib import __version__

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

CHUNK = 1 << 16
#: New bytes after which earlier failures are forgotten, so that a long file may be cut often.
STRIDE = 1 << 20
#: ``identity`` asks for the bytes that the hash is of; a compressed answer could not be resumed.
HEADERS = {"User-Agent": f"bioptimus/{__version__}", "Accept-Encoding": "identity"}

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Network:
    """How long to wait and how often to try again.

    timeout: seconds without a byte until a connection counts as lost; the variable
        ``BIOPTIMUS_TIMEOUT`` sets the default.
    retries: failures in a row that are forgiven.
    pause: seconds before the first retry; doubles with each further one, up to 30.
    """

    timeout: float = 30.0
    retries: int = 4
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout} s, expected more than 0")
        if self.retries < 0 or self.pause < 0:
            raise ValueError(f"retries {self.retries} and pause {self.pause} must not be negative")

    @classmethod
    def from_environment(cls) -> Network:
        """The defaults, with ``BIOPTIMUS_TIMEOUT`` when it is set."""
        text = os.environ.get("BIOPTIMUS_TIMEOUT")
        if not text:
            return cls()
        try:
            return cls(timeout=float(text))
        except ValueError:
            raise ValueError(
                f"BIOPTIMUS_TIMEOUT={text!r}: expected seconds, a number above 0"
            ) from None


class Cut(ConnectionError):
    """A transfer that ended early and may be tried again."""


def download(
    url: str,
    file: BinaryIO,
    *,
    size: int | None = None,
    network: Network | None = None,
    progress: Progress | None = None,
) -> None:
    """Write what ``url`` answers into ``file``, an empty file open for binary writing.

    size: bytes of the whole file if known; a shorter answer counts as cut.
    progress: called with (bytes so far, bytes in all or None) after each piece.

    FileNotFoundError: the server says that there is no such file (404, 410).
    ConnectionError: no connection, a refusal, or too many failures in a row.
    """
    import requests
    import urllib3

    network = network or Network.from_environment()
    failures = best = 0
    reached = False  # a host that never answered is not waited for as long as one that did

    def answered() -> None:
        nonlocal reached
        reached = True

    with requests.Session() as session:
        while True:
            try:
                return _receive(session, url, file, size, network, progress, answered)
            except (requests.RequestException, urllib3.exceptions.HTTPError, Cut) as error:
                reason = _reason(error, network)
            if file.tell() >= best + STRIDE:
                best, failures = file.tell(), 0
            failures += 1
            allowed = network.retries if reached else min(network.retries, 1)
            if failures > allowed:
                verb = "lost the connection to" if reached else "cannot reach"
                raise ConnectionError(f"{verb} {urlsplit(url).netloc} ({reason}) for {url}")
            wait = min(network.pause * 2 ** (failures - 1), 30)
            log.info("%s: %s; again in %.1f s, from byte %d", url, reason, wait, file.tell())
            time.sleep(wait)


def _receive(
    session: requests.Session,
    url: str,
    file: BinaryIO,
    size: int | None,
    network: Network,
    progress: Progress | None,
    answered: Callable[[], None],
) -> None:
    """One request: the whole file, or the rest of it when ``file`` already holds a part."""
    have = file.tell()
    headers = HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=network.timeout) as response:
        answered()
        status = response.status_code
        if status in (404, 410):
            raise FileNotFoundError(f"{url} answers {status} {response.reason}: no such file there")
        if status == 429 or status >= 500:
            raise Cut(f"the server answers {status} {response.reason}")
        if status not in (200, 206, 416):
            raise ConnectionError(f"{url} answers {status} {response.reason}")
        rest = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not (status == 206 and rest):
            file.seek(0)
            file.truncate()
            if status != 200:
                raise Cut(f"the server answers {status} without the bytes from {have} on")
        have = file.tell()
        length = response.headers.get("Content-Length")
        encoded = "Content-Encoding" in response.headers
        total = have + int(length) if length and not encoded else size
        # A server may mark a .gz file as "encoded"; unpacking it would change its bytes.
        decode = encoded and not urlsplit(url).path.endswith(".gz")
        for chunk in response.raw.stream(CHUNK, decode_content=decode):
            file.write(chunk)
            if progress:
                progress(file.tell(), total)
    for expected in (size, None if encoded else total):
        if expected is not None and file.tell() < expected:
            raise Cut(f"{file.tell():,} of {expected:,} bytes came")


def head(url: str, *, network: Network | None = None) -> tuple[int, int | None]:
    """Status and length in bytes (None if not told) of ``url``, without its content.

    ConnectionError: no answer.
    """
    import requests

    network = network or Network.from_environment()
    try:
        with requests.Session() as session:
            options: dict[str, Any] = {
                "headers": HEADERS, "timeout": network.timeout, "allow_redirects": True
            }  # fmt: skip
            response = session.head(url, **options)
            if response.status_code in (405, 501):  # some servers know no HEAD
                response = session.get(url, stream=True, **options)
                response.close()
    except requests.RequestException as error:
        reason = _reason(error, network)
        raise ConnectionError(f"cannot reach {urlsplit(url).netloc} ({reason}) for {url}") from None
    length = response.headers.get("Content-Length")
    known = "Content-Encoding" not in response.headers
    return response.status_code, int(length) if length and known else None


def _reason(error: BaseException, network: Network) -> str:
    """The one cause that a reader understands out of a chain of wrapped network errors."""
    link: BaseException | None = error
    while link is not None:
        if "Timeout" in type(link).__name__ or isinstance(link, TimeoutError):
            return f"no byte for {network.timeout:g} s"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        last, link = link, link.__cause__ or link.__context__
    return str(last) if isinstance(error, Cut) else f"{type(last).__name__}: {last}"
