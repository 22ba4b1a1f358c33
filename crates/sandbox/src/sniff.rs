//! What the first bytes of an image look like.

use crate::errors::ImageError;

/// The two kinds of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// The largest image: a Python component has 18 MB.
pub const MAX_IMAGE_BYTES: u64 = 128 << 20;

/// Bytes of a file that are looked at to tell what it is.
const LOOK_AT_BYTES: usize = 512;

/// Beginnings of files that are pushed by mistake.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a program or library of Linux (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a program of macOS (Mach-O)"),
    (b"MZ", "a program of Windows (PE)"),
    (b"\x1f\x8b", "a gzip archive, perhaps a layer of a container image"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive, perhaps a layer of a container image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"!<arch>", "a static library (ar)"),
    (b"#!", "a script"),
    (b"BC\xc0\xde", "LLVM bitcode"),
];

/// Tells modules from components, and both from everything else.
pub(crate) fn form(bytes: &[u8]) -> Result<Form, ImageError> {
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        return Err(ImageError::TooLarge { bytes: bytes.len() as u64, limit: MAX_IMAGE_BYTES });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(ImageError::Precompiled);
    }
    match bytes {
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Ok(Form::Module),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(Form::Component),
        _ => Err(ImageError::NotWasm { looks_like: looks_like(bytes) }),
    }
}

fn looks_like(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "it is empty".into();
    }
    if let Some((_, what)) = KNOWN.iter().find(|(start, _)| bytes.starts_with(start)) {
        return format!("it looks like {what}");
    }
    let head = &bytes[..bytes.len().min(LOOK_AT_BYTES)];
    match std::str::from_utf8(head) {
        Ok(text) if text.trim_start().starts_with("(module") || text.trim_start().starts_with("(component") => {
            "it looks like WebAssembly as text; assemble it first".into()
        }
        Ok(text) => format!("it looks like text: {:?}", text.chars().take(40).collect::<String>()),
        Err(_) => format!("it begins with the bytes {:02x?}", &bytes[..bytes.len().min(8)]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, form};

    #[test]
    fn mistakes_are_named() {
        let said = |bytes: &[u8]| form(bytes).map_err(|error| error.to_string());
        assert_eq!(said(b"\0asm\x01\0\0\0"), Ok(Form::Module));
        assert_eq!(said(b"\0asm\x0d\0\x01\0"), Ok(Form::Component));
        for (bytes, word) in [
            (&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..], "ELF"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"", "empty"),
            (b"(module)", "assemble"),
            (b"FROM scratch", "text"),
            (b"\xff\xfe\xfd", "bytes"),
        ] {
            let error = said(bytes).expect_err("not WebAssembly");
            assert!(error.contains(word), "{error}");
        }
    }
}
