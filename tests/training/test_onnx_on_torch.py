"""The int8 graph runner: onnxruntime's numbers, no mixing of host and device, unknown nodes named, values kept."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

SCRIPTS = Path(__file__).parent.parent.parent / "training" / "corpora"
S = 9
H = 5


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package as a script beside it imports it."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("onnx_on_torch")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Quantised product and convolution, a normalisation, a snake, durations that become a length, a scatter."""
    rng = np.random.default_rng(9)
    constants = {
        "table": rng.integers(-50, 50, (12, 4)).astype(np.int8),
        "table_scale": np.float32(0.02),
        "zero": np.int8(0),
        "product": rng.integers(-60, 60, (4, 6)).astype(np.int8),
        "product_zero": np.array([0, 1, 0, -2, 0, 0], np.int8),
        "product_scale": np.linspace(0.001, 0.01, 6, dtype=np.float32),
        "product_bias": rng.normal(size=6).astype(np.float32),
        "kernel": rng.integers(70, 130, (5, 6, 3)).astype(np.uint8),
        "kernel_zero": np.uint8(100),
        "kernel_scale": np.float32(0.5),
        "kernel_bias": np.array([1.0, 2.0, -3.5, 0.0, 0.5], np.float32),
        "column": np.array([1, -1, 1], np.int64),
        "last": np.array([2], np.int64),
        "epsilon": np.float32(1e-5),
        "alpha": rng.uniform(0.5, 2, (1, 5, 1)).astype(np.float32),
        "two": np.float32(2.0),
        "at_one": np.array(1, np.int64),
        "at_end": np.array(-1, np.int64),
        "start": np.array(0, np.int64),
        "step": np.array(1, np.int64),
        "axis": np.array(0, np.int32),
        "row": np.array([-1], np.int64),
        "place": np.array([[0], [1]], np.int64),
        "fresh": np.array([7.0, 8.0], np.float32),
    }
    steps = """
        Gather table tokens > picked
        DequantizeLinear picked table_scale zero > embedded
        Mul embedded gain > loud
        DynamicQuantizeLinear loud > loud_q loud_s loud_z
        MatMulInteger loud_q product loud_z product_zero > product_i
        Cast product_i > product_f | to=1
        Mul loud_s product_scale > product_s
        Mul product_f product_s > product_y
        Add product_bias product_y > hidden
        Transpose hidden > channels | perm=0,2,1
        DynamicQuantizeLinear channels > channels_q channels_s channels_z
        ConvInteger channels_q kernel channels_z kernel_zero > conv_i | pads=1,1
        Mul channels_s kernel_scale > conv_s
        Div kernel_bias conv_s > bias_n
        Floor bias_n > bias_r
        Cast bias_r > bias_i | to=6
        Reshape bias_i column > bias_c
        Add conv_i bias_c > conv_b
        Cast conv_b > conv_f | to=1
        Mul conv_f conv_s > conv_y
        ReduceMean conv_y last > mean
        Sub conv_y mean > centred
        Mul centred centred > squared
        ReduceMean squared last > variance
        Add variance epsilon > safe
        Sqrt safe > deviation
        Div centred deviation > normal
        Mul alpha normal > inner
        Sin inner > wave
        Pow wave two > power
        Mul alpha power > bump
        Add normal bump > snake
        Shape snake > size
        Gather size at_one > rows
        Gather snake at_one > one_row | axis=1
        Round one_row > rounded
        Cast rounded > counts | to=7
        Mul counts counts > durations
        Reshape durations row > flat
        CumSum flat axis > ends
        Gather ends at_end > total
        Range start total step > frames
        Cast frames > ramp | to=1
        Reshape snake row > line
        ScatterND line place fresh > marked
        Concat marked ramp > audio | axis=0
    """
    nodes = []
    for line in steps.strip().splitlines():
        call, _, options = line.partition("|")
        given, _, made = call.partition(">")
        op, *inputs = given.split()
        attributes = {}
        for option in options.split():
            name, _, value = option.partition("=")
            numbers = [int(number) for number in value.split(",")]
            attributes[name] = numbers if name in ("perm", "pads") else numbers[0]
        nodes.append(helper.make_node(op, inputs, made.split(), name=made.split()[0], **attributes))
    return saved(
        tmp_path, nodes, {name: numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()}
    )


def saved(folder: Path, nodes: list[onnx.NodeProto], constants: dict[str, onnx.TensorProto]) -> Path:
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "S"]),
        helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = folder / "tiny.onnx"
    onnx.save(model, str(path))
    return path


def given() -> dict[str, np.ndarray]:
    return {"tokens": np.arange(S, dtype=np.int64)[None] + 1, "gain": np.array([1.3], np.float32)}


