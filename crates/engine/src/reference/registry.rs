//! The one table of operators: domain, name, and what prepares the kernel.
//!
//! Owns nothing else. Called by `reference` when a program is prepared.

use super::ml::{distance, encode, ensemble, linear, scale, svm, text, tfidf, trees};
use super::op::Build;
use super::{
    arith, cast, compare, conv, einsum, gemm, index, norm, pool, quantize, recurrent, reduce,
    resize, sample, select, shape, unary,
};
use crate::graph::{ML, OWN};

/// Domain of the operators that ONNX Runtime brings itself.
pub const MICROSOFT: &str = "com.microsoft";

/// What prepares an operator, or `None` when it is unknown.
pub fn find(domain: &str, op: &str) -> Option<Build> {
    let table = match domain {
        "" => PLAIN,
        ML => CLASSICAL,
        MICROSOFT => CONTRIBUTED,
        OWN => OURS,
        _ => return None,
    };
    table.iter().find(|(name, _)| *name == op).map(|&(_, build)| build)
}

/// Domain and name of every operator, sorted within a domain.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let plain = PLAIN.iter().map(|&(name, _)| ("", name));
    let classical = CLASSICAL.iter().map(|&(name, _)| (ML, name));
    plain.chain(classical).chain(CONTRIBUTED.iter().map(|&(name, _)| (MICROSOFT, name)))
}

/// Operators of our own domain.
const OURS: &[(&str, Build)] =
    &[("CategoryHash", ensemble::category_hash_of), ("TreeEnsemble", ensemble::ensemble)];

