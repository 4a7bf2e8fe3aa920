"""Cases of the operators that are defined by others, of recurrent layers, resampling,
quantised arithmetic and Einsum, written as `make.py` writes its own:

    pip install onnx onnxruntime numpy
    python make_breadth.py
"""

import itertools

import numpy as np
import make
from make import HERE, T, by_reference, case, f32, families, i64, r, refused, rng

MS = "com.microsoft"


def resampling():
    F = "resampling"
    x = r(1, 2, 4, 5)
    modes = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
    up, down = np.array([1, 1, 2, 1.5], f32), np.array([1, 1, 0.6, 0.8], f32)
    for mode, c in itertools.product(["nearest", "linear", "cubic"], modes):
        for name, s in [("up", up), ("down", down)]:
            case(F, f"Resize_{mode}_{c}_{name}", "Resize", [x, None, s], opset=13, mode=mode,
                 coordinate_transformation_mode=c)
        case(F, f"Resize_{mode}_{c}_sizes", "Resize", [x, None, None, i64(1, 2, 7, 3)], opset=13,
             fixed=(3,), mode=mode, coordinate_transformation_mode=c)
    for n in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
        case(F, f"Resize_rounding_{n}", "Resize", [x, np.zeros(0, f32), np.array([1, 1, 2, 0.5], f32)],
             opset=11, nearest_mode=n)
    case(F, "Resize_symmetric", "Resize", [x, None, np.array([1, 1, 2.3, 0.7], f32)], opset=19,
         mode="linear", coordinate_transformation_mode="half_pixel_symmetric")
    case(F, "Resize_crop", "Resize", [x, np.array([0, 0, 0.2, 0.1, 1, 1, 0.9, 1.3], f32), None,
                                      i64(1, 2, 5, 6)], opset=13, mode="linear", fixed=(3,),
         coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.0)
    case(F, "Resize_exclude", "Resize", [x, None, up], opset=13, mode="cubic", exclude_outside=1,
         cubic_coeff_a=-0.5)
    case(F, "Resize_axes", "Resize", [x, None, None, i64(6, 3)], opset=18, mode="linear", fixed=(3,),
         axes=[2, 3])
    for p in ["not_larger", "not_smaller"]:
        case(F, f"Resize_{p}", "Resize", [x, None, None, i64(7, 8)], opset=18, axes=[2, 3], fixed=(3,),
             keep_aspect_ratio_policy=p, mode="linear")
    for mode in ["linear", "cubic"]:
        case(F, f"Resize_antialias_{mode}", "Resize", [r(1, 1, 9, 9), None, None, i64(1, 1, 4, 5)],
             opset=18, fixed=(3,), mode=mode, antialias=1)
    case(F, "Resize_10", "Resize", [x, up], opset=10, mode="linear")
    case(F, "Resize_10_nearest", "Resize", [x, up], opset=10)
    case(F, "Resize_3d", "Resize", [r(1, 1, 2, 3, 4), None, np.array([1, 1, 2, 2, 2], f32)],
         opset=13, mode="linear")
    case(F, "Resize_u8", "Resize", [rng.integers(0, 255, (1, 1, 3, 3)).astype(np.uint8), None,
                                    np.array([1, 1, 2, 2], f32)], opset=13)
    case(F, "Upsample_7", "Upsample", [x], opset=7, scales=[1.0, 1.0, 2.0, 3.0])
    case(F, "Upsample_7_linear", "Upsample", [x], opset=7, scales=[1.0, 1.0, 2.0, 2.0],
         mode="linear")
    case(F, "Upsample_9", "Upsample", [x, np.array([1, 1, 2, 2], f32)], opset=9)
    grid = r(1, 3, 4, 2, low=-1.3, high=1.3)
    for m, p, a in itertools.product(["bilinear", "nearest", "bicubic"],
                                     ["zeros", "border", "reflection"], [0, 1]):
        case(F, f"GridSample_{m}_{p}_{a}", "GridSample", [r(1, 2, 5, 4), grid], opset=16, mode=m,
             padding_mode=p, align_corners=a)
    case(F, "GridSample_20", "GridSample", [r(1, 2, 5, 4), grid], opset=20, mode="cubic")


