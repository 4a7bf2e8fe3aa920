"""Writes cases for the reference interpreter: tiny ONNX models, inputs, and the outputs of
ONNX Runtime (of onnx.reference where ONNX Runtime has no kernel; those are listed at the end).

    pip install onnx onnxruntime numpy scikit-learn skl2onnx
    python make.py

One .npz per family; the keys of a case are NAME/model (bytes), NAME/in/INPUT, NAME/out/OUTPUT,
and for lists of maps NAME/keys/OUTPUT and NAME/maps/OUTPUT (rows, keys).
"""

import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
ML = "ai.onnx.ml"
rng = np.random.default_rng(20261122)
f32 = np.float32
families, by_reference, refused = {}, [], []


def r(*shape, low=-2.0, high=2.0, dtype=f32):
    return rng.uniform(low, high, shape).astype(dtype)


def i64(*v):
    return np.array(v, dtype=np.int64)


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def record(family, name, model, inputs):
    names = [o.name for o in onnx.load_from_string(model).graph.output]
    try:
        outputs = session(model).run(names, inputs)
    except Exception as e:
        why = f"{family}/{name}: {str(e)[:100]}"
        try:
            outputs = ReferenceEvaluator(onnx.load_from_string(model)).run(names, inputs)
            by_reference.append(why)
        except Exception:
            refused.append(why)
            return
    store = families.setdefault(family, {})
    assert f"{name}/model" not in store, name
    store[f"{name}/model"] = np.frombuffer(model, dtype=np.uint8)
    for key, value in inputs.items():
        store[f"{name}/in/{key}"] = text(value)
    for key, value in zip(names, outputs):
        if isinstance(value, list):
            keys = sorted(value[0], key=str)
            store[f"{name}/keys/{key}"] = np.array([str(k) for k in keys])
            store[f"{name}/maps/{key}"] = np.array([[m[k] for k in keys] for m in value], f32)
        else:
            store[f"{name}/out/{key}"] = text(np.asarray(value))


def text(a):
    return a.astype(str) if a.dtype == object else a


def case(family, name, op, inputs, outputs=1, opset=17, domain="", ml=3, fixed=(), **attrs):
    """One node. `inputs`: arrays, None for an omitted one; those in `fixed` become initialisers."""
    names = [None if v is None else f"i{k}" for k, v in enumerate(inputs)]
    node = h.make_node(op, [n or "" for n in names], [f"o{k}" for k in range(outputs)],
                       domain=domain, **attrs)
    info, feeds, consts = [], {}, []
    for k, v in enumerate(inputs):
        if v is None:
            continue
        if k in fixed:
            consts.append(nh.from_array(v, names[k]))
            continue
        kind = T.STRING if v.dtype.kind in "OU" else h.np_dtype_to_tensor_dtype(v.dtype)
        info.append(h.make_tensor_value_info(names[k], kind, [None] * v.ndim))
        feeds[names[k]] = v.astype(object) if v.dtype.kind == "U" else v
    outs = [onnx.ValueInfoProto(name=f"o{k}") for k in range(outputs)]
    graph = h.make_graph([node], "g", info, outs, consts)
    versions = {ML: ml, "com.microsoft": 1}
    imports = [h.make_opsetid("", opset)]
    imports += [h.make_opsetid(domain, versions[domain])] if domain else []
    model = h.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10)
    record(family, name, model.SerializeToString(), feeds)


def arithmetic():
    F = "arithmetic"
    a, b = r(2, 3, 4), r(2, 3, 4)
    for op in ["Add", "Sub", "Mul", "Div"]:
        case(F, f"{op}_same", op, [a, b])
        case(F, f"{op}_row", op, [a, r(4)])
        case(F, f"{op}_both", op, [r(3, 1), r(2, 1, 4)])
        case(F, f"{op}_scalar", op, [a, np.array(1.5, f32)])
        case(F, f"{op}_i64", op, [i64(7, -7, 9), i64(2, 2, -4)])
        case(F, f"{op}_i32", op, [np.array([7, -8], np.int32), np.array([3], np.int32)])
        case(F, f"{op}_f64", op, [a.astype(float), b.astype(float)])
        case(F, f"{op}_opset7", op, [a, r(3, 1)], opset=7)
    case(F, "Add_u8", "Add", [np.array([250], np.uint8), np.array([10], np.uint8)], opset=14)
    case(F, "Pow", "Pow", [abs(a), r(4)])
    for e in [2.0, 3.0, 0.5, -1.0]:
        case(F, f"Pow_{e}", "Pow", [abs(a) + 0.1, np.array(e, f32)])
    case(F, "Pow_negative", "Pow", [a, np.array(3, np.int64)])
    case(F, "Pow_int", "Pow", [i64(2, 3, -4), i64(3, 2, 3)])
    case(F, "Mod_int", "Mod", [i64(-4, 7, 5, 4, -7, 8), i64(2, -3, 8, -2, 3, 5)])
    case(F, "Mod_fmod", "Mod", [r(6), r(6)], fmod=1)
    case(F, "Mod_fmod_int", "Mod", [i64(-4, 7, 5, 4, -7, 8), i64(2, -3, 8, -2, 3, 5)], fmod=1)
    for op in ["Sum", "Mean", "Max", "Min"]:
        case(F, f"{op}_three", op, [a, b, r(4)])
        case(F, f"{op}_one", op, [a])
    nan = np.array([1, np.nan, 2, np.nan], f32)
    case(F, "Max_nan", "Max", [nan, np.array([np.nan, 1, 3, 0], f32)])
    case(F, "Min_nan", "Min", [nan, np.array([np.nan, 1, 3, 0], f32)])
    case(F, "Max_i64", "Max", [i64(1, 5), i64(3, 2)])
    for op in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]:
        x = np.array([[1, 2, np.nan], [0, -1, 3]], f32)
        case(F, f"{op}", op, [x, np.array([1, 3, 3], f32)])
        case(F, f"{op}_i64", op, [i64(1, 2, 3), i64(2, 2, 2)])
    case(F, "Equal_text", "Equal", [np.array(["a", "b"]), np.array(["a", "c"])], opset=19)
    case(F, "Equal_bool", "Equal", [np.array([True, False]), np.array([True, True])])
    p, q = np.array([True, True, False, False]), np.array([True, False, True, False])
    for op in ["And", "Or", "Xor"]:
        case(F, op, op, [p, q])
    case(F, "Not", "Not", [p])
    case(F, "Where", "Where", [rng.random((2, 3, 4)) > 0.5, a, b])
    case(F, "Where_broadcast", "Where", [rng.random((3, 1)) > 0.5, a, r(4)])
    case(F, "Where_i64", "Where", [p, i64(1, 2, 3, 4), i64(5)])
    case(F, "Where_text", "Where", [p[:2], np.array(["a", "b"]), np.array(["c", "d"])])
    odd = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1.5, -2.5], f32)
    case(F, "IsNaN", "IsNaN", [odd])
    case(F, "IsInf", "IsInf", [odd])
    case(F, "IsInf_positive", "IsInf", [odd], detect_negative=0)
    case(F, "IsInf_negative", "IsInf", [odd], detect_positive=0)
    case(F, "Add_empty", "Add", [np.zeros((0, 3), f32), r(3)])