def test_the_numbers_are_onnxruntimes(runner: ModuleType, graph: Path) -> None:
    expected = onnxruntime.InferenceSession(str(graph)).run(None, given())[0]
    loaded = runner.TorchGraph(graph, "cpu")
    for _ in range(2):  # a run leaves nothing behind
        audio = loaded.run(**given())[0].numpy()
        assert audio.shape == expected.shape
        assert len(audio) > 5 * S
        # onnxruntime rounds each activation to one of 256 levels
        assert np.abs(audio - expected).max() < 0.15


def test_scales_norms_and_sums_are_fused(runner: ModuleType, graph: Path) -> None:
    ops = [node.op for node in runner.TorchGraph(graph, "cpu").nodes if node.on_device]
    assert ops.count("Linear") == ops.count("Conv") == ops.count("Norm") == ops.count("MulAdd") == 1
    assert not {"Sub", "ReduceMean", "Floor", "Add"} & set(ops)


def test_nothing_on_the_host_meets_the_device(runner: ModuleType, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device torch refuses to mix; only the durations come back to the host."""
    downloads: list[torch.Size] = []

    def download(value: torch.Tensor) -> np.ndarray:
        downloads.append(value.shape)
        return np.ones(tuple(value.shape), np.float32)

    monkeypatch.setattr("onnx_on_torch.host_operators.download", download)
    audio = runner.TorchGraph(graph, "meta").run(**given())[0]
    assert audio.device.type == "meta"
    assert audio.shape == (6 * S,)
    assert downloads == [(1, S)]


def test_an_unknown_operator_is_named(runner: ModuleType, tmp_path: Path) -> None:
    path = saved(tmp_path, [helper.make_node("Erf", ["gain"], ["audio"], name="odd")], {})
    with pytest.raises(runner.UnsupportedGraphError, match="odd: operator Erf"):
        runner.TorchGraph(path, "cpu")


@pytest.fixture
def lstm(tmp_path: Path) -> Path:
    """Six steps of three numbers through a quantised bidirectional LSTM."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.integers(-60, 60, (2, 3, 4 * H)).astype(np.int8),
        "r": rng.integers(-60, 60, (2, H, 4 * H)).astype(np.int8),
        "b": rng.normal(size=(2, 8 * H)).astype(np.float32),
        "w_scale": np.array([0.01, 0.02], np.float32),
        "r_scale": np.array([0.015, 0.01], np.float32),
        "zeros": np.zeros(2, np.int8),
        "voices": rng.normal(size=(6, 1, 3)).astype(np.float32),
    }
    names = ["steps", "w", "r", "b", "", "", "", "", "w_scale", "zeros", "r_scale", "zeros"]
    nodes = [
        helper.make_node("Mul", ["voices", "gain"], ["steps"]),
        helper.make_node(
            "DynamicQuantizeLSTM", names, ["audio"], domain="com.microsoft", hidden_size=H, direction="bidirectional"
        ),
    ]
    path = saved(tmp_path, nodes, {name: numpy_helper.from_array(value, name) for name, value in constants.items()})
    model = onnx.load(str(path))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(path))
    return path


def test_an_lstm_is_onnxruntimes(runner: ModuleType, lstm: Path) -> None:
    expected = onnxruntime.InferenceSession(str(lstm)).run(None, given())[0]
    states = runner.TorchGraph(lstm, "cpu").run(**given())[0].numpy()
    assert states.shape == expected.shape == (6, 2, 1, H)
    assert np.abs(states - expected).max() < 0.02


def test_an_lstm_can_run_on_the_processor(runner: ModuleType, lstm: Path) -> None:
    expected = runner.TorchGraph(lstm, "cpu").run(**given())[0]
    assert torch.equal(runner.TorchGraph(lstm, "cpu", recurrent_on="cpu").run(**given())[0], expected)


def test_an_lstm_runs_where_it_is_told_to(runner: ModuleType, lstm: Path) -> None:
    """torch refuses to copy the states back from the meta device."""
    with pytest.raises(NotImplementedError, match="meta tensor"):
        runner.TorchGraph(lstm, "cpu", recurrent_on="meta").run(**given())


def test_kept_values_come_after_the_output(runner: ModuleType, graph: Path) -> None:
    (audio,) = runner.TorchGraph(graph, "cpu").run(**given())
    loaded = runner.TorchGraph(graph, "cpu", keep=("rounded", "ends", "snake"))
    for _ in range(2):
        kept_audio, rounded, ends, snake = loaded.run(**given())
        assert torch.equal(kept_audio, audio)
        assert torch.equal(ends, (rounded.long() ** 2).flatten().cumsum(0))  # made on the host
        assert torch.equal(snake[:, 1].round(), rounded)
        assert len(audio) == snake.numel() + ends[-1]


def test_a_value_that_cannot_be_kept(runner: ModuleType, graph: Path) -> None:
    with pytest.raises(runner.UnsupportedGraphError, match="no such value"):
        runner.TorchGraph(graph, "cpu", keep=("no such value",))