def recurrent():
    F = "recurrent"
    n, b, k, u = 4, 3, 2, 3
    for op, gates in [("RNN", 1), ("GRU", 3), ("LSTM", 4)]:
        for d in ["forward", "reverse", "bidirectional"]:
            s = 2 if d == "bidirectional" else 1
            x, w = r(n, b, k), r(s, gates * u, k, low=-1, high=1)
            q, bias = r(s, gates * u, u, low=-1, high=1), r(s, 2 * gates * u, low=-1, high=1)
            out = 3 if op == "LSTM" else 2
            state = [r(s, b, u) for _ in range(out - 1)]
            case(F, f"{op}_{d}", op, [x, w, q], out, opset=14, hidden_size=u, direction=d)
            case(F, f"{op}_{d}_all", op, [x, w, q, bias, None, *state], out, opset=14,
                 hidden_size=u, direction=d)
            lengths = np.array([4, 1, 2], np.int32)
            case(F, f"{op}_{d}_lengths", op, [x, w, q, bias, lengths, *state], out, opset=14,
                 hidden_size=u, direction=d)
        x, w = r(n, b, k), r(1, gates * u, k, low=-1, high=1)
        q, bias = r(1, gates * u, u, low=-1, high=1), r(1, 2 * gates * u, low=-1, high=1)
        case(F, f"{op}_clip", op, [x, w, q, bias], 2, opset=14, hidden_size=u, clip=0.3)
        case(F, f"{op}_layout", op, [r(b, n, k), w, q, bias], 2, opset=14, hidden_size=u, layout=1)
        case(F, f"{op}_opset7", op, [x, w, q, bias], 2, opset=7, hidden_size=u)
    x, w = r(n, b, k), r(1, 3 * u, k)
    q, bias = r(1, 3 * u, u), r(1, 6 * u)
    case(F, "GRU_before", "GRU", [x, w, q, bias], 2, opset=14, hidden_size=u,
         linear_before_reset=1)
    case(F, "RNN_relu", "RNN", [x, r(1, u, k), r(1, u, u)], 2, opset=14, hidden_size=u,
         activations=["Relu"])
    w, q = r(1, 4 * u, k), r(1, 4 * u, u)
    peep = r(1, 3 * u)
    case(F, "LSTM_peepholes", "LSTM", [x, w, q, None, None, None, None, peep], 3, opset=14,
         hidden_size=u)
    case(F, "LSTM_activations", "LSTM", [x, w, q], 3, opset=14, hidden_size=u,
         activations=["HardSigmoid", "Softsign", "Elu"], activation_alpha=[0.3, 1.5],
         activation_beta=[0.4])
    y = r(3, 4, 2)
    case(F, "ReverseSequence", "ReverseSequence", [y, i64(2, 4, 1)], batch_axis=0, time_axis=1)
    case(F, "ReverseSequence_time", "ReverseSequence", [y, i64(2, 3, 1, 0)], batch_axis=1,
         time_axis=0)