def functions():
    F = "functions"
    x = np.concatenate([r(40, low=-4, high=4), np.array([0, -0.0, 1, -1, 20, -20, 0.5, 1.5, 2.5], f32)])
    for op in ["Abs", "Neg", "Relu", "Sign", "Floor", "Ceil", "Round", "Exp", "Sigmoid", "Tanh",
               "Softplus", "Softsign", "HardSwish", "Erf", "Reciprocal", "Identity", "LeakyRelu",
               "Elu", "Selu", "Celu", "HardSigmoid", "ThresholdedRelu", "Sin", "Cos"]:
        case(F, op, op, [x[x != 0] if op == "Reciprocal" else x])
    case(F, "Mish", "Mish", [x], opset=18)
    case(F, "Sqrt", "Sqrt", [abs(x)])
    case(F, "Log", "Log", [abs(x) + 0.01])
    for op in ["Abs", "Neg", "Sign", "Relu"]:
        case(F, f"{op}_i64", op, [i64(-3, 0, 5)])
    for op in ["Exp", "Sigmoid", "Tanh", "Erf", "Softplus"]:
        case(F, f"{op}_f64", op, [x.astype(float)])
    case(F, "Relu_nan", "Relu", [np.array([np.nan, -np.inf, np.inf], f32)])
    case(F, "LeakyRelu_alpha", "LeakyRelu", [x], alpha=0.3)
    case(F, "Elu_alpha", "Elu", [x], alpha=1.7)
    case(F, "Celu_alpha", "Celu", [x], alpha=0.6)
    case(F, "Selu_both", "Selu", [x], alpha=1.2, gamma=2.0)
    case(F, "HardSigmoid_both", "HardSigmoid", [x], alpha=0.4, beta=0.1)
    case(F, "Gelu", "Gelu", [x], opset=20)
    case(F, "Gelu_tanh", "Gelu", [x], opset=20, approximate="tanh")
    case(F, "PRelu", "PRelu", [r(2, 3, 4), r(3, 1)])
    case(F, "PRelu_scalar", "PRelu", [r(2, 3), r(1)])
    case(F, "Clip_attributes", "Clip", [x], opset=6 + 1, min=-0.5, max=0.75)
    case(F, "Clip_inputs", "Clip", [x, np.array(-0.5, f32), np.array(0.75, f32)], opset=13)
    case(F, "Clip_low", "Clip", [x, np.array(-0.5, f32)])
    case(F, "Clip_high", "Clip", [x, None, np.array(0.5, f32)])
    case(F, "Clip_none", "Clip", [x])
    case(F, "Clip_i64", "Clip", [i64(-3, 0, 5), np.array(-1), np.array(2)])
    case(F, "Dropout", "Dropout", [x], opset=12)
    case(F, "Dropout_mask", "Dropout", [x], outputs=2, opset=13)
    case(F, "Dropout_opset7", "Dropout", [x], opset=7, ratio=0.4)
    for axis in [None, 0, 1, -1]:
        for op in ["Softmax", "LogSoftmax"]:
            attrs = {} if axis is None else {"axis": axis}
            case(F, f"{op}_13_{axis}", op, [r(2, 3, 4) * 5], opset=13, **attrs)
            if axis != -1:
                case(F, f"{op}_11_{axis}", op, [r(2, 3, 4) * 5], opset=11, **attrs)
    case(F, "Softmax_large", "Softmax", [np.array([[1000, 1001, 999]], f32)])
    y = np.array([0.0, 1.5, -2.7, 300.9, 3e9, np.nan], f32)
    for kind in [T.INT64, T.INT32, T.BOOL, T.DOUBLE, T.FLOAT]:
        case(F, f"Cast_float_{kind}", "Cast", [y[:4]], to=kind)
        case(F, f"Cast_i64_{kind}", "Cast", [i64(-2, 0, 7)], to=kind)
        case(F, f"Cast_bool_{kind}", "Cast", [np.array([True, False])], to=kind)
    case(F, "Cast_u8", "Cast", [np.array([0, 1.9, 200.0], f32)], to=T.UINT8)
    case(F, "Cast_i8", "Cast", [i64(0, -5, 100)], to=T.INT8)
    case(F, "Cast_text", "Cast", [i64(0, -5, 100)], to=T.STRING)
    case(F, "Cast_float_text", "Cast", [np.array([0.5, 1, -2.25], f32)], to=T.STRING)
    case(F, "Cast_text_float", "Cast", [np.array(["1.5", "-2", "1e3"])], to=T.FLOAT)
    case(F, "Cast_text_int", "Cast", [np.array(["15", "-2"])], to=T.INT64)
    case(F, "CastLike", "CastLike", [r(3) * 9, i64(1)], opset=15)


