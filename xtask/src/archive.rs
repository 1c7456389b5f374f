//! Archives in the format cpio newc, as Linux unpacks them into its first root directory.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::{fs, process};

use anyhow::Result;
use cpio::newc::{Builder, ModeFileType, trailer};

/// What is at a path. It belongs to root, and is as old as time.
pub enum Node {
    Directory { permissions: u32 },
    File { permissions: u32, bytes: Vec<u8> },
    Link(String),
    Device { permissions: u32, major: u32, minor: u32 },
}

impl Node {
    pub fn file(permissions: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self::File { permissions, bytes: bytes.into() }
    }
}

/// What is at each path, which is relative to the root. A directory is before what is in it.
pub struct Archive(pub BTreeMap<String, Node>);

impl Archive {
    /// Writes it to `path`, which holds a whole archive at every moment.
    pub fn write(&self, path: &Path) -> Result<()> {
        let unfinished = path.with_extension(process::id().to_string());
        fs::write(&unfinished, self.bytes()?)?;
        fs::rename(&unfinished, path)?;
        Ok(())
    }

    /// The same bytes for the same content.
    fn bytes(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (number, (path, node)) in (1..).zip(&self.0) {
            let entry = Builder::new(path).ino(number).nlink(1);
            let (entry, bytes) = match node {
                Node::Directory { permissions } => {
                    (entry.mode(*permissions).set_mode_file_type(ModeFileType::Directory).nlink(2), &[][..])
                }
                Node::File { permissions, bytes } => {
                    (entry.mode(*permissions).set_mode_file_type(ModeFileType::Regular), bytes.as_slice())
                }
                Node::Link(to) => {
                    (entry.mode(0o777).set_mode_file_type(ModeFileType::Symlink), to.as_bytes())
                }
                Node::Device { permissions, major, minor } => {
                    let entry = entry.mode(*permissions).set_mode_file_type(ModeFileType::Char);
                    (entry.rdev_major(*major).rdev_minor(*minor), &[][..])
                }
            };
            let mut writer = entry.write(archive, u32::try_from(bytes.len())?);
            writer.write_all(bytes)?;
            archive = writer.finish()?;
        }
        Ok(trailer(archive)?)
    }
}

#[cfg(test)]
mod tests {
    use cpio::newc::Reader;

    use super::*;

    #[test]
    fn what_is_written_can_be_read_again() {
        let nodes = [
            ("bin", Node::Directory { permissions: 0o755 }),
            ("bin/one", Node::file(0o755, *b"12345")),
            ("bin/two", Node::Link("one".to_owned())),
            ("null", Node::Device { permissions: 0o666, major: 1, minor: 3 }),
        ];
        let archive = Archive(nodes.map(|(path, node)| (path.to_owned(), node)).into());
        let bytes = archive.bytes().unwrap();
        let mut rest = bytes.as_slice();
        let mut read = Vec::new();
        loop {
            let mut reader = Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                break;
            }
            let head = (entry.name().to_owned(), entry.mode(), entry.rdev_major(), entry.rdev_minor());
            let mut content = String::new();
            std::io::Read::read_to_string(&mut reader, &mut content).unwrap();
            read.push((head, content));
            rest = reader.finish().unwrap();
        }
        let entry = |name: &str, mode, major, minor, content: &str| {
            ((name.to_owned(), mode, major, minor), content.to_owned())
        };
        assert_eq!(
            read,
            [
                entry("bin", 0o040_755, 0, 0, ""),
                entry("bin/one", 0o100_755, 0, 0, "12345"),
                entry("bin/two", 0o120_777, 0, 0, "one"),
                entry("null", 0o020_666, 1, 3, ""),
            ]
        );
        assert_eq!(bytes, archive.bytes().unwrap());
    }
}
