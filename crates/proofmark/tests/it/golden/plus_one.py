"""Writes `plus_one.onnx`: y = x + 1 over rows of two floats; run with onnx."""
import pathlib

import onnx
from onnx import TensorProto, helper, numpy_helper
import numpy as np

x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
one = numpy_helper.from_array(np.float32([1.0]), "one")
graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
(pathlib.Path(__file__).parent / "plus_one.onnx").write_bytes(model.SerializeToString())