/// Operators of `ai.onnx`.
const PLAIN: &[(&str, Build)] = &[
    ("Abs", unary::abs),
    ("Acos", unary::acos),
    ("Acosh", unary::acosh),
    ("Add", arith::add),
    ("And", compare::and),
    ("ArgMax", reduce::arg_max),
    ("ArgMin", reduce::arg_min),
    ("Asin", unary::asin),
    ("Asinh", unary::asinh),
    ("Atan", unary::atan),
    ("Atanh", unary::atanh),
    ("AveragePool", pool::average_pool),
    ("BatchNormalization", norm::batch),
    ("Cast", cast::cast),
    ("CastLike", cast::cast_like),
    ("Ceil", unary::ceil),
    ("Clip", unary::clip),
    ("Concat", shape::concat),
    ("Constant", shape::constant),
    ("ConstantOfShape", shape::constant_of_shape),
    ("Conv", conv::conv),
    ("ConvInteger", quantize::conv_integer),
    ("ConvTranspose", conv::conv_transpose),
    ("Cos", unary::cos),
    ("Cosh", unary::cosh),
    ("CumSum", reduce::cum_sum),
    ("DepthToSpace", shape::depth_to_space),
    ("DequantizeLinear", quantize::dequantize),
    ("Div", arith::div),
    ("Dropout", shape::dropout),
    ("DynamicQuantizeLinear", quantize::dynamic_quantize),
    ("Einsum", einsum::einsum),
    ("Elu", unary::elu),
    ("Equal", compare::equal),
    ("Erf", unary::erf),
    ("Exp", unary::exp),
    ("Expand", shape::expand),
    ("EyeLike", select::eye_like),
    ("Flatten", shape::flatten),
    ("Floor", unary::floor),
    ("GRU", recurrent::gru),
    ("Gather", index::gather),
    ("GatherElements", index::gather_elements),
    ("GatherND", index::gather_nd),
    ("Gelu", unary::gelu),
    ("Gemm", gemm::gemm),
    ("GlobalAveragePool", pool::global_average_pool),
    ("GlobalMaxPool", pool::global_max_pool),
    ("Greater", compare::greater),
    ("GreaterOrEqual", compare::greater_or_equal),
    ("GridSample", sample::grid_sample),
    ("HardSigmoid", unary::hard_sigmoid),
    ("HardSwish", unary::hard_swish),
    ("Hardmax", reduce::hardmax),
    ("Identity", shape::identity),
    ("InstanceNormalization", norm::instance),
    ("IsInf", compare::is_inf),
    ("IsNaN", compare::is_nan),
    ("LRN", norm::local_response),
    ("LSTM", recurrent::lstm),
    ("LayerNormalization", norm::layer),
    ("LeakyRelu", unary::leaky_relu),
    ("Less", compare::less),
    ("LessOrEqual", compare::less_or_equal),
    ("Log", unary::log),
    ("LogSoftmax", reduce::log_softmax),
    ("MatMul", gemm::matmul),
    ("MatMulInteger", quantize::matmul_integer),
    ("Max", arith::max),
    ("MaxPool", pool::max_pool),
    ("Mean", arith::mean),
    ("Min", arith::min),
    ("Mod", arith::modulo),
    ("Mul", arith::mul),
    ("Neg", unary::neg),
    ("NonZero", select::non_zero),
    ("Not", compare::not),
    ("OneHot", select::one_hot),
    ("Or", compare::or),
    ("PRelu", unary::prelu),
    ("Pad", index::pad),
    ("Pow", arith::pow),
    ("QLinearConv", quantize::qlinear_conv),
    ("QLinearMatMul", quantize::qlinear_matmul),
    ("QuantizeLinear", quantize::quantize),
    ("RNN", recurrent::rnn),
    ("Range", select::arange),
    ("Reciprocal", unary::reciprocal),
    ("ReduceL1", reduce::l1),
    ("ReduceL2", reduce::l2),
    ("ReduceLogSum", reduce::log_sum),
    ("ReduceLogSumExp", reduce::log_sum_exp),
    ("ReduceMax", reduce::max),
    ("ReduceMean", reduce::mean),
    ("ReduceMin", reduce::min),
    ("ReduceProd", reduce::prod),
    ("ReduceSum", reduce::sum),
    ("ReduceSumSquare", reduce::sum_square),
    ("RegexFullMatch", text::regex_full_match),
    ("Relu", unary::relu),
    ("Reshape", shape::reshape),
    ("Resize", resize::resize),
    ("ReverseSequence", index::reverse_sequence),
    ("Round", unary::round),
    ("Scatter", index::scatter_elements),
    ("ScatterElements", index::scatter_elements),
    ("ScatterND", index::scatter_nd),
    ("Shape", shape::shape),
    ("Sigmoid", unary::sigmoid),
    ("Sign", unary::sign),
    ("Sin", unary::sin),
    ("Sinh", unary::sinh),
    ("Size", shape::size),
    ("Slice", index::slice),
    ("Softmax", reduce::softmax),
    ("Softplus", unary::softplus),
    ("Softsign", unary::softsign),
    ("SpaceToDepth", shape::space_to_depth),
    ("Split", shape::split),
    ("Sqrt", unary::sqrt),
    ("Squeeze", shape::squeeze),
    ("StringConcat", text::string_concat),
    ("StringNormalizer", text::string_normalizer),
    ("StringSplit", text::string_split),
    ("Sub", arith::sub),
    ("Sum", arith::sum),
    ("Tan", unary::tan),
    ("Tanh", unary::tanh),
    ("TfIdfVectorizer", tfidf::tf_idf),
    ("Tile", shape::tile),
    ("TopK", select::top_k),
    ("Transpose", shape::transpose),
    ("Trilu", select::trilu),
    ("Unsqueeze", shape::unsqueeze),
    ("Upsample", resize::upsample),
    ("Where", compare::choose),
    ("Xor", compare::xor),
];

/// Operators of `ai.onnx.ml`.
const CLASSICAL: &[(&str, Build)] = &[
    ("ArrayFeatureExtractor", scale::array_feature_extractor),
    ("Binarizer", scale::binarizer),
    ("CategoryMapper", encode::category_mapper),
    ("DictVectorizer", encode::dict_vectorizer),
    ("FeatureVectorizer", scale::feature_vectorizer),
    ("Imputer", scale::imputer),
    ("LabelEncoder", encode::label_encoder),
    ("LinearClassifier", linear::classifier),
    ("LinearRegressor", linear::regressor),
    ("Normalizer", scale::normalizer),
    ("OneHotEncoder", encode::one_hot),
    ("SVMClassifier", svm::classifier),
    ("SVMRegressor", svm::regressor),
    ("Scaler", scale::scaler),
    ("TreeEnsemble", trees::ensemble),
    ("TreeEnsembleClassifier", trees::classifier),
    ("TreeEnsembleRegressor", trees::regressor),
    ("ZipMap", encode::zip_map),
];

/// Operators of `com.microsoft`.
const CONTRIBUTED: &[(&str, Build)] = &[
    ("CDist", distance::cdist),
    ("MurmurHash3", text::murmur_hash),
    ("Tokenizer", text::tokenizer),
];
