//! Self-contained proofs that an entry is in a log (C2SP tlog-proof).
//!
//! Owns the text form and its verification. Must never trust the entry it carries before its hash
//! is proven. Called by the log, the pack and the command line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::entry::LEAF_BYTES_MAX;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError, Verifier, decode_hash};
use crate::tree::{Hash, leaf_hash, verify_inclusion};

/// A proof with the entry it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry.
    pub leaf: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// Sibling hashes, leaf first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Proof {
    /// The text form; the entry is the extra data.
    pub fn to_text(&self) -> String {
        let mut text =
            format!("{HEADER}\nextra {}\nindex {}\n", STANDARD.encode(&self.leaf), self.index);
        for hash in &self.hashes {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads the text form; nothing is verified yet.
    ///
    /// # Errors
    /// [`ProofError::Form`] if it is not such a proof with an entry.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ProofError::Form("too long"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(ProofError::Form("no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(ProofError::Form("the first line is another"));
        }
        let leaf = lines
            .next()
            .and_then(|line| line.strip_prefix("extra "))
            .and_then(|extra| STANDARD.decode(extra).ok())
            .filter(|leaf| leaf.len() <= LEAF_BYTES_MAX)
            .ok_or(ProofError::Form("no entry as extra data"))?;
        let digits = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = digits
            .and_then(|digits| digits.parse::<u64>().ok())
            .filter(|index| Some(index.to_string().as_str()) == digits)
            .ok_or(ProofError::Form("no index"))?;
        let hashes: Vec<Hash> = lines
            .map(decode_hash)
            .collect::<Option<_>>()
            .ok_or(ProofError::Form("a line is not a hash"))?;
        if hashes.len() > HASHES_MAX {
            return Err(ProofError::Form("too many hashes"));
        }
        Ok(Self { leaf, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies the checkpoint's signature and that the entry is under its root.
    ///
    /// # Errors
    /// [`ProofError`] if either fails.
    pub fn verify(&self, verifier: &Verifier) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, verifier)?;
        let leaf = leaf_hash(&self.leaf);
        let root = &checkpoint.root;
        if !verify_inclusion(&leaf, self.index, checkpoint.size, &self.hashes, root) {
            return Err(ProofError::NotIncluded(self.index));
        }
        Ok(checkpoint)
    }
}

/// Why a proof is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not the text form.
    #[error("not a proof of inclusion: {0}")]
    Form(&'static str),
    /// The hashes do not lead to the root.
    #[error("the entry is not at index {0} of the log the checkpoint names")]
    NotIncluded(u64),
    /// The checkpoint does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
}

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A path in a tree of 2^64 leaves.
const HASHES_MAX: usize = 64;
/// A checkpoint, the largest entry in base64, and the path.
const TEXT_BYTES_MAX: usize = NOTE_BYTES_MAX + LEAF_BYTES_MAX * 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::LogKey;
    use crate::log::Log;

    #[test]
    fn proofs_round_trip_and_every_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::generate().unwrap();
        let verifier = Verifier::new("example.invalid/log", key.public()).unwrap();
        let mut log = Log::create(dir.path(), "example.invalid/log", key).unwrap();
        log.append(&(0..11u8).map(|i| vec![i; 5]).collect::<Vec<_>>()).unwrap();
        for index in 0..11 {
            let proof = log.proof(index).unwrap();
            let text = proof.to_text();
            assert_eq!(Proof::parse(&text).unwrap(), proof);
            assert_eq!(proof.verify(&verifier).unwrap().size, 11);
        }
        let text = log.proof(6).unwrap().to_text();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let accepted = String::from_utf8(bytes)
                .ok()
                .and_then(|text| Proof::parse(&text).ok())
                .is_some_and(|proof| proof.verify(&verifier).is_ok());
            assert!(!accepted, "byte {place} of\n{text}");
        }
    }
}
