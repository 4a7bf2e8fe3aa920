//! Keys: ECDSA P-256 for statements, Ed25519 for the checkpoints of the log.
//!
//! Owns generation, key files (PKCS#8 PEM, encrypted by default) and public forms. Must never
//! print a private key, keep one unencrypted unless its file and origin say DEMO, or overwrite a
//! key file. Called by the command line and `assess`. [`random_bytes`] is the only source of
//! randomness of this crate.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
    PrivateKeyInfoRef, SecretDocument,
};
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::durable::{self, DurableError, Fs};

/// How a private key lies in its file.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// Encrypted (PBES2: PBKDF2-HMAC-SHA-256, AES-256-CBC) under this passphrase.
    Passphrase(&'a str),
    /// Unencrypted; only for a throw-away key whose file name holds `DEMO`.
    Demo,
}

impl fmt::Debug for Protection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(..)",
            Self::Demo => "Demo",
        })
    }
}

/// The key that signs statements: ECDSA P-256 with SHA-256, nonces after RFC 6979.
pub struct StatementKey {
    key: p256::ecdsa::SigningKey,
    demo: bool,
}

impl StatementKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] if the system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        loop {
            let bytes = random_bytes::<32>()?;
            // Zero or beyond the group order has probability 2^-32; draw again.
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(bytes.as_slice()) {
                return Ok(Self { key, demo: false });
            }
        }
    }

    /// Reads a key file; `passphrase` is ignored for an unencrypted (demo) key.
    ///
    /// # Errors
    /// [`KeyError`] if the file is not such a key or the passphrase is wrong or missing.
    pub fn load(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let (key, demo) = load(path, passphrase)?;
        Ok(Self { key, demo })
    }

    /// Writes a new key file (mode 0600 where modes exist).
    ///
    /// # Errors
    /// [`KeyError`] if the file exists, cannot be written, or is a demo key not named so.
    pub fn save(&self, fs: &dyn Fs, path: &Path, how: Protection<'_>) -> Result<(), KeyError> {
        save(fs, path, how, &self.key.to_pkcs8_der().map_err(|_| KeyError::Encoding)?)
    }

    /// The public half.
    pub fn public(&self) -> StatementPublicKey {
        StatementPublicKey(*self.key.verifying_key())
    }

    /// Whether it is a throw-away key: it was read from an unencrypted file.
    pub fn is_demo(&self) -> bool {
        self.demo
    }

    /// Marks a freshly generated key as throw-away.
    #[must_use]
    pub fn into_demo(self) -> Self {
        Self { demo: true, ..self }
    }

    /// DER signature of `message`; the same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = self.key.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementKey({})", self.public().fingerprint())
    }
}

/// The public half of a [`StatementKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPublicKey(p256::ecdsa::VerifyingKey);

