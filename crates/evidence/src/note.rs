//! Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) with Ed25519.
//!
//! Owns their text forms and verification. Must never trust a line before its signature is
//! verified by a key the caller named. Called by the log, proofs, anchors and the pack.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::keys::{LogKey, LogPublicKey};
use crate::tree::Hash;

/// A public key with the name it signs under; text form `name+keyid+base64` (a "vkey").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: LogPublicKey,
}

impl Verifier {
    /// A verifier for `key` under `name` (of a log: its origin).
    ///
    /// # Errors
    /// [`NoteError::Name`] if the name is empty or holds spaces, control characters or `+`.
    pub fn new(name: &str, key: LogPublicKey) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// Reads the vkey text form (a final newline is allowed).
    ///
    /// # Errors
    /// [`NoteError::Vkey`] if it is not an Ed25519 vkey or its key id does not fit.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let line = vkey.strip_suffix('\n').unwrap_or(vkey);
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Vkey);
        };
        check_name(name)?;
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Vkey)?;
        let Some((&ED25519_TYPE, key)) = bytes.split_first() else { return Err(NoteError::Vkey) };
        let key: [u8; 32] = key.try_into().map_err(|_| NoteError::Vkey)?;
        let key = LogPublicKey::from_bytes(&key).map_err(|_| NoteError::Vkey)?;
        let verifier = Self { name: name.to_owned(), key };
        if id != hex::encode(verifier.key_id()) {
            return Err(NoteError::Vkey);
        }
        Ok(verifier)
    }

    /// The vkey text form, without a final newline.
    pub fn vkey(&self) -> String {
        let mut typed = vec![ED25519_TYPE];
        typed.extend_from_slice(&self.key.to_bytes());
        format!("{}+{}+{}", self.name, hex::encode(self.key_id()), STANDARD.encode(typed))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &LogPublicKey {
        &self.key
    }

    fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, &self.key)
    }
}

/// A parsed note: the signed text and its signature lines, nothing verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl Note {
    /// Splits a note into text and signatures.
    ///
    /// # Errors
    /// [`NoteError::Form`] if it is not a signed note.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Form("too long, or holds control characters"));
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Form("no signature"))?;
        let (text, rest) = note.split_at(split + 1);
        let block = rest.strip_prefix('\n').unwrap_or(rest);
        let block = block.strip_suffix('\n').ok_or(NoteError::Form("no final newline"))?;
        let signatures = block.split('\n').map(parse_line).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Form("too many signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, which ends in a newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `verifier` signed the text; a wrong signature under its name and id is an error.
    ///
    /// # Errors
    /// [`NoteError::Signature`] if a line claims this key and does not verify;
    /// [`NoteError::Unsigned`] if no line claims it.
    pub fn verify(&self, verifier: &Verifier) -> Result<(), NoteError> {
        let mut seen = false;
        for line in &self.signatures {
            if line.name != verifier.name || line.id != verifier.key_id() {
                continue;
            }
            if !verifier.key.verify(self.text.as_bytes(), &line.signature) {
                return Err(NoteError::Signature(line.name.clone()));
            }
            seen = true;
        }
        if seen { Ok(()) } else { Err(NoteError::Unsigned(verifier.vkey())) }
    }

    /// Whether `key` made any of the signatures, under whatever name.
    pub fn is_signed_with(&self, key: &LogPublicKey) -> bool {
        self.signatures.iter().any(|line| key.verify(self.text.as_bytes(), &line.signature))
    }
}

/// The signature line (with newline) of `key` under `name` over `text`.
///
/// # Errors
/// [`NoteError::Name`] for a name a note cannot carry.
pub fn sign_line(name: &str, key: &LogKey, text: &str) -> Result<String, NoteError> {
    check_name(name)?;
    let mut bytes = key_id(name, &key.public()).to_vec();
    bytes.extend_from_slice(&key.sign(text.as_bytes()));
    Ok(format!("\u{2014} {name} {}\n", STANDARD.encode(bytes)))
}

/// What a log commits to: its size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree of these leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The checkpoint as a note signed by the log's key.
    ///
    /// # Errors
    /// [`NoteError::Name`] if the origin is not a valid key name.
    pub fn sign(&self, key: &LogKey) -> Result<String, NoteError> {
        let text = self.text();
        let line = sign_line(&self.origin, key, &text)?;
        Ok(format!("{text}\n{line}"))
    }

    /// Reads a checkpoint without verifying its signature.
    ///
    /// # Errors
    /// [`NoteError`] if it is not a checkpoint.
    pub fn parse_unverified(note: &str) -> Result<Self, NoteError> {
        Self::from_note(&Note::parse(note)?)
    }

    /// Reads a checkpoint and verifies the log's signature and origin.
    ///
    /// # Errors
    /// [`NoteError`] if it is not a checkpoint of that log.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        note.verify(verifier)?;
        let checkpoint = Self::from_note(&note)?;
        if checkpoint.origin != verifier.name {
            return Err(NoteError::Origin {
                found: checkpoint.origin,
                expected: verifier.name.clone(),
            });
        }
        Ok(checkpoint)
    }

    fn from_note(note: &Note) -> Result<Self, NoteError> {
        let mut lines = note.text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Form("not three lines of text"));
        };
        let parsed: u64 = size.parse().map_err(|_| NoteError::Form("size is not a number"))?;
        if parsed.to_string() != size {
            return Err(NoteError::Form("size is not a plain decimal"));
        }
        let root = decode_hash(root).ok_or(NoteError::Form("root is not a hash"))?;
        check_name(origin)?;
        Ok(Self { origin: origin.to_owned(), size: parsed, root })
    }
}