def quantised():
    F = "quantised"
    x = r(2, 3, 4, high=3)
    s, z = np.array(0.02, f32), np.array(120, np.uint8)
    case(F, "QuantizeLinear", "QuantizeLinear", [x, s, z], opset=13)
    case(F, "QuantizeLinear_plain", "QuantizeLinear", [x, s], opset=13)
    case(F, "QuantizeLinear_i8", "QuantizeLinear", [x, s, np.array(-3, np.int8)], opset=10)
    ties = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 300, -300], f32)
    case(F, "QuantizeLinear_ties", "QuantizeLinear", [ties, np.array(1, f32), np.array(0, np.int8)])
    sa, za = np.array([0.02, 0.5, 0.1], f32), np.array([120, 3, 0], np.uint8)
    case(F, "QuantizeLinear_axis", "QuantizeLinear", [x, sa, za], opset=13, axis=1)
    q = rng.integers(0, 255, (2, 3, 4)).astype(np.uint8)
    case(F, "DequantizeLinear", "DequantizeLinear", [q, s, z], opset=13)
    case(F, "DequantizeLinear_axis", "DequantizeLinear", [q, sa, za], opset=13, axis=-2)
    case(F, "DequantizeLinear_i32", "DequantizeLinear", [np.arange(-4, 4, dtype=np.int32), s])
    bs, bz = r(2, 3, 2, low=0.01, high=0.2), np.full((2, 3, 2), 9, np.uint8)
    case(F, "DequantizeLinear_blocks", "DequantizeLinear", [q, bs, bz], opset=21, axis=2,
         block_size=2)
    case(F, "QuantizeLinear_blocks", "QuantizeLinear", [x, bs, bz], opset=21, axis=2, block_size=2)
    for name, v in [("", x), ("_positive", abs(x)), ("_zero", np.zeros((2, 2), f32))]:
        case(F, f"DynamicQuantizeLinear{name}", "DynamicQuantizeLinear", [v], 3, opset=11)
    a, b = rng.integers(0, 255, (4, 5)).astype(np.uint8), rng.integers(-128, 127, (5, 3)).astype(np.int8)
    za1, zb1 = np.array(7, np.uint8), np.array(-5, np.int8)
    case(F, "MatMulInteger", "MatMulInteger", [a, b], opset=10)
    case(F, "MatMulInteger_zero", "MatMulInteger", [a, b, za1, zb1], opset=10)
    case(F, "MatMulInteger_columns", "MatMulInteger", [a, b, za1, np.array([1, -2, 3], np.int8)],
         opset=10)
    one = lambda v: np.array(v, f32)
    case(F, "QLinearMatMul", "QLinearMatMul", [a, one(0.02), za1, b, one(0.01), zb1, one(0.3),
                                               np.array(100, np.uint8)], opset=10)
    case(F, "QLinearMatMul_columns", "QLinearMatMul",
         [a, one(0.02), za1, b, np.array([0.01, 0.02, 0.005], f32), np.zeros(3, np.int8),
          one(0.3), np.array(100, np.uint8)], opset=10)
    x8 = rng.integers(0, 255, (1, 4, 5, 5)).astype(np.uint8)
    w8 = rng.integers(-128, 127, (6, 2, 3, 3)).astype(np.int8)
    wu = rng.integers(0, 255, (6, 4, 3, 3)).astype(np.uint8)
    case(F, "ConvInteger", "ConvInteger", [x8, wu, za1, np.array(9, np.uint8)], opset=10,
         pads=[1, 1, 1, 1])
    case(F, "QLinearConv", "QLinearConv",
         [x8, one(0.02), za1, w8, one(0.01), np.array(0, np.int8), one(0.2),
          np.array(90, np.uint8), rng.integers(-900, 900, 6).astype(np.int32)], opset=10, group=2,
         pads=[1, 1, 1, 1], strides=[2, 2], fixed=(3, 8))
    case(F, "QLinearConv_maps", "QLinearConv",
         [x8, one(0.02), za1, w8, r(6, low=0.01, high=0.02), np.zeros(6, np.int8), one(0.2),
          np.array(90, np.uint8)], opset=10, group=2, fixed=(3,))
    pair = [q, s, z, q[:1], np.array(0.05, f32), np.array(3, np.uint8), np.array(0.083, f32),
            np.array(128, np.uint8)]
    for op in ["QLinearAdd", "QLinearMul"]:
        case(F, op, op, pair, domain=MS)
    case(F, "QLinearGlobalAveragePool", "QLinearGlobalAveragePool", [x8, s, z, one(0.03), z],
         domain=MS)