impl StatementPublicKey {
    /// Reads SPKI PEM.
    ///
    /// # Errors
    /// [`KeyError::Public`] if the text is not a P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = p256::ecdsa::VerifyingKey::from_public_key_pem(pem);
        key.map(Self).map_err(|_| KeyError::Public("ECDSA P-256"))
    }

    /// SPKI PEM.
    ///
    /// # Errors
    /// [`KeyError::Encoding`], which would be a fault of ours.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Encoding)
    }

    /// SHA-256 of the SPKI DER.
    pub fn fingerprint(&self) -> Digest {
        // Encoding a valid point cannot fail; an empty document has a digest no key has.
        let der = self.0.to_public_key_der();
        Digest::of(der.as_ref().map(|d| d.as_bytes()).unwrap_or_default())
    }

    /// Whether `der_signature` is this key's over `message`.
    pub fn verify(&self, message: &[u8], der_signature: &[u8]) -> bool {
        p256::ecdsa::Signature::from_der(der_signature)
            .is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

/// The key that signs the checkpoints of a log: Ed25519.
pub struct LogKey {
    key: ed25519_dalek::SigningKey,
    demo: bool,
}

impl LogKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] if the system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        let bytes = random_bytes::<32>()?;
        Ok(Self { key: ed25519_dalek::SigningKey::from_bytes(&bytes), demo: false })
    }

    /// Reads a key file; `passphrase` is ignored for an unencrypted (demo) key.
    ///
    /// # Errors
    /// [`KeyError`] if the file is not such a key or the passphrase is wrong or missing.
    pub fn load(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let (key, demo) = load(path, passphrase)?;
        Ok(Self { key, demo })
    }

    /// Writes a new key file (mode 0600 where modes exist).
    ///
    /// # Errors
    /// [`KeyError`] if the file exists, cannot be written, or is a demo key not named so.
    pub fn save(&self, fs: &dyn Fs, path: &Path, how: Protection<'_>) -> Result<(), KeyError> {
        // Without the public half: version 1 of the structure, which every openssl reads.
        let pair = ed25519_dalek::pkcs8::KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        save(fs, path, how, &pair.to_pkcs8_der().map_err(|_| KeyError::Encoding)?)
    }

    /// Writes a new key file that a program can read unattended: unencrypted, mode 0600.
    ///
    /// # Errors
    /// [`KeyError`] if the file exists or cannot be written.
    pub fn save_unattended(&self, fs: &dyn Fs, path: &Path) -> Result<(), KeyError> {
        if path.exists() {
            return Err(KeyError::Exists(path.to_owned()));
        }
        let pair = ed25519_dalek::pkcs8::KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        let der = pair.to_pkcs8_der().map_err(|_| KeyError::Encoding)?;
        let pem = der.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Encoding)?;
        Ok(durable::write_private(fs, path, pem.as_bytes())?)
    }

    /// Reads a key file of [`LogKey::save_unattended`]. Whoever can read the file can sign as
    /// this log, so it must belong to one log only and be readable by its owner alone.
    ///
    /// # Errors
    /// [`KeyError`] if it is not such a key, or others can read it.
    pub fn load_unattended(path: &Path) -> Result<Self, KeyError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let facts = std::fs::metadata(path).map_err(DurableError::at("inspect", path))?;
            if facts.permissions().mode() & 0o077 != 0 {
                return Err(KeyError::Shared(path.to_owned()));
            }
        }
        let bytes = Zeroizing::new(durable::read_bounded(path, KEY_FILE_BYTES_MAX)?);
        let wrong = || KeyError::Private(path.to_owned());
        let pem = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map_err(|_| wrong())?;
        Ok(Self { key, demo: false })
    }

    /// The public half.
    pub fn public(&self) -> LogPublicKey {
        LogPublicKey(self.key.verifying_key())
    }

    /// Whether it is a throw-away key.
    pub fn is_demo(&self) -> bool {
        self.demo
    }

    /// Marks a freshly generated key as throw-away.
    #[must_use]
    pub fn into_demo(self) -> Self {
        Self { demo: true, key: self.key.clone() }
    }

    /// 64-byte signature of `message` (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.public().fingerprint())
    }
}

/// The public half of a [`LogKey`], without a name; see [`crate::note::Verifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPublicKey(ed25519_dalek::VerifyingKey);

impl LogPublicKey {
    /// Reads SPKI PEM.
    ///
    /// # Errors
    /// [`KeyError::Public`] if the text is not an Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(pem);
        key.map(Self).map_err(|_| KeyError::Public("Ed25519"))
    }

    /// SPKI PEM.
    ///
    /// # Errors
    /// [`KeyError::Encoding`], which would be a fault of ours.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Encoding)
    }

    /// The 32 bytes of RFC 8032.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// A key from the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::Public`] if they are not a point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(KeyError::Public("Ed25519")),
        }
    }

    /// SHA-256 of the SPKI DER.
    pub fn fingerprint(&self) -> Digest {
        let der = self.0.to_public_key_der();
        Digest::of(der.as_ref().map(|d| d.as_bytes()).unwrap_or_default())
    }

    /// Whether `signature` is this key's over `message`; malleable forms are refused.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

