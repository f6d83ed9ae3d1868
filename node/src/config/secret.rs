//! The cluster's secret: who has it is a member or a client.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use super::place::Error;

/// 32 random bytes shared by all nodes and clients. Never shown: not in a log, not in an error.
#[derive(Clone)]
pub struct Secret([u8; Secret::SIZE_BYTES]);

impl Secret {
    /// How long a secret is.
    pub const SIZE_BYTES: usize = 32;

    /// A fresh one, from the operating system. An error says why it has none to give.
    pub(super) fn fresh() -> Result<Secret, getrandom::Error> {
        let mut bytes = [0; Secret::SIZE_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Secret(bytes))
    }

    /// For the derivation of keys, and nothing else.
    pub fn bytes(&self) -> &[u8; Secret::SIZE_BYTES] {
        &self.0
    }

    /// What the secret file holds: 64 hexadecimal digits and the end of the line.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect()
    }

    /// Reads what `text` gives. White space around it is ignored: editors and `echo` add it.
    /// Errors name positions, never what stands there.
    pub(super) fn parse(file: &Path, text: &[u8]) -> Result<Secret, Error> {
        const REMEDY: &str = "write 64 hexadecimal digits, or copy the file from another node";
        let refuse = |found: String| Error::new(file, "", found, REMEDY);
        let digits = text.trim_ascii();
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        if let Some(position) = digits.iter().position(|digit| value(digit).is_none()) {
            return Err(refuse(format!("character {} is no hexadecimal digit", position + 1)));
        }
        if digits.len() != 2 * Secret::SIZE_BYTES {
            return Err(refuse(format!("has {} hexadecimal digits", digits.len())));
        }
        let mut bytes = [0; Secret::SIZE_BYTES];
        for (byte, digit) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let halves = digit.each_ref().map(|digit| value(digit).expect("checked above") as u8);
            *byte = halves[0] << 4 | halves[1];
        }
        Ok(Secret(bytes))
    }

    /// Reads a secret file; `named_by` is the cluster file, for the message. A file that others may
    /// read or write is refused, as ssh refuses such a key: the secret is all there is to a node's
    /// identity, and a warning at the head of a log is read by nobody.
    pub(super) fn read(file: &Path, named_by: &Path) -> Result<Secret, Error> {
        const TEXT_BYTES_MAX: u64 = 4096;
        let failed = |error: std::io::Error| {
            let named_by = named_by.display();
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "copy it from the node that has it (`node init` makes one)"
                }
                std::io::ErrorKind::PermissionDenied => "let the user of this program own it",
                _ => "see to the file",
            };
            Error::new(file, "", format!("the secret that {named_by} names: {error}"), remedy)
        };
        let mut open = File::open(file).map_err(failed)?;
        let metadata = open.metadata().map_err(failed)?;
        let (mode, most) = (metadata.mode() & 0o777, mode_max(metadata.uid(), geteuid().as_raw()));
        if mode & !most & 0o077 != 0 {
            let found = format!("the secret is open to other users (mode {mode:04o})");
            let remedy = format!("run chmod {most:o} {}", file.display());
            return Err(Error::new(file, "", found, &remedy));
        }
        let mut text = Vec::new();
        open.by_ref().take(TEXT_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        Secret::parse(file, &text)
    }
}

/// The most that may be allowed to others than the owner of a secret. What root lends to a service,
/// it lends to its group, or by an access list, which shows as the group's rights: so does systemd.
/// PostgreSQL has the same rule for its keys.
fn mode_max(owner: u32, reader: u32) -> u32 {
    if owner == 0 && reader != 0 { 0o640 } else { 0o600 }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back_and_two_are_never_equal() {
        let (one, other) = (Secret::fresh().expect("random"), Secret::fresh().expect("random"));
        let read = Secret::parse(Path::new("s"), one.text().to_uppercase().as_bytes());
        assert_eq!(read.expect("its own text").bytes(), one.bytes());
        assert_ne!(one.bytes(), other.bytes());
    }

    #[test]
    fn only_root_may_lend_a_secret_to_a_group() {
        assert_eq!(mode_max(0, 1000), 0o640);
        for (owner, reader) in [(1000, 1000), (0, 0), (1001, 1000), (1000, 0)] {
            assert_eq!(mode_max(owner, reader), 0o600, "{owner} {reader}");
        }
    }

    #[test]
    fn nothing_shows_the_secret() {
        let secret = Secret::fresh().expect("random");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        let text = secret.text();
        for broken in [format!("{}z", text.trim()), text[..63].to_owned()] {
            let error = Secret::parse(Path::new("s"), broken.as_bytes()).expect_err("broken");
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains(&text[..8]), "{shown}");
            }
        }
    }
}
