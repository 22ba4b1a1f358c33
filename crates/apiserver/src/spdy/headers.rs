//! Blocks of headers: names and values, compressed with zlib as one stream a direction, which begins with a dictionary that
//! both sides know.

use std::sync::LazyLock;

use bytes::{Buf as _, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Fault;

/// The most bytes that a block may have once it is decompressed.
pub(crate) const BLOCK_BYTES_MAX: usize = 16 << 10;

/// The most headers of one block.
pub(crate) const HEADERS_MAX: usize = 64;

/// The words that the dictionary begins with, each behind its length.
const WORDS: [&str; 65] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];

/// What it ends with.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Au\
    thoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidd\
    en404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr Ma\
    y Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,imag\
    e/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicpri\
    vatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let counted = |word: &&str| [&(word.len() as u32).to_be_bytes()[..], word.as_bytes()].concat();
    let mut dictionary: Vec<u8> = WORDS.iter().flat_map(counted).collect();
    dictionary.extend_from_slice(TAIL.as_bytes());
    dictionary
});

/// The headers of a stream, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a header, whose name is not told apart by its case; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Reads blocks, which must be given in the order in which they came.
pub(crate) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// Reads a block.
    pub(crate) fn read(&mut self, block: &[u8]) -> Result<Headers, Fault> {
        // A block that fills this is too large.
        let mut out = Vec::with_capacity(BLOCK_BYTES_MAX + 1);
        let begin = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - begin).map_err(|_| Fault::Headers)?;
            let rest = block.get(read..).ok_or(Fault::Headers)?;
            let before = (rest.len(), out.len());
            match self.0.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Fault::Headers)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(Fault::Headers),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if out.len() > BLOCK_BYTES_MAX {
                return Err(Fault::HeadersTooLarge);
            }
            let left = block.len() - usize::try_from(self.0.total_in() - begin).map_err(|_| Fault::Headers)?;
            if left == 0 || before == (left, out.len()) {
                break;
            }
        }
        parse(out.into()).ok_or(Fault::Headers)
    }
}

fn parse(mut block: Bytes) -> Option<Headers> {
    let count = block.try_get_u32().ok()? as usize;
    if count > HEADERS_MAX {
        return None;
    }
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((text(&mut block)?, text(&mut block)?));
    }
    block.is_empty().then_some(Headers(headers))
}

fn text(block: &mut Bytes) -> Option<String> {
    let length = block.try_get_u32().ok()? as usize;
    if length > block.len() {
        return None;
    }
    String::from_utf8(block.split_to(length).to_vec()).ok()
}

/// Writes blocks, which must be sent in the order in which they were written.
pub(crate) struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        // A compressor that has compressed nothing takes a dictionary.
        let _ = compress.set_dictionary(&DICTIONARY);
        Self(compress)
    }
}

impl Deflater {
    /// Writes a block.
    pub(crate) fn write(&mut self, headers: &[(&str, &str)]) -> Bytes {
        let mut block = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        // Even what cannot be compressed grows by a few bytes only.
        let mut out = Vec::with_capacity(block.len() + 128);
        let begin = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - begin).unwrap_or(block.len());
            let full = out.capacity();
            let done = self.0.compress_vec(&block[read..], &mut out, FlushCompress::Sync).is_err();
            if done || out.len() < full {
                return out.into();
            }
            out.reserve(128);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_standard() {
        let adler = DICTIONARY.iter().fold((1_u32, 0_u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        assert_eq!((DICTIONARY.len(), adler.1 << 16 | adler.0), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        for round in 0..40 {
            let port = round.to_string();
            let long = "x".repeat(round * 100);
            let block = deflater.write(&[("streamtype", "data"), ("port", &port), ("long", &long)]);
            let headers = inflater.read(&block).unwrap();
            assert_eq!((headers.get("streamType"), headers.get("port")), ("data", &*port));
            assert_eq!((headers.get("long"), headers.get("none"), headers.len()), (&*long, "", 3));
        }
    }

    #[test]
    fn what_is_too_large_or_no_block_is_refused() {
        let read = |headers: &[(&str, &str)]| Inflater::default().read(&Deflater::default().write(headers));
        let fits = "x".repeat(BLOCK_BYTES_MAX - 4 - 8 - 4);
        assert_eq!(read(&[("long", &fits)]).unwrap().len(), 1);
        assert_eq!(read(&[("long", &(fits + "x"))]), Err(Fault::HeadersTooLarge));
        let bomb = "0".repeat(8 << 20);
        assert_eq!(read(&[("bomb", &bomb)]), Err(Fault::HeadersTooLarge));
        assert_eq!(read(&[("a", "b"); HEADERS_MAX]).unwrap().len(), HEADERS_MAX);
        assert_eq!(read(&[("a", "b"); HEADERS_MAX + 1]), Err(Fault::Headers));
        for block in [&b"nonsense"[..], b"", b"\x78\x9c", &[0x78, 0xbb, 0, 0, 0, 0, 1]] {
            assert_eq!(Inflater::default().read(block), Err(Fault::Headers), "{block:?}");
        }
    }
}
