//! Any bytes are an image of the declared shape or refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_dataset::folder::{Entry, Gather};
use proofmark_schema::system::{DataAsset, DataRole, DialectPins, Feature, FeatureKind};

fuzz_target!(
    init: {
        // As in `parquet`: what the product catches must not abort here.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| {
    let asset = DataAsset {
        name: "test".into(),
        path: "images/".into(),
        role: DataRole::Test,
        label: None,
        labels: None,
        classes: vec![("a".into(), "a".into()), ("b".into(), "b".into())],
        ignore: Vec::new(),
        missing: Vec::new(),
        dialect: DialectPins::default(),
        limit: None,
        task: Default::default(),
        unit: None,
        quantiles: Vec::new(),
    };
    let feature = Feature {
        name: "image".into(),
        kind: FeatureKind::Image,
        bounds: Some([0.0, 255.0]),
        values: Vec::new(),
        mutable: true,
        group: false,
        group_edges: Vec::new(),
        input: true,
        shape: Some([3, 5, 7]),
        series: None,
        direction: None,
        cost: None,
    };
    let mut gather = Gather::begin(&asset, &feature, 1).expect("a shape");
    let entry = Entry { name: "x".into(), class: 1 };
    if gather.push(&entry, bytes).is_ok() {
        let (images, _) = gather.finish();
        assert_eq!((images.n, images.data.len(), images.labels.as_slice()), (1, 105, &[1][..]));
    }
});