/// Fresh bytes from the operating system: the only randomness of this crate.
///
/// # Errors
/// [`KeyError::Randomness`] if the system gives none.
pub fn random_bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0u8; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|e| KeyError::Randomness(e.to_string()))?;
    Ok(bytes)
}

/// What is wrong with a key or its file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system has no randomness to give.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
    /// A key file is never overwritten.
    #[error("`{}` exists; a key is never overwritten, choose another name", .0.display())]
    Exists(PathBuf),
    /// An unencrypted key must be recognisable.
    #[error("`{}`: an unencrypted key is for trials only; put DEMO into its name", .0.display())]
    DemoName(PathBuf),
    /// Encrypted, and no passphrase was given.
    #[error("`{}` is encrypted; give its passphrase", .0.display())]
    PassphraseMissing(PathBuf),
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty; give one, or make a DEMO key for a trial")]
    PassphraseEmpty,
    /// Wrong passphrase, wrong algorithm or damaged file.
    #[error("`{}` is not the expected private key, or the passphrase is wrong", .0.display())]
    Private(PathBuf),
    /// Not a public key of the expected kind.
    #[error("not a public key in PEM form for {0}")]
    Public(&'static str),
    /// A key of an unattended program that others can read.
    #[error("`{}` can be read by others; take their rights away (chmod 600)", .0.display())]
    Shared(PathBuf),
    /// A key that cannot be written.
    #[error("this key cannot be encoded; please report this as a bug")]
    Encoding,
    /// The file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

fn save(
    fs: &dyn Fs,
    path: &Path,
    how: Protection<'_>,
    der: &SecretDocument,
) -> Result<(), KeyError> {
    if path.exists() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let pem = match how {
        Protection::Demo => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.contains("DEMO") {
                return Err(KeyError::DemoName(path.to_owned()));
            }
            der.to_pem("PRIVATE KEY", LineEnding::LF)
        }
        Protection::Passphrase("") => return Err(KeyError::PassphraseEmpty),
        Protection::Passphrase(passphrase) => {
            let salt = random_bytes::<16>()?;
            let iv = random_bytes::<16>()?;
            let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(
                PBKDF2_ITERATIONS,
                salt.as_slice(),
                *iv,
            )
            .map_err(|_| KeyError::Encoding)?;
            let info =
                PrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|_| KeyError::Encoding)?;
            info.encrypt_with_params(parameters, passphrase)
                .map_err(|_| KeyError::Encoding)?
                .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        }
    }
    .map_err(|_| KeyError::Encoding)?;
    Ok(durable::write_private(fs, path, pem.as_bytes())?)
}

fn load<K: DecodePrivateKey>(path: &Path, passphrase: Option<&str>) -> Result<(K, bool), KeyError> {
    let bytes = Zeroizing::new(durable::read_bounded(path, KEY_FILE_BYTES_MAX)?);
    let pem = std::str::from_utf8(&bytes).map_err(|_| KeyError::Private(path.to_owned()))?;
    let wrong = |_| KeyError::Private(path.to_owned());
    if pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let passphrase = passphrase.ok_or_else(|| KeyError::PassphraseMissing(path.to_owned()))?;
        return Ok((K::from_pkcs8_encrypted_pem(pem, passphrase).map_err(wrong)?, false));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("DEMO") {
        return Err(KeyError::DemoName(path.to_owned()));
    }
    Ok((K::from_pkcs8_pem(pem).map_err(wrong)?, true))
}

