//! Squeezing content: brotli, gzip and zstd, once, at publication. The same input gives the same bytes.
//! An encoding that saves next to nothing is not made. Nothing here can fail: memory is the only thing written to.

use std::io::Write;

/// An HTTP content coding, in the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
    /// The content as it is.
    Identity,
}

impl Encoding {
    /// All of them, best first.
    pub const ALL: [Encoding; 4] = [
        Encoding::Brotli,
        Encoding::Zstd,
        Encoding::Gzip,
        Encoding::Identity,
    ];

    /// The name in `Content-Encoding` and `Accept-Encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
            Encoding::Identity => "identity",
        }
    }
}

/// Below this the headers weigh more than what is saved.
const WORTH_FROM_BYTES: usize = 200;
/// What must be saved at least, in bytes: the `Content-Encoding` and `Vary` fields cost about that much.
const WORTH_SAVING_BYTES: usize = 64;
/// Up to this the slowest, best setting is used: a megabyte takes brotli about a second.
const BEST_UP_TO_BYTES: usize = 1024 * 1024;

/// `content` in `encoding`, or `None` where that does not help.
pub fn squeezed(content: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    if content.len() < WORTH_FROM_BYTES {
        return None;
    }
    let best = content.len() <= BEST_UP_TO_BYTES;
    let bytes = match encoding {
        Encoding::Identity => return None,
        Encoding::Brotli => brotli(content, if best { 11 } else { 9 }),
        Encoding::Gzip => gzip(content, 9),
        Encoding::Zstd => zstd(content, if best { 19 } else { 12 }),
    }?;
    let limit = (content.len() - content.len() / 20).saturating_sub(WORTH_SAVING_BYTES);
    (bytes.len() <= limit).then_some(bytes)
}

fn brotli(content: &[u8], quality: i32) -> Option<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: 22,
        size_hint: content.len(),
        ..Default::default()
    };
    let mut bytes = Vec::with_capacity(content.len() / 3);
    brotli::BrotliCompress(&mut &content[..], &mut bytes, &params).ok()?;
    Some(bytes)
}

fn gzip(content: &[u8], level: u32) -> Option<Vec<u8>> {
    // No name and no time in the header, so that it depends on the content alone.
    let sink = Vec::with_capacity(content.len() / 3);
    let mut encoder = flate2::write::GzEncoder::new(sink, flate2::Compression::new(level));
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}

fn zstd(content: &[u8], level: i32) -> Option<Vec<u8>> {
    zstd::bulk::compress(content, level).ok()
}

/// A page made for one request, squeezed at a setting that costs a fraction of a millisecond, where that helps.
pub fn squeezed_quickly(content: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    let bytes = match encoding {
        Encoding::Brotli => brotli(content, 4),
        Encoding::Gzip => gzip(content, 5),
        Encoding::Zstd => zstd(content, 3),
        Encoding::Identity => None,
    }?;
    (bytes.len() + WORTH_SAVING_BYTES < content.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unsqueezed(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut content = Vec::new();
        match encoding {
            Encoding::Identity => content.extend_from_slice(bytes),
            Encoding::Brotli => {
                brotli::BrotliDecompress(&mut &bytes[..], &mut content).expect("brotli");
            }
            Encoding::Gzip => {
                flate2::read::GzDecoder::new(bytes)
                    .read_to_end(&mut content)
                    .expect("gzip");
            }
            Encoding::Zstd => content = zstd::decode_all(bytes).expect("zstd"),
        }
        content
    }

    #[test]
    fn text_shrinks_and_comes_back_the_same_and_noise_is_left_alone() {
        let text = "Generator 2 is being refuelled. ".repeat(300).into_bytes();
        let mut seed = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(5_000)
        .collect();
        for encoding in [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip] {
            let small = squeezed(&text, encoding).expect("repetition shrinks");
            assert!(small.len() < text.len() / 10, "{encoding:?}");
            assert_eq!(unsqueezed(&small, encoding), text);
            assert_eq!(squeezed(&text, encoding), Some(small));
            assert_eq!(squeezed(&noise, encoding), None, "{encoding:?}");
            assert_eq!(squeezed(b"short", encoding), None);
            let quick = squeezed_quickly(&text, encoding).expect("repetition shrinks");
            assert_eq!(unsqueezed(&quick, encoding), text);
        }
    }
}