def products():
    F = "products"
    a, b, c = r(4, 5), r(5, 3), r(4, 3)
    case(F, "Gemm", "Gemm", [a, b, c])
    case(F, "Gemm_two", "Gemm", [a, b], opset=11)
    case(F, "Gemm_scaled", "Gemm", [a, b, r(3)], alpha=0.5, beta=2.0)
    case(F, "Gemm_transposed", "Gemm", [a.T.copy(), b.T.copy(), r(1)], transA=1, transB=1)
    case(F, "Gemm_column", "Gemm", [a, b.T.copy(), r(4, 1)], transB=1)
    case(F, "Gemm_deep", "Gemm", [r(3, 700), r(9, 700), r(9)], transB=1)
    case(F, "Gemm_f64", "Gemm", [a.astype(float), b.astype(float)])
    case(F, "Gemm_empty", "Gemm", [np.zeros((0, 5), f32), b])
    case(F, "MatMul", "MatMul", [a, b])
    case(F, "MatMul_batch", "MatMul", [r(2, 3, 4, 5), r(2, 3, 5, 2)])
    case(F, "MatMul_broadcast", "MatMul", [r(2, 1, 4, 5), r(3, 5, 2)])
    case(F, "MatMul_right", "MatMul", [r(2, 3, 4, 5), b])
    case(F, "MatMul_left", "MatMul", [a, r(2, 5, 2)])
    case(F, "MatMul_vectors", "MatMul", [r(5), r(5)])
    case(F, "MatMul_vector_left", "MatMul", [r(5), r(2, 5, 3)])
    case(F, "MatMul_vector_right", "MatMul", [r(2, 4, 5), r(5)])


def convolutions():
    F = "convolutions"
    x, w, b = r(2, 4, 7, 6), r(6, 4, 3, 3), r(6)
    case(F, "Conv", "Conv", [x, w, b])
    case(F, "Conv_no_bias", "Conv", [x, w])
    case(F, "Conv_pads", "Conv", [x, w, b], pads=[1, 2, 0, 1], kernel_shape=[3, 3])
    case(F, "Conv_strides", "Conv", [x, w, b], strides=[2, 3], pads=[1, 1, 1, 1])
    case(F, "Conv_dilations", "Conv", [x, w, b], dilations=[2, 2], pads=[2, 2, 2, 2])
    case(F, "Conv_group", "Conv", [x, r(6, 2, 3, 3), b], group=2)
    case(F, "Conv_depthwise", "Conv", [x, r(4, 1, 3, 3)], group=4, pads=[1, 1, 1, 1])
    case(F, "Conv_1x1", "Conv", [x, r(5, 4, 1, 1)], strides=[2, 2])
    for mode in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        case(F, f"Conv_{mode}", "Conv", [x, r(3, 4, 2, 3)], auto_pad=mode, strides=[2, 2])
    case(F, "Conv_1d", "Conv", [r(2, 3, 9), r(4, 3, 4), r(4)], pads=[2, 1], strides=[2])
    case(F, "Conv_1d_group", "Conv", [r(1, 4, 9), r(4, 2, 3)], group=2, dilations=[3])
    case(F, "Conv_3d", "Conv", [r(1, 2, 4, 5, 4), r(3, 2, 2, 3, 2)], pads=[0, 1, 0, 1, 0, 1])
    case(F, "Conv_wide_pads", "Conv", [r(1, 1, 2, 2), r(1, 1, 3, 3)], pads=[3, 3, 3, 3])
    y, v = r(2, 4, 4, 3), r(4, 5, 3, 3)
    case(F, "ConvTranspose", "ConvTranspose", [y, v, r(5)])
    case(F, "ConvTranspose_strides", "ConvTranspose", [y, v], strides=[2, 3], pads=[1, 0, 1, 2])
    case(F, "ConvTranspose_output_padding", "ConvTranspose", [y, v], strides=[2, 2],
         output_padding=[1, 1], pads=[1, 1, 1, 1])
    case(F, "ConvTranspose_group", "ConvTranspose", [y, r(4, 2, 3, 3)], group=2)
    case(F, "ConvTranspose_dilations", "ConvTranspose", [y, v], dilations=[2, 2])
    case(F, "ConvTranspose_output_shape", "ConvTranspose", [y, v], strides=[2, 2],
         output_shape=[8, 7])
    case(F, "ConvTranspose_1d", "ConvTranspose", [r(1, 2, 5), r(2, 3, 4)], strides=[2])
    for mode in ["SAME_UPPER", "SAME_LOWER"]:
        case(F, f"ConvTranspose_{mode}", "ConvTranspose", [y, v], strides=[2, 2], auto_pad=mode)


