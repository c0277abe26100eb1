//! A picture that a visitor has sent.

use bytes::Bytes;
use imagesize::{ImageSize, ImageType};
use serde::Serialize;

use super::limits::{MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, MAX_PICTURE_SIDE, Refusal};

/// A picture whose kind and size were read from its own first bytes: what the sender says of them may be wrong.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Picture {
    #[serde(rename = "type")]
    media_type: &'static str,
    width: usize,
    height: usize,
    #[serde(skip)]
    pub(super) data: Bytes,
}

impl Picture {
    pub(super) fn new(data: &[u8]) -> Result<Self, Refusal> {
        if data.len() > MAX_PICTURE_BYTES {
            return Err(Refusal::PictureTooLarge);
        }
        let media_type = match imagesize::image_type(data) {
            Ok(ImageType::Png) => "image/png",
            Ok(ImageType::Jpeg) => "image/jpeg",
            Ok(ImageType::Webp) => "image/webp",
            _ => return Err(Refusal::NotAPicture),
        };
        let ImageSize { width, height } = imagesize::blob_size(data).map_err(|_| Refusal::NotAPicture)?;
        if width == 0 || height == 0 {
            return Err(Refusal::NotAPicture);
        }
        if width.max(height) > MAX_PICTURE_SIDE || width * height > MAX_PICTURE_PIXELS {
            return Err(Refusal::PictureTooLarge);
        }
        // Few bytes can describe many frames, and nobody can stop them. GIF is refused for the same reason: the page sends
        // the first frame in another format.
        if is_animated_png(data) || is_animated_webp(data) {
            return Err(Refusal::Animated);
        }
        // A copy: what arrived may be a part of a larger buffer, which would stay as long as the picture.
        Ok(Self { media_type, width, height, data: Bytes::copy_from_slice(data) })
    }
}

/// Whether a PNG picture has the chunk `acTL`, which stands before the first `IDAT`. A chunk has 12 bytes beside its data.
fn is_animated_png(data: &[u8]) -> bool {
    let Some(mut chunks) = data.strip_prefix(b"\x89PNG\r\n\x1a\n") else { return false };
    while let [a, b, c, d, kind @ ..] = chunks {
        if kind.starts_with(b"acTL") || kind.starts_with(b"IDAT") {
            return kind.starts_with(b"acTL");
        }
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        chunks = chunks.get(length.saturating_add(12)..).unwrap_or_default();
    }
    false
}

/// Whether a WebP picture says in its first chunk, `VP8X`, that it is animated.
fn is_animated_webp(data: &[u8]) -> bool {
    const ANIMATION: u8 = 0b10;
    matches!(data, [b'R', b'I', b'F', b'F', _, _, _, _, rest @ ..]
        if rest.starts_with(b"WEBPVP8X") && rest.get(12).is_some_and(|flags| flags & ANIMATION != 0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first bytes of a PNG picture, and zeros up to `len`.
    pub(in super::super) fn png(width: u32, height: u32, len: usize) -> Vec<u8> {
        let mut data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        data.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        data.resize(len, 0);
        data
    }

    #[test]
    fn the_kind_and_the_size_of_a_picture_come_from_its_bytes() {
        let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x02\x40\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        let jpeg = b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xc0\0\x0b\x08\0\x02\0\x03\x01\x01\x11\0\xff\xd9".to_vec();
        let kinds = [("png", png(3, 2, 64)), ("webp", webp), ("jpeg", jpeg)];
        for (kind, data) in kinds {
            let picture = Picture::new(&data).expect(kind);
            assert_eq!(
                (picture.media_type, picture.width, picture.height),
                (&*format!("image/{kind}"), 3, 2)
            );
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>";
        let gif = b"GIF89a\x03\0\x02\0\0\0\0;";
        let bmp = b"BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x01\0\x01\0\x01\0\x18\0\0\0\0\0";
        for data in
            [&b""[..], b"text", b"\x89PNG\r\n\x1a\n", b"<html><script>", svg, gif, bmp, &png(0, 5, 64)]
        {
            assert_eq!(Picture::new(data).err(), Some(Refusal::NotAPicture), "{data:?}");
        }
    }

    #[test]
    fn a_picture_has_at_most_512_kib_and_4_megapixels_and_4096_pixels_on_each_side() {
        for (width, height) in [(2_048, 2_048), (4_096, 1_024), (1_024, 4_096)] {
            assert!(Picture::new(&png(width, height, 512 * 1024)).is_ok());
        }
        for data in [png(1, 1, 512 * 1024 + 1), png(4_097, 1, 64), png(1, 4_097, 64), png(2_049, 2_048, 64)] {
            assert_eq!(Picture::new(&data).err(), Some(Refusal::PictureTooLarge));
        }
    }

    #[test]
    fn an_animated_picture_is_refused() {
        /// A PNG picture with these chunks, which are empty, after the first one.
        fn png_with(kinds: &[&[u8; 4]]) -> Vec<u8> {
            let mut data = png(3, 2, 33);
            for kind in kinds {
                data.extend([&[0; 4][..], &kind[..], &[0; 4]].concat());
            }
            data
        }
        fn webp(flags: u8) -> Vec<u8> {
            [&b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0"[..], &[flags, 0, 0, 0, 2, 0, 0, 1, 0, 0]].concat()
        }
        for data in [
            png_with(&[b"acTL", b"IDAT"]),
            png_with(&[b"gAMA", b"acTL", b"IDAT"]),
            webp(0b10),
            webp(0b1_0010),
        ] {
            assert_eq!(Picture::new(&data).err(), Some(Refusal::Animated));
        }
        // After the picture, the chunk has no meaning.
        for data in [png_with(&[b"gAMA", b"IDAT", b"acTL"]), webp(0b1_0000)] {
            assert!(Picture::new(&data).is_ok());
        }
        let endless = [png(3, 2, 33), vec![0xff; 100]].concat();
        assert!(Picture::new(&endless).is_ok());
    }
}
