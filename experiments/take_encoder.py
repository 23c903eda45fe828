"""Write the encoder of a trained pipeline to a folder, for another training to begin from.

python -m experiments.take_encoder MODEL training/encoders/minilm-chia

The folder is in the form that the ``name`` of a configuration takes. A component's own encoder is
meant, not one that it shares with others.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy

from spacy_btl.pipeline.component import component_of


def main(arguments: Sequence[str] | None = None) -> None:
    model, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    layers = component_of(spacy.load(model)).model.walk()
    shims = [layer.shims[0] for layer in layers if layer.name == "btl_transformer"]
    if not shims:
        sys.exit(f"{model} has no spacy-btl.TransformerModel.v1 of its own")
    encoder: Any = shims[0]
    encoder.tokenizer.save_pretrained(output)
    encoder._model.save_pretrained(output)


if __name__ == "__main__":
    main()
