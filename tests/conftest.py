"""What several tests share: a tiny BERT, made in a moment, with a real WordPiece tokenizer."""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a busy machine is no error
settings.load_profile("busy")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

TINY_TEXT = [
    "aspirin relieves pain and fever in most patients .",
    "the patients received aspirin or placebo for two weeks .",
    "bronchoconstriction was reversed by salbutamol in all patients .",
    "placebo had no effect on fever , pain or bronchoconstriction .",
]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under ``--dist loadfile`` a process takes a file whole, and all chapters that share a run, in
    order: each goes on where the last one ended."""
    from tidy import run_of
    from xdist.scheduler import LoadScopeScheduling

    if config.getoption("dist") != "loadfile":
        return None

    @cache
    def group(file: str) -> str:
        path = config.rootpath / file
        return (path.suffix == ".ipynb" and run_of(path.read_text("utf-8"))) or file

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid.split("::", 1)[0])

    return Together(config, log)


def sound_svg(draw):
    """The text of a figure that a function draws: SVG, and the same when it is drawn again."""
    from xml.etree import ElementTree

    from bioptimus_lib import plots

    text = plots.svg(draw())
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert plots.svg(draw()) == text
    return text


IN_CHILD = """
import sys
import cloudpickle
import torch

torch.set_num_threads(1)
with open(sys.argv[1], "rb") as file:
    work = cloudpickle.load(file)
work()
"""


def in_child(work, *, processes: int = 1) -> list[int]:
    """Do something in processes of their own, with one thread; several are as ``torchrun`` starts
    them. Returns how each ended.

    Not forked: a fork of a process in which torch has had threads may wait for them for ever.
    """
    import sys

    cloudpickle = pytest.importorskip("cloudpickle")
    module = sys.modules[work.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        payload = cloudpickle.dumps(work)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "work"
        file.write_bytes(payload)
        ranks = {
            "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
        children = [
            subprocess.Popen(
                [sys.executable, "-c", IN_CHILD, str(file)],
                env=os.environ | {"PYTHONPATH": paths} | (
                    ranks | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
                ),
            )
            for rank in range(processes)
        ]  # fmt: skip
        return [child.wait(timeout=300) for child in children]


def random_bert(tokenizer):
    """A random 2 × 32 BERT over the pieces of a tokenizer, the same each time."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    return BertForMaskedLM(config).eval()


def learner(tokenizer, *, seed: int = 0, hidden: int = 32, layers: int = 2):
    """A random BERT that a few steps teach a toy set: its weights are far apart. The caller's
    random numbers are as if never used."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=2, intermediate_size=2 * hidden, max_position_embeddings=64,
        initializer_range=0.1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForMaskedLM(config)


def save_old_and_new(pieces, folder: Path) -> None:
    """Two tiny models for fine-tuning, ``old`` and ``new``, in a folder."""
    from bioptimus_lib.models import save_model
    from bioptimus_lib.vocab import bert_tokenizer

    tokenizer = bert_tokenizer(pieces)
    for name in ("old", "new"):
        model = learner(tokenizer, seed=ord(name[0]), hidden=16, layers=1)
        save_model(model, tokenizer, folder / name)


def always(model, tokenizer, piece):
    """A model that answers one piece, whatever it is asked."""
    import torch

    model = copy.deepcopy(model)
    with torch.no_grad():
        model.get_output_embeddings().bias[tokenizer.convert_tokens_to_ids(piece)] = 1000.0
    return model


@pytest.fixture(scope="session")
def tiny():
    """(model, tokenizer) of a random BERT over 90 pieces; do not change the model."""
    from bioptimus_lib.vocab import train_wordpiece

    tokenizer = train_wordpiece(TINY_TEXT * 4, size=90, max_length=64)
    return random_bert(tokenizer), tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    """The tiny BERT in a folder."""
    from bioptimus_lib.models import save_model

    return save_model(*tiny, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def one_thread():
    """Small models lose time by sharing it out; and weights are the same bit by bit only if sums
    are made by as many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