def pools():
    F = "pools"
    x = r(2, 3, 7, 6)
    for op in ["MaxPool", "AveragePool"]:
        case(F, f"{op}", op, [x], kernel_shape=[2, 2])
        case(F, f"{op}_strides", op, [x], kernel_shape=[3, 2], strides=[2, 2])
        case(F, f"{op}_pads", op, [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        case(F, f"{op}_ceil", op, [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        case(F, f"{op}_ceil_pads", op, [x], opset=19, kernel_shape=[3, 3], strides=[3, 3],
             pads=[1, 1, 1, 1], ceil_mode=1)
        case(F, f"{op}_1d", op, [r(2, 3, 9)], kernel_shape=[3], strides=[2], pads=[1, 0])
        case(F, f"{op}_3d", op, [r(1, 2, 4, 4, 5)], kernel_shape=[2, 2, 2], strides=[2, 1, 2])
        for mode in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
            case(F, f"{op}_{mode}", op, [x], kernel_shape=[2, 3], strides=[2, 2], auto_pad=mode)
    case(F, "MaxPool_dilations", "MaxPool", [x], kernel_shape=[2, 2], dilations=[2, 3])
    case(F, "MaxPool_indices", "MaxPool", [x], outputs=2, kernel_shape=[3, 3], strides=[2, 2],
         pads=[1, 1, 1, 1])
    case(F, "MaxPool_indices_column", "MaxPool", [x], outputs=2, kernel_shape=[2, 2],
         storage_order=1)
    case(F, "MaxPool_ties", "MaxPool", [np.round(x)], outputs=2, kernel_shape=[3, 3])
    case(F, "MaxPool_f64", "MaxPool", [x.astype(float)], kernel_shape=[2, 2])
    case(F, "AveragePool_count", "AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2],
         pads=[1, 1, 1, 1], count_include_pad=1)
    case(F, "AveragePool_count_ceil", "AveragePool", [r(1, 1, 6, 6)], opset=19,
         kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1)
    case(F, "AveragePool_dilations", "AveragePool", [x], opset=19, kernel_shape=[2, 2],
         dilations=[2, 2])
    case(F, "GlobalAveragePool", "GlobalAveragePool", [x])
    case(F, "GlobalAveragePool_1d", "GlobalAveragePool", [r(2, 3, 9)])
    case(F, "GlobalMaxPool", "GlobalMaxPool", [x])


def norms():
    F = "norms"
    x = r(2, 3, 4, 5)
    p = [r(3), r(3), r(3), r(3, low=0.1)]
    case(F, "BatchNormalization", "BatchNormalization", [x, *p])
    case(F, "BatchNormalization_2d", "BatchNormalization", [r(4, 3), *p], epsilon=1e-3)
    case(F, "BatchNormalization_9", "BatchNormalization", [x, *p], opset=9, momentum=0.8)
    case(F, "InstanceNormalization", "InstanceNormalization", [x, r(3), r(3)], epsilon=1e-3)
    case(F, "LayerNormalization", "LayerNormalization", [x, r(5), r(5)])
    case(F, "LayerNormalization_axis", "LayerNormalization", [x, r(4, 5), r(4, 5)], axis=2,
         epsilon=1e-2)
    case(F, "LayerNormalization_all", "LayerNormalization", [x, r(5)], outputs=3)
    case(F, "LRN", "LRN", [r(2, 6, 3, 3)], size=3)
    case(F, "LRN_all", "LRN", [r(2, 6, 3, 3)], size=5, alpha=0.01, beta=0.6, bias=1.5)


def reductions():
    F = "reductions"
    x = r(2, 3, 4, low=0.1)
    ops = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]
    for op in ops:
        name = f"Reduce{op}"
        case(F, f"{name}_all", name, [x], opset=11)
        case(F, f"{name}_axes", name, [x], opset=11, axes=[0, -1], keepdims=0)
        case(F, f"{name}_keep", name, [x], opset=12, axes=[1])
        case(F, f"{name}_input", name, [x, i64(-1, 0)], opset=18, keepdims=0)
        case(F, f"{name}_noop", name, [x], opset=18, noop_with_empty_axes=1)
        case(F, f"{name}_empty_axes", name, [x, i64()], opset=18)
    case(F, "ReduceSum_13", "ReduceSum", [x, i64(1)], opset=13)
    case(F, "ReduceSum_long", "ReduceSum", [r(2, 5000), i64(1)], opset=13)
    case(F, "ReduceSum_i64", "ReduceSum", [i64(1, 2, 3)], opset=13)
    case(F, "ReduceMax_i64", "ReduceMax", [i64(1, 5, 3)], opset=13)
    case(F, "ReduceProd_i32", "ReduceProd", [np.array([[1, 5], [3, 2]], np.int32)], opset=13, axes=[0])
    case(F, "ReduceSum_no_rows", "ReduceSum", [np.zeros((0, 3), f32), i64(0)], opset=13)
    t = np.round(r(3, 5) * 2)
    for op in ["ArgMax", "ArgMin"]:
        case(F, f"{op}", op, [t])
        case(F, f"{op}_axis", op, [t], axis=-1, keepdims=0)
        case(F, f"{op}_last", op, [t], axis=1, select_last_index=1)
    for k, (e, b) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        case(F, f"CumSum_{k}", "CumSum", [r(2, 4), np.array(1)], exclusive=e, reverse=b)
    case(F, "CumSum_axis", "CumSum", [r(3, 2, 2), np.array(-3)])
    case(F, "TopK", "TopK", [t, i64(3)], outputs=2)
    case(F, "TopK_smallest", "TopK", [r(3, 5), i64(2)], outputs=2, largest=0, axis=0)
    case(F, "TopK_i64", "TopK", [i64(5, 1, 9, 9), i64(2)], outputs=2)


def shapes():
    F = "shapes"
    x = r(2, 3, 4)
    for axis in [0, 1, 2, 3, -1]:
        case(F, f"Flatten_{axis}", "Flatten", [x], axis=axis)
    for k, s in enumerate([(4, 6), (-1, 2), (0, -1), (2, 0, 1, -1), (24,)]):
        case(F, f"Reshape_{k}", "Reshape", [x, i64(*s)])
    case(F, "Reshape_zero", "Reshape", [np.zeros((0, 3), f32), i64(3, 0)], allowzero=1)
    case(F, "Reshape_text", "Reshape", [np.array(["a", "b"]), i64(2, 1)])
    case(F, "Transpose", "Transpose", [x])
    case(F, "Transpose_perm", "Transpose", [x], perm=[1, 2, 0])
    case(F, "Transpose_i64", "Transpose", [i64(1, 2, 3, 4).reshape(2, 2)], perm=[1, 0])
    for axis in [0, 1, -1]:
        case(F, f"Concat_{axis}", "Concat", [x, r(2, 3, 4), r(2, 3, 4)], axis=axis)
    case(F, "Concat_sizes", "Concat", [x, r(2, 1, 4)], axis=1)
    case(F, "Concat_text", "Concat", [np.array([["a"]]), np.array([["b"]])], axis=1)
    case(F, "Concat_empty", "Concat", [np.zeros((2, 0), f32), r(2, 2)], axis=1)
    case(F, "Split_equal", "Split", [r(6, 2)], outputs=3, opset=13)
    case(F, "Split_sizes", "Split", [r(2, 6), i64(1, 2, 3)], outputs=3, opset=13, axis=1)
    case(F, "Split_11", "Split", [r(2, 6)], outputs=2, opset=11, axis=-1, split=[4, 2])
    case(F, "Split_18", "Split", [r(7)], outputs=3, opset=18, num_outputs=3)
    case(F, "Squeeze_11", "Squeeze", [r(1, 3, 1, 2)], opset=11, axes=[0, 2])
    case(F, "Squeeze_13", "Squeeze", [r(1, 3, 1, 2), i64(-2)], opset=13)
    case(F, "Squeeze_all", "Squeeze", [r(1, 3, 1, 2)], opset=13)
    case(F, "Unsqueeze_11", "Unsqueeze", [r(3, 2)], opset=11, axes=[0, 3])
    case(F, "Unsqueeze_13", "Unsqueeze", [r(3, 2), i64(-1, 1)], opset=13)
    case(F, "Expand", "Expand", [r(3, 1), i64(2, 1, 4)])
    case(F, "Expand_smaller", "Expand", [r(2, 3), i64(1)])
    case(F, "Tile", "Tile", [r(2, 3), i64(2, 3)])
    case(F, "Shape", "Shape", [x])
    case(F, "Shape_part", "Shape", [x], opset=15, start=-2, end=3)
    case(F, "Size", "Size", [x])
    case(F, "DepthToSpace", "DepthToSpace", [r(1, 8, 2, 3)], blocksize=2)
    case(F, "DepthToSpace_CRD", "DepthToSpace", [r(1, 8, 2, 3)], blocksize=2, mode="CRD")
    case(F, "SpaceToDepth", "SpaceToDepth", [r(1, 2, 4, 6)], blocksize=2)
    case(F, "Constant_float", "Constant", [], value_float=1.5, opset=13)
    case(F, "Constant_ints", "Constant", [], value_ints=[1, 2], opset=13)
    case(F, "Constant_tensor", "Constant", [], value=nh.from_array(r(2, 2)))
    case(F, "ConstantOfShape", "ConstantOfShape", [i64(2, 3)])
    case(F, "ConstantOfShape_value", "ConstantOfShape", [i64(2)], value=nh.from_array(i64(7)))
    case(F, "Identity_text", "Identity", [np.array(["a", "bc"])])
    p = r(2, 3, 4)
    for mode in ["constant", "reflect", "edge"]:
        case(F, f"Pad_{mode}", "Pad", [p, i64(0, 1, 2, 1, 0, 3)] if mode == "constant"
             else [p, i64(0, 1, 2, 0, 2, 1)], mode=mode)
        case(F, f"Pad_{mode}_2", "Pad", [p], opset=7, mode=mode, pads=[0, 1, 2, 0, 2, 1], **(
            {"value": 1.5} if mode == "constant" else {}))
    case(F, "Pad_value", "Pad", [p, i64(1, 0, 0, 0, 0, 1), np.array(9, f32)])
    case(F, "Pad_negative", "Pad", [p, i64(0, -1, 0, 0, 1, -2)])
    case(F, "Pad_axes", "Pad", [p, i64(1, 2), None, i64(-1)], opset=18)
    case(F, "Pad_wrap", "Pad", [p, i64(0, 0, 2, 0, 0, 1)], opset=19, mode="wrap")
    case(F, "Pad_i64", "Pad", [i64(1, 2), i64(1, 1), np.array(5)])


def indices():
    F = "indices"
    x = r(3, 4, 5)
    case(F, "Slice_9", "Slice", [x], opset=9, starts=[1, 0], ends=[3, 2], axes=[0, 2])
    case(F, "Slice", "Slice", [x, i64(0, 1), i64(2, 100)])
    case(F, "Slice_axes", "Slice", [x, i64(-3), i64(-1), i64(1)])
    case(F, "Slice_steps", "Slice", [x, i64(0, 4), i64(4, 0), i64(1, 2), i64(2, -2)])
    case(F, "Slice_reverse", "Slice", [x, i64(-1), i64(-1000), i64(0), i64(-1)])
    case(F, "Slice_max", "Slice", [x, i64(1), i64(2**63 - 1), i64(2)])
    case(F, "Slice_empty", "Slice", [x, i64(3), i64(2), i64(1)])
    case(F, "Slice_text", "Slice", [np.array(["a", "b", "c"]), i64(1), i64(3)])
    case(F, "Gather", "Gather", [x, i64(2, 0, -1)])
    case(F, "Gather_axis", "Gather", [x, np.array([[0, 1], [3, 2]])], axis=1)
    case(F, "Gather_scalar", "Gather", [x, np.array(2)], axis=-1)
    case(F, "Gather_text", "Gather", [np.array(["a", "b"]), i64(1, 1)])
    case(F, "GatherElements", "GatherElements", [r(3, 3), np.array([[1, 2, 0], [2, 0, -1]])])
    case(F, "GatherElements_axis", "GatherElements", [r(2, 3), np.array([[1, 0], [2, 2]])], axis=1)
    case(F, "GatherND", "GatherND", [x, np.array([[0, 1], [2, -1]])])
    u = r(2, 3)
    idx = np.array([[1, 0, 2], [0, 2, 1]])
    case(F, "ScatterElements", "ScatterElements", [r(3, 3), idx, u])
    case(F, "ScatterElements_axis", "ScatterElements", [r(1, 5), np.array([[1, 3]]), r(1, 2)], axis=1)
    for mode in ["add", "mul", "max", "min"]:
        case(F, f"ScatterElements_{mode}", "ScatterElements",
             [r(1, 5), np.array([[1, 1, 3]]), r(1, 3)], opset=18, axis=1, reduction=mode)
        case(F, f"ScatterND_{mode}", "ScatterND", [r(8), np.array([[4], [3], [4]]), r(3)], opset=18,
             reduction=mode)
    case(F, "ScatterND", "ScatterND", [r(8), np.array([[4], [3], [1], [7]]), r(4)])
    case(F, "ScatterND_rows", "ScatterND", [x, np.array([[0], [2]]), r(2, 4, 5)])
    case(F, "ScatterND_tuples", "ScatterND", [x, np.array([[0, 1], [2, -2]]), r(2, 5)])
    case(F, "Range", "Range", [np.array(1.0, f32), np.array(3.0, f32), np.array(0.3, f32)])
    case(F, "Range_i64", "Range", [np.array(10), np.array(0), np.array(-3)])
    case(F, "OneHot", "OneHot", [i64(0, 2, -1, 9), np.array(3), np.array([0.5, 2], f32)])
    case(F, "OneHot_axis", "OneHot", [np.array([[0, 2], [1, 1]]), i64(3), i64(0, 1)], axis=1)
    for k in [None, 1, -1]:
        for upper in [0, 1]:
            case(F, f"Trilu_{upper}_{k}", "Trilu", [r(2, 3, 4)] + ([] if k is None else
                 [np.array(k)]), opset=14, upper=upper)
    case(F, "NonZero", "NonZero", [np.array([[1, 0, 2], [0, 0, 3]], f32)])


def forest(n_trees, depth, columns, targets, prefix, modes=("BRANCH_LEQ",), positive=False,
           missing=False, single=None):
    a = {k: [] for k in ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids",
                         "falsenodeids", "missing_value_tracks_true"]}
    w = {k: [] for k in ["treeids", "nodeids", "ids", "weights"]}
    for t in range(n_trees):
        inner = 2**depth - 1
        for n in range(2 * inner + 1):
            leaf = n >= inner
            a["treeids"].append(t)
            a["nodeids"].append(n)
            a["featureids"].append(0 if leaf else int(rng.integers(columns)))
            a["values"].append(0.0 if leaf else float(f32(rng.integers(-3, 4) / 2)))
            a["modes"].append("LEAF" if leaf else modes[int(rng.integers(len(modes)))])
            a["truenodeids"].append(0 if leaf else 2 * n + 1)
            a["falsenodeids"].append(0 if leaf else 2 * n + 2)
            a["missing_value_tracks_true"].append(int(missing and rng.integers(2)))
            if leaf:
                for k in range(targets) if single is None else [single]:
                    w["treeids"].append(t)
                    w["nodeids"].append(n)
                    w["ids"].append(k)
                    low = 0 if positive else -1
                    w["weights"].append(float(f32(rng.uniform(low, 1) / n_trees)))
    attrs = {f"nodes_{k}": v for k, v in a.items()}
    attrs.update({f"{prefix}_{k}": v for k, v in w.items()})
    return attrs


def trees():
    F = "trees"
    x = np.round(r(12, 3, low=-2, high=2) * 2) / 2
    gaps = x.copy()
    gaps[::3, 0] = np.nan
    all_modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]

    def one(name, op, attrs, data=x, outputs=1, **kw):
        if op == R:
            kw.setdefault("n_targets", 1)
        case(F, name, op, [data], outputs=outputs, domain=ML, **attrs, **kw)

    R, C = "TreeEnsembleRegressor", "TreeEnsembleClassifier"
    for mode in all_modes:
        one(f"regressor_{mode}", R, forest(3, 3, 3, 1, "target", [mode], missing=True), data=gaps)
    one("regressor_modes", R, forest(4, 3, 3, 1, "target", all_modes), data=gaps)
    for how in ["SUM", "AVERAGE", "MIN", "MAX"]:
        for targets in [1, 2]:
            for base in [False, True]:
                extra = {"base_values": [0.25, -0.5][:targets]} if base else {}
                one(f"regressor_{how}_{targets}_{base}", R, forest(5, 2, 3, targets, "target"),
                    n_targets=targets, aggregate_function=how, **extra)
    posts = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
    for post in posts:
        positive = post == "PROBIT"
        one(f"regressor_{post}", R, forest(3, 2, 3, 3, "target", positive=positive), n_targets=3,
            post_transform=post)
        one(f"regressor_{post}_one", R, forest(3, 2, 3, 1, "target", positive=positive),
            post_transform=post)
        one(f"classifier_{post}_three", C, forest(3, 2, 3, 3, "class", positive=positive),
            outputs=2, classlabels_int64s=[4, 5, 6], post_transform=post)
    for post in posts[:4]:
        for positive in [False, True]:
            for single in [0, 1, None]:
                for bases in [0, 1, 2]:
                    extra = {"base_values": [0.125, -0.25][:bases]} if bases else {}
                    one(f"classifier_{post}_{positive}_{single}_{bases}", C,
                        forest(3, 2, 3, 2, "class", positive=positive, single=single), outputs=2,
                        classlabels_int64s=[3, 8], post_transform=post, **extra)
    one("classifier_text", C, forest(3, 2, 3, 3, "class"), outputs=2,
        classlabels_strings=["a", "b", "c"])
    one("classifier_text_two", C, forest(3, 2, 3, 2, "class"), outputs=2,
        classlabels_strings=["no", "yes"])
    one("classifier_base_three", C, forest(3, 2, 3, 3, "class"), outputs=2,
        classlabels_int64s=[0, 1, 2], base_values=[0.5, 0.25, 0.0], post_transform="SOFTMAX")
    one("classifier_f64", C, forest(3, 2, 3, 3, "class"), outputs=2, data=x.astype(float),
        classlabels_int64s=[0, 1, 2])
    one("classifier_i64", C, forest(3, 2, 3, 3, "class"), outputs=2, data=x.astype(np.int64),
        classlabels_int64s=[0, 1, 2])
    one("regressor_row", R, forest(3, 2, 3, 1, "target"), data=x[:1])
    a = forest(3, 3, 3, 1, "target")
    for k in ["nodes_values", "target_weights"]:
        a[f"{k}_as_tensor"] = nh.from_array(np.array(a.pop(k)) + 1e-9, k)
    one("regressor_double", R, a, data=x.astype(float))
    for kind in [f32, np.float64]:
        case(F, f"ensemble_{np.dtype(kind).name}", "TreeEnsemble", [x.astype(kind)], domain=ML,
             ml=5, opset=21, n_targets=2, aggregate_function=1, post_transform=0,
             tree_roots=[0, 2], nodes_featureids=[0, 1, 2],
             nodes_modes=nh.from_array(np.array([0, 3, 4], np.uint8)),
             nodes_splits=nh.from_array(np.array([0.5, -0.5, 1.0], kind)),
             nodes_truenodeids=[0, 1, 3], nodes_trueleafs=[1, 1, 1],
             nodes_falsenodeids=[1, 2, 4], nodes_falseleafs=[0, 1, 1],
             leaf_targetids=[0, 1, 0, 1, 0],
             leaf_weights=nh.from_array(np.array([0.5, -1, 2, 0.25, 3], kind)))


def linear():
    F = "linear"
    x = r(7, 4)
    w3, b3 = r(12).tolist(), r(3).tolist()
    posts = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]
    for post in posts:
        case(F, f"classifier_three_{post}", "LinearClassifier", [x], outputs=2, domain=ML,
             coefficients=w3, intercepts=b3, classlabels_ints=[2, 4, 9], post_transform=post)
        case(F, f"classifier_one_{post}", "LinearClassifier", [x], outputs=2, domain=ML,
             coefficients=w3[:4], intercepts=b3[:1], classlabels_strings=["n", "y"],
             post_transform=post)
        case(F, f"classifier_two_{post}", "LinearClassifier", [x], outputs=2, domain=ML,
             coefficients=w3[:8], intercepts=b3[:2], classlabels_ints=[0, 1], post_transform=post,
             multi_class=1)
        case(F, f"regressor_{post}", "LinearRegressor", [x], domain=ML, coefficients=w3,
             intercepts=b3, targets=3, post_transform=post)
    for kind in [np.int64, np.int32, np.float64]:
        case(F, f"classifier_{np.dtype(kind).name}", "LinearClassifier", [(x * 4).astype(kind)],
             outputs=2, domain=ML, coefficients=w3, intercepts=b3, classlabels_ints=[0, 1, 2])
    case(F, "regressor_one", "LinearRegressor", [x], domain=ML, coefficients=w3[:4])
    case(F, "regressor_row", "LinearRegressor", [x[0]], domain=ML, coefficients=w3[:4],
         intercepts=[0.5])


