"""Networks as PyTorch's two exporters, Keras and ONNX Runtime's quantiser write them, beyond the
first ones of make_zoo.py, which registers this module's makers.

    python make_zoo.py --only lstm_ts14 ...

Gradients are PyTorch's own, in float64, of the module that was exported; the quantised models
carry none, since their true gradient is zero.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def register(zoo, Entry, Scored, torch_entry, export_torch, rows):
    class Recurrent(Scored):
        """A sequence of five steps; the last state decides."""

        def __init__(self, kind, both=False, relu=False):
            super().__init__()
            more = {"nonlinearity": "relu"} if relu else {}
            self.body = kind(4, 6, batch_first=True, bidirectional=both, **more)
            self.last = nn.Linear(12 if both else 6, 3)

        def logits(self, x):
            y, _ = self.body(x)
            return self.last(torch.cat([y[:, -1], y[:, 0]], 1)[:, -self.last.in_features:])

    def recurrent(name, kind, exporter, opset, notes, **more):
        def make():
            return torch_entry(lambda: Recurrent(kind, **more), {"x": (5, 4)}, exporter, opset,
                               "logit", notes, -1, 1)
        make.__name__ = name
        zoo(make)

    recurrent("lstm_ts14", nn.LSTM, "torchscript", 14, "LSTM over five steps")
    recurrent("lstm_dynamo18", nn.LSTM, "dynamo", 18, "LSTM by the newer exporter")
    recurrent("lstm_both_ts17", nn.LSTM, "torchscript", 17, "LSTM in both directions", both=True)
    recurrent("gru_both_ts17", nn.GRU, "torchscript", 17,
              "GRU in both directions, linear before reset", both=True)
    recurrent("gru_dynamo18", nn.GRU, "dynamo", 18, "GRU by the newer exporter")
    recurrent("rnn_relu_ts11", nn.RNN, "torchscript", 11, "RNN with Relu", relu=True)

    class Encoder(Scored):
        """Tokens of four numbers through a transformer encoder, averaged."""

        def __init__(self, activation="gelu"):
            super().__init__()
            self.enter = nn.Linear(4, 8)
            self.place = nn.Parameter(torch.randn(1, 6, 8) * 0.3)
            layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=activation,
                                               batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.last = nn.Linear(8, 3)

        def logits(self, x):
            return self.last(self.body(self.enter(x) + self.place).mean(1))

    class Attending(Scored):
        """Scaled dot-product attention by torch's own function, causal, in two heads."""

        def __init__(self):
            super().__init__()
            self.enter, self.last = nn.Linear(4, 24), nn.Linear(8, 3)

        def logits(self, x):
            q, k, v = self.enter(x).chunk(3, -1)
            split = lambda t: t.reshape(-1, 6, 2, 4).transpose(1, 2)
            y = functional.scaled_dot_product_attention(split(q), split(k), split(v),
                                                        is_causal=True)
            return self.last(y.transpose(1, 2).reshape(-1, 6, 8)[:, -1])

    def tokens(name, build, exporter, opset, notes):
        def make():
            return torch_entry(build, {"x": (6, 4)}, exporter, opset, "logit", notes, -1, 1)
        make.__name__ = name
        zoo(make)

    tokens("encoder_ts17", Encoder, "torchscript", 17, "nn.TransformerEncoder, two layers")
    tokens("encoder_dynamo18", Encoder, "dynamo", 18, "nn.TransformerEncoder, newer exporter")
    tokens("attention_ts14", Attending, "torchscript", 14, "scaled_dot_product_attention, causal")
    tokens("attention_dynamo20", Attending, "dynamo", 20, "scaled_dot_product_attention, causal")
    tokens("attention_dynamo23", Attending, "dynamo", 23, "the operator Attention of opset 23")

    class Patches(Scored):
        """A small vision transformer: patches, a class token, attention, a perceptron."""

        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(1, 8, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 8) * 0.3)
            self.place = nn.Parameter(torch.randn(1, 5, 8) * 0.3)
            self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.mix = nn.Sequential(nn.Linear(8, 16), nn.GELU(approximate="tanh"),
                                     nn.Linear(16, 8))
            self.last = nn.Linear(8, 3)

        def logits(self, image):
            x = self.patch(image).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
            y = self.first(x)
            x = x + self.attention(y, y, y, need_weights=False)[0]
            x = x + self.mix(self.second(x))
            return self.last(x[:, 0])

    class Waist(Scored):
        """Down and up again with a skip: transposed convolutions and resampling."""

        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 4, 3, 2, 1)
            self.low = nn.Conv2d(4, 6, 3, 2, 1)
            self.up = nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1)
            self.wide = nn.ConvTranspose2d(4, 4, 2, 2, groups=2)
            self.last = nn.Linear(4 * 4, 3)

        def logits(self, image):
            a = torch.relu(self.down(image))
            b = torch.relu(self.low(a))
            c = self.up(b) + a
            d = functional.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
            e = self.wide(c) + d
            e = functional.interpolate(e, size=(4, 4), mode="bilinear", align_corners=True)
            f = functional.interpolate(e, scale_factor=2, mode="nearest")
            return self.last(functional.avg_pool2d(f, 4).flatten(1))

    class Wide(Scored):
        """Dilated, grouped and depthwise convolutions, one dimension among them."""

        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(1, 8, 3, padding=2, dilation=2)
            self.b = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.c = nn.Conv2d(8, 8, 1, groups=2)
            self.d = nn.Conv2d(8, 4, 3, stride=2, padding=2, dilation=2, groups=4)
            self.e = nn.Conv1d(4, 4, 3, padding=4, dilation=4, padding_mode="reflect")
            self.last = nn.Linear(16, 3)

        def logits(self, image):
            x = torch.tanh(self.c(self.b(torch.tanh(self.a(image)))))
            x = self.e(self.d(x).flatten(2))
            return self.last(functional.max_pool1d(x, 4).flatten(1))

    class Normal(Scored):
        """Every normalisation that works row by row."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3)
            self.group, self.each = nn.GroupNorm(3, 6), nn.InstanceNorm2d(6, affine=True)
            self.layer, self.last = nn.LayerNorm([6, 6, 6]), nn.Linear(6, 3)

        def logits(self, image):
            x = self.layer(torch.tanh(self.group(self.conv(image))))
            x = functional.normalize(torch.tanh(self.each(x)).mean((2, 3)), dim=1)
            return self.last(x) * 3

    class Bends(Scored):
        """One of each activation."""

        def __init__(self):
            super().__init__()
            kinds = [nn.PReLU(8), nn.SELU(), nn.Mish(), nn.Hardswish(), nn.SiLU(), nn.GELU(),
                     nn.CELU(0.7), nn.Softplus(), nn.Hardsigmoid(), nn.Softsign(), nn.ReLU6()]
            layers = []
            for kind in kinds:
                layers += [nn.Linear(8, 8), kind]
            # Eleven layers in a row would leave nothing of a gradient.
            self.steps, self.last = nn.ModuleList(layers), nn.Linear(8, 3)

        def logits(self, x):
            for linear, bend in zip(self.steps[::2], self.steps[1::2]):
                x = x + bend(linear(x))
            return self.last(x)

    class Picks(Scored):
        """Indices: gather, scatter, sorting, running sums, products by letters."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 6, 4) * 0.4)
            self.register_buffer("order", torch.tensor([[4, 1, 1, 0, 5, 2]]))
            self.last = nn.Linear(17, 3)

        def logits(self, x):
            a = torch.gather(x, 1, self.order.expand(x.shape[0], -1))
            b = torch.einsum("ni,kij->nkj", a, self.weight).flatten(1)
            c = torch.topk(x, 2, 1).values
            d = torch.cumsum(x, 1)[:, 2:5] * torch.tril(torch.ones(1, 3, 3))[0, 2]
            return self.last(torch.tanh(torch.cat([b, c, torch.where(d > 0, d, d * 0.1)], 1)))

    def images(name, build, exporter, opset, notes):
        def make():
            return torch_entry(build, {"image": (1, 8, 8)}, exporter, opset, "logit", notes)
        make.__name__ = name
        zoo(make)

    def lines(name, build, width, exporter, opset, notes):
        def make():
            return torch_entry(build, {"x": (width,)}, exporter, opset, "logit", notes, -1, 1)
        make.__name__ = name
        zoo(make)

    images("patches_ts17", Patches, "torchscript", 17, "small vision transformer")
    images("patches_dynamo20", Patches, "dynamo", 20, "the same, Gelu as an operator")
    images("waist_ts11", Waist, "torchscript", 11, "ConvTranspose and Resize")
    images("waist_dynamo18", Waist, "dynamo", 18, "ConvTranspose and Resize, newer exporter")
    images("wide_ts13", Wide, "torchscript", 13, "dilated and grouped Conv, Pad by reflection")
    images("normal_ts17", Normal, "torchscript", 17, "group, instance and layer normalisation")
    images("normal_dynamo21", Normal, "dynamo", 21, "GroupNormalization of opset 21")
    lines("bends_ts17", Bends, 8, "torchscript", 17, "eleven activations")
    lines("bends_dynamo20", Bends, 8, "dynamo", 20, "eleven activations, newer exporter")
    lines("picks_ts17", Picks, 6, "torchscript", 17, "Einsum, GatherElements, TopK, CumSum")
    lines("picks_dynamo18", Picks, 6, "dynamo", 18, "the same by the newer exporter")

    class Plain(Scored):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.last = nn.Linear(6 * 4, 3)

        def logits(self, image):
            x = functional.max_pool2d(torch.relu(self.a(image)), 2)
            x = functional.interpolate(torch.relu(self.b(x)), scale_factor=2, mode="nearest")
            return self.last(functional.avg_pool2d(x, 4).flatten(1))

    for opset in (9, 10):
        images(f"plain_ts{opset}", Plain, "torchscript", opset, "an old opset: Upsample or Resize")

    @zoo
    def plain_fixed_ts13():
        """Written for one batch size."""
        entry = torch_entry(Plain, {"image": (1, 8, 8)}, "torchscript", 13, "logit",
                            "fixed batch of 16")
        with tempfile.TemporaryDirectory() as folder:
            import onnx

            path = Path(folder) / "model.onnx"
            sample = torch.from_numpy(entry.inputs["image"][:16])
            torch.onnx.export(entry.module, (sample,), str(path), dynamo=False, opset_version=13,
                              input_names=["image"], output_names=["logits"])
            entry.proto = onnx.load(path)
        entry.batch = 16
        return entry

    class Samples:
        def __init__(self, inputs):
            name, rows = next(iter(inputs.items()))
            self.feeds = iter([{name: rows[i:i + 8]} for i in range(0, len(rows), 8)])

        def get_next(self):
            return next(self.feeds, None)

    def quantised(name, form, notes, **more):
        def make():
            import onnx
            from onnxruntime import quantization as q

            entry = torch_entry(Plain, {"image": (1, 8, 8)}, "torchscript", 13, "logit", notes)
            with tempfile.TemporaryDirectory() as folder:
                path, out = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
                onnx.save(entry.proto, path)
                q.quantize_static(path, out, Samples(entry.inputs), quant_format=form(q), **more)
                entry.proto = onnx.load(out)
            entry.exporter, entry.module, entry.near = "onnxruntime.quantization", None, None
            entry.full_check = False
            return entry
        make.__name__ = name
        zoo(make)

    quantised("quantised_qdq", lambda q: q.QuantFormat.QDQ, "QuantizeLinear and DequantizeLinear",
              per_channel=True)
    quantised("quantised_operators", lambda q: q.QuantFormat.QOperator, "QLinearConv and others")

    def keras(name, layers, shape, notes, differentiated=True):
        def make():
            os.environ["KERAS_BACKEND"] = "torch"
            import keras
            import onnx

            keras.utils.set_random_seed(20261122)
            model = keras.Sequential([keras.Input(shape), *layers(keras)])

            class Kept(Scored):
                def __init__(self):
                    super().__init__()
                    self.body = model

                def logits(self, x):
                    return self.body(x)

            entry = torch_entry(Kept, {"x": shape}, "dynamo", 18, "logit", notes, -1, 1)
            if not differentiated:
                # Keras casts to float32 inside, so float64 says nothing.
                entry.module = None
            return entry
        make.__name__ = name
        zoo(make)

    keras("keras_lstm_torch", lambda k: [k.layers.LSTM(6), k.layers.Dense(3)], (5, 4),
          "Keras 3 on PyTorch: LSTM written out by the exporter")
    keras("keras_series_torch",
          lambda k: [k.layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="gelu"),
                     k.layers.LayerNormalization(), k.layers.GlobalAveragePooling1D(),
                     k.layers.Dense(3)], (12, 3), "Keras 3 on PyTorch: causal Conv1D", differentiated=False)
