//! Whatever is encoded decodes to the same.

use std::borrow::Cow;

use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_formats::npz::{self, Npz};
use proofmark_formats::onnx::{
    self, AttributeProto, AttributeValue, Dimension, FunctionProto, GraphProto, ModelProto,
    NodeProto, OperatorSetId, TensorData, TensorProto, TypeProto, ValueInfoProto,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::random::config;

type Model = ModelProto<'static>;

fn name() -> BoxedStrategy<String> {
    "[a-zA-Zé_0-9/.]{0,6}".boxed()
}

fn finite() -> impl Strategy<Value = f32> {
    // NaN equals nothing, itself included
    any::<f32>().prop_filter("a number", |x| !x.is_nan())
}

fn bytes() -> impl Strategy<Value = Cow<'static, [u8]>> {
    vec(any::<u8>(), 0..9).prop_map(Cow::Owned)
}

fn data() -> BoxedStrategy<TensorData<'static>> {
    let doubles = any::<f64>().prop_filter("a number", |x| !x.is_nan());
    prop_oneof![
        Just(TensorData::Absent),
        bytes().prop_map(TensorData::Raw),
        vec(finite(), 1..5).prop_map(TensorData::Float),
        vec(any::<i32>(), 1..5).prop_map(TensorData::Int32),
        vec(any::<i64>(), 1..5).prop_map(TensorData::Int64),
        vec(doubles, 1..5).prop_map(TensorData::Double),
        vec(any::<u64>(), 1..5).prop_map(TensorData::Uint64),
        vec(bytes(), 1..5).prop_map(TensorData::String),
    ]
    .boxed()
}

fn tensor() -> BoxedStrategy<TensorProto<'static>> {
    let pairs = vec((name(), name()), 0..3);
    (name(), vec(any::<i64>(), 0..4), any::<i32>(), data(), pairs, any::<i32>())
        .prop_map(|(name, dims, data_type, data, external_data, data_location)| TensorProto {
            name,
            dims,
            data_type,
            data,
            external_data,
            data_location,
            ..TensorProto::default()
        })
        .boxed()
}

fn value_type() -> BoxedStrategy<TypeProto> {
    let dimension = prop_oneof![
        any::<i64>().prop_map(Dimension::Value),
        name().prop_map(Dimension::Param),
        Just(Dimension::Unknown),
    ];
    let shape = || proptest::option::of(vec(dimension.clone(), 0..4));
    let leaf = prop_oneof![
        Just(TypeProto::Unknown),
        Just(TypeProto::Opaque),
        (any::<i32>(), shape())
            .prop_map(|(elem_type, shape)| TypeProto::Tensor { elem_type, shape }),
        (any::<i32>(), shape())
            .prop_map(|(elem_type, shape)| TypeProto::SparseTensor { elem_type, shape }),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| TypeProto::Sequence(Box::new(t))),
            inner.clone().prop_map(|t| TypeProto::Optional(Box::new(t))),
            (any::<i32>(), inner)
                .prop_map(|(key_type, t)| TypeProto::Map { key_type, value_type: Box::new(t) }),
        ]
    })
    .boxed()
}

fn value_info() -> impl Strategy<Value = ValueInfoProto> {
    (name(), value_type()).prop_map(|(name, value_type)| ValueInfoProto { name, value_type })
}

fn attribute(depth: u32) -> BoxedStrategy<AttributeProto<'static>> {
    let mut kinds = vec![
        finite().prop_map(AttributeValue::Float).boxed(),
        any::<i64>().prop_map(AttributeValue::Int).boxed(),
        bytes().prop_map(AttributeValue::Bytes).boxed(),
        tensor().prop_map(|t| AttributeValue::Tensor(Box::new(t))).boxed(),
        vec(finite(), 0..4).prop_map(AttributeValue::Floats).boxed(),
        vec(any::<i64>(), 0..4).prop_map(AttributeValue::Ints).boxed(),
        vec(bytes(), 0..4).prop_map(AttributeValue::Strings).boxed(),
        vec(tensor(), 0..2).prop_map(AttributeValue::Tensors).boxed(),
        prop_oneof![Just(0), 11..20].prop_map(|code| AttributeValue::Other { code }).boxed(),
    ];
    if depth > 0 {
        kinds.push(graph(depth - 1).prop_map(|g| AttributeValue::Graph(Box::new(g))).boxed());
        kinds.push(vec(graph(depth - 1), 0..2).prop_map(AttributeValue::Graphs).boxed());
    }
    (name(), name(), proptest::strategy::Union::new(kinds))
        .prop_map(|(name, ref_attr_name, value)| AttributeProto { name, ref_attr_name, value })
        .boxed()
}

fn node(depth: u32) -> BoxedStrategy<NodeProto<'static>> {
    let names = || vec(name(), 0..3);
    (name(), name(), name(), name(), names(), names(), vec(attribute(depth), 0..3))
        .prop_map(|(name, op_type, domain, overload, inputs, outputs, attributes)| NodeProto {
            name,
            op_type,
            domain,
            overload,
            inputs,
            outputs,
            attributes,
            offset: 0,
        })
        .boxed()
}

fn graph(depth: u32) -> BoxedStrategy<GraphProto<'static>> {
    let values = || vec(value_info(), 0..2);
    (name(), vec(node(depth), 0..3), vec(tensor(), 0..2), values(), values(), values())
        .prop_map(|(name, nodes, initializers, inputs, outputs, value_info)| GraphProto {
            name,
            nodes,
            initializers,
            sparse_initializers: 0,
            inputs,
            outputs,
            value_info,
        })
        .boxed()
}