/// Work factor of the passphrase: the OWASP figure of 2023 for PBKDF2-HMAC-SHA-256.
const PBKDF2_ITERATIONS: u32 = 600_000;
/// A key file holds some hundred bytes; anything longer is another kind of file.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::OsFs;

    #[test]
    fn signatures_are_those_of_rfc_6979() {
        // RFC 6979, A.2.5, P-256 with SHA-256, message "sample"
        let x = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let key = p256::ecdsa::SigningKey::from_slice(&x.unwrap()).unwrap();
        let key = StatementKey { key, demo: false };
        let der = key.sign(b"sample");
        let signature = p256::ecdsa::Signature::from_der(&der).unwrap();
        assert_eq!(
            hex::encode(signature.to_bytes()),
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        );
        assert!(key.public().verify(b"sample", &der));
        assert!(!key.public().verify(b"Sample", &der));
    }

    #[test]
    fn log_signatures_are_those_of_rfc_8032() {
        // RFC 8032, 7.1, TEST 1
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = ed25519_dalek::SigningKey::from_bytes(&seed.unwrap().try_into().unwrap());
        let key = LogKey { key, demo: false };
        assert_eq!(
            hex::encode(key.sign(b"")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555\
             fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(key.public().verify(b"", &key.sign(b"")));
    }

    #[test]
    fn key_files_round_trip_and_refuse() {
        let dir = tempfile::tempdir().unwrap();
        let statement = StatementKey::generate().unwrap();
        let log = LogKey::generate().unwrap();
        let path = dir.path().join("statement.pem");
        statement.save(&OsFs, &path, Protection::Passphrase("correct horse")).unwrap();
        assert!(matches!(
            statement.save(&OsFs, &path, Protection::Passphrase("x")),
            Err(KeyError::Exists(_))
        ));
        let read = StatementKey::load(&path, Some("correct horse")).unwrap();
        assert_eq!(read.public(), statement.public());
        assert!(!read.is_demo());
        assert!(matches!(StatementKey::load(&path, None), Err(KeyError::PassphraseMissing(_))));
        assert!(matches!(StatementKey::load(&path, Some("x")), Err(KeyError::Private(_))));
        assert!(LogKey::load(&path, Some("correct horse")).is_err(), "another algorithm");

        let plain = dir.path().join("log.pem");
        assert!(matches!(log.save(&OsFs, &plain, Protection::Demo), Err(KeyError::DemoName(_))));
        let demo = dir.path().join("log.DEMO.pem");
        log.save(&OsFs, &demo, Protection::Demo).unwrap();
        let read = LogKey::load(&demo, None).unwrap();
        assert_eq!(read.public(), log.public());
        assert!(read.is_demo());
        std::fs::copy(&demo, &plain).unwrap();
        assert!(LogKey::load(&plain, None).is_err(), "an unencrypted key under another name");
        assert!(matches!(
            log.save(&OsFs, &dir.path().join("e"), Protection::Passphrase("")),
            Err(KeyError::PassphraseEmpty)
        ));
    }

    #[cfg(unix)]
    #[test]
    fn unattended_keys_are_private_or_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        let key = LogKey::generate().unwrap();
        key.save_unattended(&OsFs, &path).unwrap();
        assert_eq!(LogKey::load_unattended(&path).unwrap().public(), key.public());
        assert!(matches!(key.save_unattended(&OsFs, &path), Err(KeyError::Exists(_))));
        assert!(matches!(LogKey::load(&path, None), Err(KeyError::DemoName(_))));
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, open).unwrap();
        assert!(matches!(LogKey::load_unattended(&path), Err(KeyError::Shared(_))));
    }

    #[test]
    fn public_forms_round_trip() {
        let statement = StatementKey::generate().unwrap().public();
        let log = LogKey::generate().unwrap().public();
        assert_eq!(StatementPublicKey::from_pem(&statement.to_pem().unwrap()).unwrap(), statement);
        assert_eq!(LogPublicKey::from_pem(&log.to_pem().unwrap()).unwrap(), log);
        assert_eq!(LogPublicKey::from_bytes(&log.to_bytes()).unwrap(), log);
        assert!(LogPublicKey::from_bytes(&[0; 32]).is_err());
        assert!(StatementPublicKey::from_pem(&log.to_pem().unwrap()).is_err());
        assert_eq!(statement.fingerprint().hex().len(), 64);
    }
}
