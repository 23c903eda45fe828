"""Encoders in int8 on a CPU: time beside float32 and bfloat16, and the change of the scores.

    pip install onnx onnxruntime openvino nncf torchao  # those that are missing are left out
    python benchmarks/int8.py training/model-knn corpus/test.spacy [MODEL DATA ...]

All in one process and one thread, the variants in turn. The first pipeline is timed (4 windows of
128 word pieces of its data, one of 320, one of 16), with the distance of the vectors to those of
float32. Then strict F1 on the data of each pipeline, once by the model alone and once with its
neighbors as fitted, whose keys come from float32. To use AVX2, as far as the libraries
allow it: `ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
FBGEMM_ENABLE_INSTRUCTIONS=AVX2` in front. ONNX Runtime looks at the CPU itself.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import spacy
import torch
from machine import describe
from spacy.language import Language
from torch import nn

from spacy_btl.evaluation.evaluate import evaluate, read_examples
from spacy_btl.pipeline.component import component_of

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SHAPES = ((4, 128), (1, 320), (1, 16))


def torch_forward(model: Any, dtype: torch.dtype | None = None) -> Forward:
    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            return model(input_ids=ids, attention_mask=mask).last_hidden_state

    return run


def held_in_bfloat16(model: Any) -> Forward:
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.bfloat16)
    return torch_forward(model, torch.bfloat16)


def torch_int8(model: Any, engine: str, reduce_range: bool) -> Forward:
    """Return torch's dynamic quantization: weights by channel, inputs by tensor."""
    from torch.ao.nn.quantized.dynamic import Linear
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        weights = self._packed_params._packed_params
        return torch.ops.quantized.linear_dynamic(x, weights, reduce_range=reduce_range)

    torch.backends.quantized.engine = engine
    model = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})
    for module in model.modules():
        if isinstance(module, Linear):
            module.forward = MethodType(forward, module)
    return torch_forward(model)


def torchao_int8(model: Any) -> Forward:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = copy.deepcopy(model)
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return torch_forward(model)