/// Base64 of a hash, strictly: no spaces, no second spelling.
pub(crate) fn decode_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Why a note or checkpoint is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// A name a note cannot carry.
    #[error("`{0}` cannot be a key name: it is empty or holds a space, control character or `+`")]
    Name(String),
    /// Not a vkey.
    #[error("not an Ed25519 verifier key of the form `name+keyid+base64`")]
    Vkey,
    /// Not the form of a note or checkpoint.
    #[error("not a signed checkpoint: {0}")]
    Form(&'static str),
    /// A signature that does not fit.
    #[error("the checkpoint's signature by `{0}` does not fit its text")]
    Signature(String),
    /// No signature by the expected key.
    #[error("the checkpoint is not signed by `{0}`")]
    Unsigned(String),
    /// A checkpoint of another log.
    #[error("a checkpoint of the log `{found}`, expected `{expected}`")]
    Origin {
        /// The origin in the checkpoint.
        found: String,
        /// The expected one.
        expected: String,
    },
}

fn parse_line(line: &str) -> Result<Line, NoteError> {
    let fault = NoteError::Form("a signature line is malformed");
    let Some((name, blob)) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')) else {
        return Err(fault);
    };
    check_name(name)?;
    let bytes = STANDARD.decode(blob).map_err(|_| NoteError::Form("a signature is not base64"))?;
    let Some((id, signature)) = bytes.split_first_chunk::<4>() else { return Err(fault) };
    Ok(Line { name: name.to_owned(), id: *id, signature: signature.to_vec() })
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(bad) {
        return Err(NoteError::Name(name.chars().take(80).collect()));
    }
    Ok(())
}

fn key_id(name: &str, key: &LogPublicKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', ED25519_TYPE]);
    hasher.update(key.to_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

/// Signature type of plain Ed25519 (signed-note, "Signature types").
const ED25519_TYPE: u8 = 0x01;
/// The specification asks to accept at least 16 signatures.
const SIGNATURES_MAX: usize = 64;
/// 64 signatures of the largest post-quantum kind stay below this.
pub(crate) const NOTE_BYTES_MAX: usize = 512 * 1024;
/// A schema-less URL.
const NAME_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_note_verifies() {
        // Example of golang.org/x/mod/sumdb/note (PeterNeumann), the first implementation
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\
                    \n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1\
                    FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let verifier = Verifier::parse(vkey).unwrap();
        assert_eq!(verifier.vkey(), vkey);
        let parsed = Note::parse(note).unwrap();
        parsed.verify(&verifier).unwrap();
        let changed = Note::parse(&note.replace("answer", "Answer")).unwrap();
        assert!(matches!(changed.verify(&verifier), Err(NoteError::Signature(_))));
    }

    #[test]
    fn every_changed_byte_of_a_checkpoint_is_found() {
        let key = LogKey::generate().unwrap();
        let verifier = Verifier::new("example.invalid/log", key.public()).unwrap();
        let checkpoint =
            Checkpoint { origin: "example.invalid/log".into(), size: 10, root: [7; 32] };
        let note = checkpoint.sign(&key).unwrap();
        assert_eq!(Checkpoint::open(&note, &verifier).unwrap(), checkpoint);
        for place in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1;
            let accepted = String::from_utf8(bytes)
                .is_ok_and(|text| Checkpoint::open(&text, &verifier).is_ok());
            assert!(!accepted, "byte {place}");
        }
    }

    #[test]
    fn malformed_forms_are_refused() {
        let key = LogKey::generate().unwrap();
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
            assert!(Verifier::new(name, key.public()).is_err(), "{name:?}");
        }
        for text in ["", "a\n", "a\n\n", "a\n\nb\n", "a\n\n\u{2014} a AAAA", "\n\n\u{2014} a A\n"] {
            assert!(Note::parse(text).is_err(), "{text:?}");
        }
        for text in ["o\n010\n", "o\n-1\n", "o\nx\n"] {
            let text = format!("{text}{}\n", STANDARD.encode([0; 32]));
            let note = format!("{text}\n{}", sign_line("o", &key, &text).unwrap());
            assert!(Checkpoint::parse_unverified(&note).is_err(), "{text:?}");
        }
    }
}
