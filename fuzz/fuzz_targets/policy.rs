//! The policy of the guard: any text is read or refused, and what is read reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmark_server::policy::parse;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text, None) {
        Ok(policy) => {
            assert!(policy.listen.admin.ip().is_loopback());
            assert!(policy.listen.address.ip().is_loopback() || policy.listen.tls.is_some());
            assert!(policy.limits.rows > 0 && policy.limits.burst as usize >= policy.limits.rows);
            assert_eq!(parse(text, None).ok().as_ref(), Some(&policy));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.span.end <= text.len());
            }
        }
    }
});
