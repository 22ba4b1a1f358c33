//! Long answers, compressed for whoever takes it: `client-go` asks for it always. Short ones would only become later.

use std::io::{self, Read as _, Write};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body::Body as _;

use super::etag;

/// From so many bytes on an answer is compressed: Kubernetes' 128 KiB.
const GZIP_BYTES_MIN: usize = 128 << 10;

/// How thoroughly an answer is compressed: as quickly as it goes, which Kubernetes does too.
const LEVEL: u32 = 1;

/// How thoroughly a document is that is compressed once and sent often.
const PACKED_LEVEL: u32 = 6;

/// How much is compressed in one go, in bytes: a moment in which other requests wait.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Marks an answer that comes bit by bit and soon to an end. A watch must not wait until there is enough to compress.
#[derive(Clone, Copy, Debug)]
struct Compressible;

/// Whether an answer of so many bytes is compressed.
pub(crate) fn is_worth_it(length: usize) -> bool {
    length >= GZIP_BYTES_MIN
}

/// Lets an answer be compressed whose length is not known but large.
pub(crate) fn allow(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Compressible);
    response
}

/// Says that an answer is compressed.
pub(crate) fn mark(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// An answer for a client that takes gzip.
pub(crate) fn answer(response: Response<Body>) -> Response<Body> {
    let length = response.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let is_long = length.is_some_and(is_worth_it) || response.extensions().get::<Compressible>().is_some();
    if is_long && !response.headers().contains_key(header::CONTENT_ENCODING) {
        mark(response.map(compressed))
    } else {
        response
    }
}

/// Compresses a body piece by piece, as the client takes it.
fn compressed(body: Body) -> Body {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::new(LEVEL)));
    let pieces = body.into_data_stream().flat_map(|piece| match piece {
        Ok(bytes) => stream::iter(sliced(bytes).into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    let written = pieces.map(Some).chain(stream::iter([None])).map(move |piece| match (piece, &mut encoder) {
        (Some(Ok(bytes)), Some(writing)) => {
            writing.write_all(&bytes).map_err(axum::Error::new)?;
            Ok(Bytes::from(std::mem::take(writing.get_mut())))
        }
        (Some(Err(error)), _) => Err(error),
        (Some(Ok(_)), None) => Ok(Bytes::new()),
        (None, _) => {
            let finished = encoder.take().map(GzEncoder::finish).transpose();
            finished.map(|last| last.unwrap_or_default().into()).map_err(axum::Error::new)
        }
    });
    Body::from_stream(written.filter(|piece| std::future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty()))))
}

fn sliced(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while bytes.len() > PIECE_BYTES_MAX {
        pieces.push(bytes.split_to(PIECE_BYTES_MAX));
    }
    pieces.push(bytes);
    pieces
}

/// A document that is kept compressed, since most clients ask for it so.
#[derive(Debug)]
pub(crate) struct Packed {
    gzip: Bytes,
    length: usize,
    hash: String,
}

impl Packed {
    pub(crate) fn new(document: &[u8]) -> Self {
        Self::written(|into| into.write_all(document))
    }

    /// Of a document that is written piece by piece, so that it never stands in memory as a whole.
    pub(crate) fn written(write: impl FnOnce(&mut Packer) -> io::Result<()>) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::new(PACKED_LEVEL));
        let mut packer = Packer { encoder, length: 0, hash: etag::Hasher::default() };
        write(&mut packer).expect("memory takes what is written");
        let gzip = packer.encoder.finish().expect("memory takes what is written");
        Self { gzip: gzip.into(), length: packer.length, hash: packer.hash.finish() }
    }

    /// The digest of the document.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The document, compressed.
    pub(crate) fn bytes(&self) -> Bytes {
        self.gzip.clone()
    }

    /// The document as it was.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        let mut document = Vec::with_capacity(self.length);
        GzDecoder::new(&*self.gzip).read_to_end(&mut document).expect("we have packed it");
        document
    }
}

/// What compresses a document while it is written.
pub(crate) struct Packer {
    encoder: GzEncoder<Vec<u8>>,
    length: usize,
    hash: etag::Hasher,
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write_all(bytes)?;
        self.length += bytes.len();
        self.hash.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::convert::Infallible;

    use http_body_util::BodyExt as _;

    use super::*;

    fn text(length: usize) -> Bytes {
        (0..length).map(|at| b"kubernetes"[at * at % 10]).collect::<Vec<u8>>().into()
    }

    async fn sent(response: Response<Body>) -> (bool, Vec<u8>) {
        let is_gzip = response.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if !is_gzip {
            return (false, body.to_vec());
        }
        let mut read = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut read).unwrap();
        assert!(body.len() < read.len() / 2, "it was worth it");
        (true, read)
    }

    #[tokio::test]
    async fn only_what_is_long_is_compressed_and_nothing_is_lost() {
        for (length, expected) in [(0, false), (GZIP_BYTES_MIN - 1, false), (GZIP_BYTES_MIN, true), (3 << 20, true)] {
            let response = answer(Response::new(Body::from(text(length))));
            assert_eq!(sent(response).await, (expected, text(length).to_vec()), "{length}");
        }
    }

    #[tokio::test]
    async fn what_comes_bit_by_bit_is_compressed_only_if_it_ends() {
        let pieces = || stream::iter((0..9).map(|_| Ok::<_, Infallible>(text(50_000))));
        let streamed = || Response::new(Body::from_stream(pieces()));
        let whole = text(50_000).repeat(9);
        assert_eq!(sent(answer(streamed())).await, (false, whole.clone()));
        assert_eq!(sent(answer(allow(streamed()))).await, (true, whole));
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_made_to_look_whole() {
        let pieces = stream::iter([Ok(text(50_000)), Err(std::io::Error::other("gone"))]);
        let response = answer(allow(Response::new(Body::from_stream(pieces))));
        assert!(response.into_body().collect().await.is_err());
    }

    #[test]
    fn a_packed_document_is_what_it_was() {
        let document = text(300_000);
        let packed = Packed::new(&document);
        assert_eq!(packed.unpacked(), document);
        assert_eq!(packed.hash(), etag::hash(&document));
        assert!(packed.bytes().len() < document.len() / 10);
    }
}