def encoders():
    F = "encoders"
    texts = np.array([["a", "b"], ["c", "zz"], ["b", ""]])
    ints = np.array([[1, 2], [3, 9], [2, -4]])
    case(F, "OneHotEncoder_text", "OneHotEncoder", [texts], domain=ML, cats_strings=["a", "b", "c"])
    case(F, "OneHotEncoder_int", "OneHotEncoder", [ints], domain=ML, cats_int64s=[1, 2, 3])
    case(F, "OneHotEncoder_float", "OneHotEncoder", [ints.astype(f32)], domain=ML,
         cats_int64s=[1, 2, 3])
    case(F, "OneHotEncoder_strict", "OneHotEncoder", [ints[:1]], domain=ML, cats_int64s=[1, 2, 3],
         zeros=0)
    case(F, "OneHotEncoder_1d", "OneHotEncoder", [ints[:, 0]], domain=ML, cats_int64s=[1, 2, 3])
    keys = {"strings": ["a", "b"], "int64s": [1, 2], "floats": [1.0, float("nan")]}
    vals = {"strings": ["x", "y"], "int64s": [7, 8], "floats": [0.5, 0.25]}
    data = {"strings": np.array(["b", "q", "a"]), "int64s": i64(2, 5, 1),
            "floats": np.array([np.nan, 5, 1], f32)}
    for k in keys:
        for v in vals:
            case(F, f"LabelEncoder_{k}_{v}", "LabelEncoder", [data[k]], domain=ML, ml=2,
                 **{f"keys_{k}": keys[k], f"values_{v}": vals[v]})
    case(F, "LabelEncoder_default_text", "LabelEncoder", [data["int64s"]], domain=ML, ml=2,
         keys_int64s=[1], values_strings=["one"], default_string="none")
    case(F, "LabelEncoder_default_int", "LabelEncoder", [data["strings"]], domain=ML, ml=2,
         keys_strings=["a"], values_int64s=[1], default_int64=99)
    case(F, "LabelEncoder_default_float", "LabelEncoder", [data["strings"]], domain=ML, ml=2,
         keys_strings=["a"], values_floats=[1.0], default_float=float("nan"))
    case(F, "LabelEncoder_first", "LabelEncoder", [data["strings"]], domain=ML, ml=1,
         classes_strings=["a", "b"])
    case(F, "LabelEncoder_first_back", "LabelEncoder", [i64(1, 0, 7)], domain=ML, ml=1,
         classes_strings=["a", "b"], default_string="?")
    tensor = lambda v: nh.from_array(np.array(v))
    case(F, "LabelEncoder_4", "LabelEncoder", [np.array([1.0, 2.0, 7.0])], domain=ML, ml=4,
         keys_tensor=tensor([1.0, 2.0]), values_tensor=tensor([5.5, 6.5]),
         default_tensor=tensor([-1.0]))
    case(F, "CategoryMapper", "CategoryMapper", [np.array(["a", "q"])], domain=ML,
         cats_strings=["a", "b"], cats_int64s=[3, 4])
    case(F, "CategoryMapper_back", "CategoryMapper", [i64(4, 9)], domain=ML,
         cats_strings=["a", "b"], cats_int64s=[3, 4], default_string="?")
    case(F, "ZipMap_int", "ZipMap", [r(3, 2)], domain=ML, classlabels_int64s=[10, 9])
    case(F, "ZipMap_text", "ZipMap", [r(3, 2)], domain=ML, classlabels_strings=["b", "a"])
    case(F, "ArrayFeatureExtractor", "ArrayFeatureExtractor", [r(3, 4), i64(2, 0)], domain=ML)
    case(F, "ArrayFeatureExtractor_matrix", "ArrayFeatureExtractor", [r(3, 4), i64(1).reshape(1, 1)], domain=ML)
    case(F, "ArrayFeatureExtractor_1d", "ArrayFeatureExtractor", [r(4), i64(2, 0)], domain=ML)
    case(F, "ArrayFeatureExtractor_text", "ArrayFeatureExtractor", [texts, i64(1)], domain=ML)
    x = r(4, 3)
    case(F, "Scaler", "Scaler", [x], domain=ML, offset=[1.0, 2.0, 3.0], scale=[0.5, 2.0, 1.0])
    case(F, "Scaler_one", "Scaler", [x], domain=ML, offset=[1.0], scale=[0.5])
    case(F, "Scaler_i64", "Scaler", [ints], domain=ML, offset=[1.0, 0.5], scale=[0.5, 3.0])
    case(F, "Scaler_f64", "Scaler", [x.astype(float)], domain=ML, offset=[1.0], scale=[0.5])
    gaps = np.array([[1, np.nan], [np.nan, 4]], f32)
    case(F, "Imputer_nan", "Imputer", [gaps], domain=ML, imputed_value_floats=[5.0, 6.0],
         replaced_value_float=float("nan"))
    case(F, "Imputer_one", "Imputer", [gaps], domain=ML, imputed_value_floats=[5.0],
         replaced_value_float=4.0)
    case(F, "Imputer_int", "Imputer", [ints], domain=ML, imputed_value_int64s=[50, 60],
         replaced_value_int64=2)
    y = np.array([[3, -4, 0], [0, 0, 0], [-1, -2, -3]], f32)
    for norm in ["MAX", "L1", "L2"]:
        case(F, f"Normalizer_{norm}", "Normalizer", [y], domain=ML, norm=norm)
        case(F, f"Normalizer_{norm}_i64", "Normalizer", [y.astype(np.int64)], domain=ML, norm=norm)
    case(F, "Binarizer", "Binarizer", [x], domain=ML, threshold=0.3)
    case(F, "FeatureVectorizer", "FeatureVectorizer", [r(3, 2), r(3, 1)], domain=ML,
         inputdimensions=[2, 1])
    case(F, "FeatureVectorizer_i64", "FeatureVectorizer", [ints, ints], domain=ML,
         inputdimensions=[1, 3])


