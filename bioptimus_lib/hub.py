"""A release on the Hugging Face hub, or on any server that answers like it (``HF_ENDPOINT``).

What is wrong with a name is said before anything is asked. A repository that holds somebody's files
is never written to: one release, one repository. All files come in one commit, so nobody can load
half a release.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import sha256_of
from bioptimus_lib.release import MANIFEST
from bioptimus_lib.sources import PICKLED

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB = "https://huggingface.co"
NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)
LONGEST = 96  # characters of a name and its owner
FRESH = {".gitattributes"}  # what a new repository holds


def check_name(repo: str) -> None:
    """ValueError unless a repository may be called so.

    >>> check_name("ann/bioptimus-v0.4")
    """
    owner, slash, name = repo.partition("/")
    why = (
        "expected owner/name" if not (slash and owner and name) or "/" in name
        else "letters, digits, '-', '_' and '.' alone, none of '-' and '.' at an end"
        if not (NAME.fullmatch(owner) and NAME.fullmatch(name))
        else "'--' and '..' are not allowed" if "--" in repo or ".." in repo
        else "it must not end with .git" if name.endswith(".git")
        else f"{len(repo)} characters, at most {LONGEST}" if len(repo) > LONGEST else ""
    )  # fmt: skip
    if why:
        raise ValueError(f"repository {repo!r} is malformed: {why}")


def files_of(folder: str | Path) -> list[Path]:
    """The files of a release, each of which is what it was when it was made.

    Raises:
        FileNotFoundError: no release in the folder.
        DataError: a file was changed, added or lost, or is a pickle.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} holds no release (no {MANIFEST})")
    wanted = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    for path in there.values():
        if any(path.match(pattern) for pattern in PICKLED):
            raise DataError("a pickle can run code when it is loaded: take it out", path=path)
    for name in sorted(wanted.keys() | there.keys() - {MANIFEST}):
        if name not in there:
            raise DataError(f"{name} is missing: make the release again", path=folder)
        if wanted.get(name) != sha256_of(there[name]):
            raise DataError(f"{name} is not as it was made: make the release again", path=folder)
    return [there[name] for name in sorted(there)]


def plan(folder: str | Path, repo: str) -> str:
    """What ``push`` would do, in words; nothing is asked of any server.

    Raises:
        ValueError: the name is malformed.
        FileNotFoundError, DataError: as ``files_of``.
    """
    check_name(repo)
    files = files_of(folder)
    lines = [f"{path.stat().st_size / 1e3:10,.1f} kB  {path.name}" for path in files]
    total = sum(path.stat().st_size for path in files) / 1e3
    return "\n".join([*lines, f"{total:10,.1f} kB  in {len(files)} files to {endpoint()}/{repo}"])


def endpoint() -> str:
    """The server: ``HF_ENDPOINT``, else the hub."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def push(
    folder: str | Path, repo: str, *, private: bool = True, token: str | None = None
) -> str:
    """Make a repository and put a release into it; returns its address.

    Args:
        private: for the owner's eyes; who wants to show it can do so on the hub.
        token: by default the one that ``hf auth login`` has kept, or ``HF_TOKEN``.

    Raises:
        ValueError: the name is malformed or taken.
        PermissionError: no token, or one that the server does not take.
        FileNotFoundError, DataError: as ``files_of``.
        OSError: the server cannot be reached, or gives an error.
    """
    check_name(repo)
    files = files_of(folder)
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # not in its __all__
        HfHubHTTPError,
        HTTPError,
    )

    token = token or get_token()
    if not token:
        raise PermissionError("no token: 'hf auth login' keeps one, or set HF_TOKEN")
    api = HfApi(endpoint=endpoint(), token=token, library_name="bioptimus")
    try:
        _claim(api, repo, private=private)
        api.create_commit(
            repo, [CommitOperationAdd(path.name, str(path)) for path in files],
            commit_message=f"Release {Path(folder).name}",
        )  # fmt: skip
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise PermissionError(
                f"{endpoint()} does not take the token for {repo} ({status}): may it write there?"
            ) from None
        raise OSError(f"{endpoint()} answers {status}: {error}") from None
    except HTTPError as error:
        raise OSError(f"{endpoint()} cannot be reached ({error}): nothing is lost, try again"
                      ) from None  # fmt: skip
    return f"{endpoint()}/{repo}"


def _claim(api: HfApi, repo: str, *, private: bool) -> None:
    """Make the repository; one that is there is taken if it is empty still, as a push that was cut
    leaves it."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, private=private, exist_ok=False)
        return
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
    try:
        there = set(api.list_repo_files(repo))
    except HfHubHTTPError:
        there = {"what we may not see"}
    if there - FRESH:
        raise ValueError(f"repository {repo} is taken: give another name (one for each release)")