fn opsets() -> impl Strategy<Value = Vec<OperatorSetId>> {
    vec(
        (name(), any::<i64>()).prop_map(|(domain, version)| OperatorSetId { domain, version }),
        0..3,
    )
}

fn function() -> impl Strategy<Value = FunctionProto<'static>> {
    let names = || vec(name(), 0..3);
    let lists = (names(), names(), names(), vec(attribute(0), 0..2), vec(node(0), 0..2));
    (name(), name(), name(), lists, opsets()).prop_map(
        |(name, domain, overload, (inputs, outputs, attributes, defaults, nodes), opset_import)| {
            FunctionProto {
                name,
                domain,
                overload,
                inputs,
                outputs,
                attributes,
                attribute_defaults: defaults,
                nodes,
                opset_import,
            }
        },
    )
}

pub(crate) fn model() -> impl Strategy<Value = Model> {
    let texts = (name(), name(), name());
    let pairs = vec((name(), name()), 0..3);
    (any::<i64>(), opsets(), texts, any::<i64>(), graph(2), pairs, vec(function(), 0..2)).prop_map(
        |(ir_version, opset_import, texts, model_version, graph, metadata_props, functions)| {
            let (producer_name, producer_version, domain) = texts;
            ModelProto {
                ir_version,
                opset_import,
                producer_name,
                producer_version,
                domain,
                model_version,
                graph,
                metadata_props,
                functions,
                training_info: 0,
            }
        },
    )
}

/// Models in memory have no offsets; decoded ones do.
fn forget_offsets(model: &mut ModelProto<'_>) {
    fn tensor(tensor: &mut TensorProto<'_>) {
        tensor.offset = 0;
    }
    fn attribute(attribute: &mut AttributeProto<'_>) {
        match &mut attribute.value {
            AttributeValue::Tensor(t) => tensor(t),
            AttributeValue::Tensors(list) => list.iter_mut().for_each(tensor),
            AttributeValue::Graph(g) => graph(g),
            AttributeValue::Graphs(list) => list.iter_mut().for_each(graph),
            _ => {}
        }
    }
    fn node(node: &mut NodeProto<'_>) {
        node.offset = 0;
        node.attributes.iter_mut().for_each(attribute);
    }
    fn graph(graph: &mut GraphProto<'_>) {
        graph.nodes.iter_mut().for_each(node);
        graph.initializers.iter_mut().for_each(tensor);
    }
    graph(&mut model.graph);
    for function in &mut model.functions {
        function.nodes.iter_mut().for_each(node);
        function.attribute_defaults.iter_mut().for_each(attribute);
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn models(model in model()) {
        let bytes = onnx::encode(&model);
        let decoded = onnx::decode(&bytes);
        let mut decoded = decoded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&onnx::encode(&decoded), &bytes, "the encoding is stable");
        forget_offsets(&mut decoded);
        prop_assert_eq!(decoded, model);
    }

    #[test]
    fn arrays(array in array()) {
        let bytes = npy::write(&array).unwrap();
        let header = npy::header(&bytes).unwrap();
        prop_assert_eq!(header.data_offset % 64, 0);
        prop_assert_eq!(npy::read(&bytes).unwrap(), array);
    }

    #[test]
    fn archives(arrays in vec(array(), 0..4)) {
        let names: Vec<_> = (0..arrays.len()).map(|i| format!("é{i}")).collect();
        let bytes = npz::write(names.iter().map(String::as_str).zip(&arrays)).unwrap();
        let npz = Npz::open(&bytes).unwrap();
        prop_assert_eq!(npz.names().collect::<Vec<_>>(), names.clone());
        for (name, array) in names.iter().zip(&arrays) {
            prop_assert_eq!(&npz.array(name).unwrap(), array);
        }
    }
}

fn array() -> BoxedStrategy<NpyArray> {
    let doubles = any::<f64>().prop_filter("a number", |x| !x.is_nan());
    (vec(0usize..4, 0..4), any::<u64>(), 0u8..12, vec(doubles, 64), vec("[a-z日🙂]{0,3}", 64))
        .prop_map(|(shape, seed, kind, doubles, texts)| {
            let n = shape.iter().product::<usize>();
            let bits = |i: usize| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32);
            let data = match kind {
                0 => NpyData::Bool((0..n).map(|i| bits(i) & 1 == 1).collect()),
                1 => NpyData::I8((0..n).map(|i| bits(i) as i8).collect()),
                2 => NpyData::I16((0..n).map(|i| bits(i) as i16).collect()),
                3 => NpyData::I32((0..n).map(|i| bits(i) as i32).collect()),
                4 => NpyData::I64((0..n).map(|i| bits(i) as i64).collect()),
                5 => NpyData::U8((0..n).map(|i| bits(i) as u8).collect()),
                6 => NpyData::U16((0..n).map(|i| bits(i) as u16).collect()),
                7 => NpyData::U32((0..n).map(|i| bits(i) as u32).collect()),
                8 => NpyData::U64((0..n).map(bits).collect()),
                9 => NpyData::F32(doubles.iter().take(n).map(|&x| x as f32).collect()),
                10 => NpyData::F64(doubles.into_iter().take(n).collect()),
                _ => NpyData::Str(texts.into_iter().take(n).collect()),
            };
            NpyArray::new(shape, data).unwrap()
        })
        .boxed()
}
