use proofmark_schema::system;
#[test]
fn good() {
    for t in [include_str!("declarations/table.toml"), include_str!("declarations/images.toml")] {
        let s = system::parse(t);
        assert!(s.is_ok(), "{s:#?}");
    }
}
