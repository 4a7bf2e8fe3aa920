//! Whatever the text, parsing ends in a system or in diagnostics with usable spans.

use proofmark_schema::system;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::accepted::{IMAGES, TABLE};

/// Parses and checks what must hold of any answer.
fn check(text: &str) -> Result<(), TestCaseError> {
    match system::parse(text) {
        Ok(system) => {
            prop_assert!(!system.models.is_empty() && system.test_data().is_some());
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let spans = [Some(problem.span), problem.also.map(|a| a.0)];
                for span in spans.into_iter().flatten() {
                    prop_assert!(text.get(span.clone()).is_some(), "span {span:?}");
                }
                prop_assert!(!problem.message.is_empty() && !problem.help.is_empty());
                prop_assert!(!problem.message.ends_with('.'), "{}", problem.message);
            }
        }
    }
    Ok(())
}

/// Pieces that turn up where they do not belong.
const PIECES: [&str; 16] = [
    "[",
    "]",
    "\"",
    "= ",
    "\n",
    "{",
    "}",
    "[features.x]\n",
    "nan",
    "-1",
    "1e999",
    "'''",
    "é",
    "[[data.test]]\n",
    "true",
    "1979-05-27",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn mutated_declarations_never_panic(
        images in any::<bool>(),
        edits in prop::collection::vec((any::<Index>(), 0usize..40, 0usize..16), 1..5),
    ) {
        let mut text: Vec<char> = if images { IMAGES } else { TABLE }.chars().collect();
        for (at, cut, piece) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
            if text.is_empty() {
                text.push(' ');
            }
        }
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn dropped_lines_never_panic(images in any::<bool>(), keep in any::<u64>(), step in 1usize..9) {
        let base = if images { IMAGES } else { TABLE };
        let kept = |(i, _): &(usize, &str)| (keep >> ((i * step) % 64)) & 1 == 1;
        let lines: Vec<&str> = base.lines().enumerate().filter(kept).map(|(_, l)| l).collect();
        check(&lines.join("\n"))?;
    }

    #[test]
    fn swapped_values_never_panic(a in any::<Index>(), b in any::<Index>()) {
        let mut lines: Vec<String> = TABLE.lines().map(str::to_owned).collect();
        let valued: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].contains(" = ")).collect();
        let (a, b) = (valued[a.index(valued.len())], valued[b.index(valued.len())]);
        let value = lines[b].split_once(" = ").unwrap().1.to_owned();
        let key = lines[a].split_once(" = ").unwrap().0.to_owned();
        lines[a] = format!("{key} = {value}");
        check(&lines.join("\n"))?;
    }
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(system::parse(&text).is_err());
    let long = "#".repeat(5 << 20);
    assert_eq!(system::parse(&long).unwrap_err()[0].code, "too-long");
}