def write_onnx(model: Any, folder: Path) -> Path:
    """Write the encoder with the fused operators of ONNX Runtime, and return the file."""
    from onnxruntime.transformers import optimizer

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    names, plain, fused = ["ids", "mask"], folder / "plain.onnx", folder / "fused.onnx"
    axes = {name: {0: "batch", 1: "width"} for name in [*names, "vectors"]}
    ids = torch.ones((2, 16), dtype=torch.int64)
    torch.onnx.export(
        Plain(),
        (ids, ids),
        str(plain),
        input_names=names,
        output_names=["vectors"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    made = optimizer.optimize_model(str(plain), "bert", num_heads=heads, hidden_size=width)
    print("ONNX Runtime fused:", made.get_fused_operator_statistics(), file=sys.stderr)
    made.save_model_to_file(str(fused))
    return fused


def onnx_forward(path: Path) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        fed = {"ids": ids.numpy(), "mask": mask.numpy().astype(np.int64)}
        return torch.from_numpy(session.run(None, fed)[0])

    return run


def onnx_int8(path: Path, reduce_range: bool) -> Forward:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    to = path.with_name(f"int8-{reduce_range}.onnx")
    quantize_dynamic(
        path,
        to,
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return onnx_forward(to)


def openvino_forward(model: Any, precision: str) -> Forward:
    """Return OpenVINO's; for int8 with weights of nncf, inputs quantized as they come."""
    import openvino

    ids = torch.ones((2, 16), dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": ids}
    converted = openvino.convert_model(model, example_input=inputs)
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    if precision == "int8":
        with redirect_stdout(sys.stderr):
            import nncf

            converted = nncf.compress_weights(converted, mode=nncf.CompressWeightsMode.INT8_SYM)
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = model.config.hidden_size
    elif precision == "bf16":
        settings["INFERENCE_PRECISION_HINT"] = "bf16"
    compiled = openvino.compile_model(converted, "CPU", settings)

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        fed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy().astype(np.int64)}
        return torch.from_numpy(np.array(compiled(fed)[0]))

    return run


def make_variants(model: Any, folder: Path) -> dict[str, Forward]:
    """Return all variants whose packages are installed, float32 first."""
    fused: list[Path] = []

    def onnx() -> Path:
        if not fused:
            fused.append(write_onnx(model, folder))
        return fused[0]

    makers: dict[str, Callable[[], Forward]] = {
        "float32": lambda: torch_forward(model),
        "bfloat16, cast": lambda: torch_forward(model, torch.bfloat16),
        "bfloat16, weights held": lambda: held_in_bfloat16(model),
        "torch int8, fbgemm, 7 bits": lambda: torch_int8(model, "fbgemm", True),
        "torch int8, fbgemm": lambda: torch_int8(model, "fbgemm", False),
        "torch int8, oneDNN": lambda: torch_int8(model, "onednn", False),
        "torchao int8": lambda: torchao_int8(model),
        "ONNX Runtime float32": lambda: onnx_forward(onnx()),
        "ONNX Runtime int8, 7 bits": lambda: onnx_int8(onnx(), True),
        "ONNX Runtime int8": lambda: onnx_int8(onnx(), False),
        "OpenVINO float32": lambda: openvino_forward(model, "f32"),
        "OpenVINO bfloat16": lambda: openvino_forward(model, "bf16"),
        "OpenVINO int8": lambda: openvino_forward(model, "int8"),
    }
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except Exception as error:  # each kind may fail in its own way; the others are measured
            print(f"{name}: left out, {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    return made


def print_times(nlp: Language, data: Path, variants: dict[str, Forward], rounds: int) -> None:
    """Print rates to float32, and how far the vectors of real text are from those of float32."""
    shim = component_of(nlp).model.get_ref("tok2vec").shims[0]
    words = [token.text for example in read_examples(data, nlp)[:4] for token in example.predicted]
    pieces = torch.tensor(shim.tokenizer(words, is_split_into_words=True)["input_ids"])
    cells: dict[str, list[str]] = {name: [] for name in variants}
    for n_rows, width in SHAPES:
        ids = pieces[: n_rows * width].reshape(n_rows, width)
        mask = torch.ones_like(ids)
        vectors = {name: forward(ids, mask) for name, forward in variants.items()}
        repeats = max(1, 128 // ids.numel())
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(rounds):
            for name, forward in variants.items():
                start = time.perf_counter()
                for _ in range(repeats):
                    forward(ids, mask)
                seconds[name].append((time.perf_counter() - start) / repeats)
        first = vectors["float32"]
        for name, own in seconds.items():
            if vectors[name].shape != first.shape:
                cells[name] += ["wrong shape"] * 3
                continue
            rates = [a / b for a, b in zip(seconds["float32"], own, strict=True)]
            spread = f"({min(rates):.2f} to {max(rates):.2f})"
            cells[name] += [f"{statistics.median(rates):.2f} {spread}"]
            cells[name] += [f"{1000 * statistics.median(own):.1f}"]
            cells[name] += [f"{float((vectors[name] - first).norm() / first.norm()):.3f}"]
    heads = [f"{n_rows} x {width} | ms | error" for n_rows, width in SHAPES]
    print(f"| rate to float32 | {' | '.join(heads)} |\n|---|{'---:|' * 3 * len(SHAPES)}")
    for name, own_cells in cells.items():
        print(f"| {name} | {' | '.join(own_cells)} |", flush=True)


def print_scores(nlp: Language, data: Path, variants: dict[str, Forward]) -> None:
    """Print strict F1 of the model alone and with its neighbors, and the differences to float32."""
    pipe = component_of(nlp)
    shim, fitted = pipe.model.get_ref("tok2vec").shims[0], pipe.neighbor_weight
    first: dict[float, tuple[float, float]] = {}
    print(f"| micro / macro | alone | to float32 | neighbors, {fitted:g} | to float32 |")
    print("|---|---:|---:|---:|---:|")
    for name, forward in variants.items():

        def vectors(batch: Any, module: Any, forward: Forward = forward) -> torch.Tensor:
            return forward(batch.inputs["input_ids"], batch.inputs["attention_mask"])[batch.keep]

        shim._vectors = vectors
        cells = []
        for weight in (0.0, fitted):
            pipe.neighbor_weight = weight
            scores = evaluate(nlp, read_examples(data, nlp), progress=False)["scores"]
            micro, macro = float(scores["ents_f"]), float(scores["ents_macro_f"])
            was = first.setdefault(weight, (micro, macro))
            cells += [
                f"{micro:.4f} / {macro:.4f}",
                f"{micro - was[0]:+.4f} / {macro - was[1]:+.4f}",
            ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", type=Path, nargs="+", help="pipelines, each with a DocBin")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--no-scores", action="store_true")
    options = parser.parse_args()
    print(describe(), "\n")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pairs = list(zip(options.paths[::2], options.paths[1::2], strict=True))
    for i, (pipeline, data) in enumerate(pairs):
        nlp = spacy.load(pipeline)
        transformer = component_of(nlp).model.get_ref("tok2vec").shims[0].encoder.transformer.eval()
        with tempfile.TemporaryDirectory() as folder:
            variants = make_variants(transformer, Path(folder))
            if i == 0 and not options.no_times:
                print_times(nlp, data, variants, options.rounds)
            if not options.no_scores:
                print(f"\n{pipeline}, {data}\n")
                print_scores(nlp, data, variants)


if __name__ == "__main__":
    main()