def pipelines():
    import skl2onnx
    from skl2onnx.common.data_types import (DoubleTensorType, FloatTensorType, Int64TensorType,
                                            StringTensorType)
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (GradientBoostingClassifier, GradientBoostingRegressor,
                                  RandomForestClassifier, RandomForestRegressor)
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler

    F = "pipelines"
    n = 300
    frame = pd.DataFrame({
        "age": rng.integers(18, 75, n).astype(f32), "amount": rng.lognormal(7, 1, n).astype(f32),
        "job": rng.choice(["clerk", "nurse", "none"], n), "sex": rng.choice(["f", "m"], n)})
    frame.loc[::7, "age"] = np.nan
    score = frame.age.fillna(40) / 30 + (frame.job == "nurse") - np.log(frame.amount) / 5
    label = (score + rng.normal(0, 0.3, n) > score.median()).astype(int)
    names = np.where(label == 1, "good", "bad")
    x3 = rng.normal(size=(n, 5)).astype(f32)
    y3 = (x3[:, 0] + x3[:, 1] ** 2 > 0.5).astype(int) + (x3[:, 2] > 0.3)

    def preparation():
        return ColumnTransformer([
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "amount"]),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["job", "sex"])])

    types = [("age", FloatTensorType([None, 1])), ("amount", FloatTensorType([None, 1])),
             ("job", StringTensorType([None, 1])), ("sex", StringTensorType([None, 1]))]
    head = frame.head(40)
    feeds = {c: head[[c]].to_numpy(dtype=object if c in ("job", "sex") else f32).copy()
             for c in frame}
    feeds["job"][3, 0] = "pilot"

    def save(name, model, types, feeds, zipmap=True, **kw):
        options = {id(model): {"zipmap": zipmap}} if zipmap is not True else None
        proto = skl2onnx.convert_sklearn(model, initial_types=types, options=options,
                                         target_opset={"": 17, ML: 3}, **kw)
        record(F, name, proto.SerializeToString(), feeds)

    gb = GradientBoostingClassifier(n_estimators=20, random_state=0)
    save("columns_boosting", make_pipeline(preparation(), gb).fit(frame, names), types, feeds)
    rf = RandomForestClassifier(n_estimators=6, max_depth=5, random_state=0)
    save("columns_forest", make_pipeline(preparation(), rf).fit(frame, label), types, feeds, False)
    lr = LogisticRegression()
    save("columns_logistic", make_pipeline(preparation(), lr).fit(frame, names), types, feeds)
    mlp = MLPClassifier((16, 8), random_state=0, max_iter=80)
    save("columns_mlp", make_pipeline(preparation(), mlp).fit(frame, label), types, feeds, False)
    f = [("x", FloatTensorType([None, 5]))]
    rows = {"x": x3[:40]}
    for name, model in [
            ("boosting_three", GradientBoostingClassifier(n_estimators=8, random_state=0)),
            ("forest_three", RandomForestClassifier(n_estimators=6, max_depth=5, random_state=0)),
            ("logistic_three", LogisticRegression()),
            ("normalised_logistic", make_pipeline(Normalizer(), LogisticRegression())),
            ("mlp_three", MLPClassifier((12,), random_state=0, max_iter=80))]:
        save(name, model.fit(x3, y3), f, rows)
    for name, model in [
            ("boosting_regressor", GradientBoostingRegressor(n_estimators=10, random_state=0)),
            ("forest_regressor", RandomForestRegressor(n_estimators=5, max_depth=4, random_state=0)),
            ("linear_regressor", make_pipeline(StandardScaler(), LinearRegression()))]:
        proto = skl2onnx.convert_sklearn(model.fit(x3, x3 @ np.arange(5)), initial_types=f,
                                         target_opset={"": 17, ML: 3})
        record(F, name, proto.SerializeToString(), rows)
    d = [("x", DoubleTensorType([None, 5]))]
    save("logistic_double", LogisticRegression().fit(x3.astype(float), y3), d,
         {"x": x3[:40].astype(float)})


def main():
    for family in [arithmetic, functions, products, convolutions, pools, norms, reductions, shapes,
                   indices, trees, linear, encoders, pipelines]:
        family()
    total = cases = 0
    for name, arrays in families.items():
        path = HERE / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        total += path.stat().st_size
        cases += sum(k.endswith("/model") for k in arrays)
    print(f"{cases} cases, {total} bytes")
    print("by onnx.reference:", *by_reference, sep="\n  ")
    print("left out, refused by both:", *refused, sep="\n  ")


if __name__ == "__main__":
    main()