def composed():
    F = "composed"
    x = r(2, 6, 4, 3)
    case(F, "GroupNormalization_18", "GroupNormalization", [x, r(3), r(3)], opset=18, num_groups=3)
    case(F, "GroupNormalization_21", "GroupNormalization", [x, r(6), r(6)], opset=21, num_groups=2)
    case(F, "MeanVarianceNormalization", "MeanVarianceNormalization", [x], opset=13)
    case(F, "MeanVarianceNormalization_axes", "MeanVarianceNormalization", [x], opset=9,
         axes=[1, 2])
    case(F, "RMSNormalization", "RMSNormalization", [x, r(3)], opset=23)
    case(F, "RMSNormalization_axes", "RMSNormalization", [x, r(4, 3)], opset=23, axis=-2)
    case(F, "RMSNormalization_front", "RMSNormalization", [x, r(4, 3)], opset=23, axis=2)
    for p in [1, 2]:
        case(F, f"LpNormalization_{p}", "LpNormalization", [x], p=p, axis=1)
        case(F, f"LpPool_{p}", "LpPool", [x], opset=11, p=p, kernel_shape=[2, 2], strides=[2, 1],
             pads=[1, 0, 0, 1])
        case(F, f"GlobalLpPool_{p}", "GlobalLpPool", [x], p=p)
    case(F, "LpPool_3", "LpPool", [x], opset=11, p=3, kernel_shape=[2, 2])
    case(F, "Shrink", "Shrink", [x], lambd=0.7, bias=0.2)
    case(F, "Swish", "Swish", [x], opset=24, alpha=1.3)
    for op, low, high in [("Tan", -1, 1), ("Asin", -1, 1), ("Acos", -1, 1), ("Atan", -2, 2),
                          ("Sinh", -2, 2), ("Cosh", -2, 2), ("Asinh", -2, 2), ("Acosh", 1, 3),
                          ("Atanh", -0.9, 0.9)]:
        case(F, op, op, [r(9, low=low, high=high)])
    t = np.round(r(3, 4, 2))
    case(F, "Hardmax", "Hardmax", [t], opset=13, axis=1)
    case(F, "Hardmax_11", "Hardmax", [t], opset=11, axis=1)
    case(F, "EyeLike", "EyeLike", [r(3, 4)], k=1)
    case(F, "EyeLike_i64", "EyeLike", [r(3, 4)], dtype=int(T.INT64))
    case(F, "Scatter", "Scatter", [r(3, 3), i64(2, 0, 1).reshape(1, 3), r(1, 3)], opset=9)
    case(F, "GatherND_batch", "GatherND", [r(2, 3, 4), i64(1, 2).reshape(2, 1)], opset=13,
         batch_dims=1)
    case(F, "GatherND_batch_deep", "GatherND", [r(2, 3, 4, 2), i64(1, 2, 0, 3).reshape(2, 1, 2)],
         opset=13, batch_dims=1)
    for name, eq, shapes in [
            ("product", "ij,jk->ik", [(2, 3), (3, 4)]), ("batch", "bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
            ("dots", "...ij,...jk->...ik", [(2, 2, 3), (3, 2)]), ("trace", "ii->", [(3, 3)]),
            ("diagonal", "ii->i", [(3, 3)]), ("implicit", "ij,jk", [(2, 3), (3, 2)]),
            ("transpose", "ijk->kij", [(2, 3, 4)]), ("sum", "ijk->j", [(2, 3, 4)]),
            ("outer", "i,j->ij", [(2,), (3,)]), ("heads", "bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]),
            ("three", "ij,jk,kl->il", [(2, 3), (3, 2), (2, 2)]), ("spaced", " i j , j k -> i k ", [(2, 3), (3, 2)])]:
        case(F, f"Einsum_{name}", "Einsum", [r(*s) for s in shapes], opset=12, equation=eq)
    q, k, v = r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 6)
    case(F, "Attention", "Attention", [q, k, v], opset=23)
    case(F, "Attention_scale", "Attention", [q, k, v], opset=23, scale=0.3, softcap=1.5)
    case(F, "Attention_causal", "Attention", [q, k, v], opset=23, is_causal=1)
    case(F, "Attention_mask", "Attention", [q, k, v, r(4, 5)], opset=23)
    m = rng.random((4, 5)) > 0.3
    m[:, 0] = True
    case(F, "Attention_bool", "Attention", [q, k, v, m], opset=23)
    flat = [r(2, 4, 24), r(2, 5, 24), r(2, 5, 24)]
    case(F, "Attention_flat", "Attention", flat, opset=23, q_num_heads=3, kv_num_heads=3)
    case(F, "Attention_grouped", "Attention", [r(2, 4, 24), r(2, 5, 8), r(2, 5, 8)], opset=23,
         q_num_heads=6, kv_num_heads=2)
    places = i64(0, 1, 2, 3, 1, 2, 3, 4).reshape(2, 4)
    c = [r(7, 4), r(7, 4)]
    case(F, "RotaryEmbedding", "RotaryEmbedding", [r(2, 3, 4, 8), *c, places], opset=23)
    case(F, "RotaryEmbedding_flat", "RotaryEmbedding", [r(2, 4, 24), *c, places], opset=23,
         num_heads=3)
    case(F, "RotaryEmbedding_part", "RotaryEmbedding", [r(2, 3, 4, 12), *c, places], opset=23,
         rotary_embedding_dim=8)
    case(F, "RotaryEmbedding_own", "RotaryEmbedding", [r(2, 3, 4, 8), r(2, 4, 4), r(2, 4, 4)],
         opset=23)
    case(F, "RotaryEmbedding_interleaved", "RotaryEmbedding", [r(2, 3, 4, 12), *c, places],
         opset=23, rotary_embedding_dim=8, interleaved=1)
    y = r(2, 3, 8)
    case(F, "ms_Gelu", "Gelu", [y], domain=MS)
    case(F, "ms_BiasGelu", "BiasGelu", [y, r(8)], domain=MS)
    case(F, "ms_FastGelu", "FastGelu", [y, r(8)], domain=MS)
    case(F, "ms_QuickGelu", "QuickGelu", [y], domain=MS)
    case(F, "ms_SkipLayerNormalization", "SkipLayerNormalization", [y, r(2, 3, 8), r(8), r(8), r(8)],
         domain=MS, epsilon=1e-5)
    case(F, "ms_FusedMatMul", "FusedMatMul", [r(2, 3), r(4, 3)], domain=MS, transB=1, alpha=0.5,
         fixed=(1,))
    case(F, "ms_FusedConv", "FusedConv", [r(1, 2, 4, 4), r(3, 2, 2, 2), r(3)], domain=MS,
         activation="LeakyRelu", activation_params=[0.3])


def differences():
    """What an engine was found to read otherwise than ONNX asks."""
    F = "differences"
    q, k, v = r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 6)
    hiding = np.where(make.rng.random((4, 5)) > 0.5, 0, -np.inf).astype(f32)
    hiding[:, 0] = 0
    case(F, "Attention_cap_mask", "Attention", [q, k, v, hiding], opset=23, fixed=(3,), softcap=0.5)
    blind = make.rng.random((4, 5)) > 0.4
    blind[2] = False
    case(F, "Attention_blind", "Attention", [q, k, v, blind], opset=23, fixed=(3,))
    case(F, "Attention_blind_causal", "Attention", [q, k, v, np.eye(4, 5) > 0], opset=24, fixed=(3,),
         is_causal=1)
    case(F, "Attention_left", "Attention", [q, k, v], opset=25, is_causal=1, left_window_size=1)
    case(F, "Attention_both", "Attention", [q, k, v], opset=25, left_window_size=1,
         right_window_size=2)
    case(F, "Attention_right", "Attention", [q, k, v], opset=25, right_window_size=1)
    x = r(2, 3, 6, 7)
    for op in ["MaxPool", "AveragePool"]:
        case(F, f"{op}_plain", op, [x], kernel_shape=[2, 3])
        case(F, f"{op}_lower", op, [x], kernel_shape=[2, 4], strides=[1, 2], auto_pad="SAME_LOWER")
        case(F, f"{op}_3d", op, [r(1, 2, 3, 4, 5)], kernel_shape=[2, 2, 2], strides=[1, 1, 1])
    case(F, "Conv_lower", "Conv", [x, r(2, 3, 2, 4)], fixed=(1,), kernel_shape=[2, 4],
         auto_pad="SAME_LOWER")
    case(F, "Conv_3d", "Conv", [r(1, 2, 3, 4, 5), r(3, 2, 2, 2, 2)], fixed=(1,))
    case(F, "ConvTranspose_lower", "ConvTranspose", [x, r(3, 2, 3, 4)], fixed=(1,), strides=[2, 2],
         auto_pad="SAME_LOWER")
    case(F, "ConvTranspose_3d", "ConvTranspose", [r(1, 2, 2, 3, 3), r(2, 2, 2, 2, 2)], fixed=(1,))
    s, z = np.array([0.02, 0.5, 0.1], f32), np.array([120, 3, 0], np.uint8)
    case(F, "QuantizeLinear_no_axis", "QuantizeLinear", [r(2, 3, 3, high=3), s, z], opset=13,
         fixed=(1, 2))
    case(F, "Softplus_far", "Softplus", [np.array([-200, -89, -1, 0, 1, 88, 89, 200], f32)])
    case(F, "Pow_whole", "Pow", [r(2, 3), i64(2, 3, 0)], fixed=(1,))
    case(F, "Pow_whole_32", "Pow", [r(2, 3), np.array(3, np.int32)], fixed=(1,))
    case(F, "Pow_whole_both", "Pow", [i64(2, -3, 5), i64(2)], fixed=(1,))
    x8 = make.rng.integers(0, 255, (1, 2, 4, 5)).astype(np.uint8)
    w8 = make.rng.integers(-128, 127, (3, 2, 3, 3)).astype(np.int8)
    case(F, "ConvInteger_padded", "ConvInteger", [x8, w8, np.array(97, np.uint8)], opset=10,
         fixed=(1, 2), pads=[1, 1, 1, 1])
    case(F, "LayerNormalization_mean", "LayerNormalization", [r(2, 3, 4), r(4), r(4)], 2, fixed=(1, 2))


def main():
    for family in [resampling, recurrent, quantised, composed, differences]:
        make.rng = np.random.default_rng(20261123)
        family()
    cases = 0
    for name, arrays in families.items():
        np.savez_compressed(HERE / f"{name}.npz", **arrays)
        cases += sum(k.endswith("/model") for k in arrays)
    print(f"{cases} cases")
    print("by onnx.reference:", *by_reference, sep="\n  ")
    print("left out, refused by both:", *refused, sep="\n  ")


if __name__ == "__main__":
    main()
