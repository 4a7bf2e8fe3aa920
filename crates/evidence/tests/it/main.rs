//! Integration tests of the evidence: packs end to end, faults at every write, and OpenSSL as an
//! independent judge where it is installed.

mod faults;
mod openssl;
mod pack;
mod support;
