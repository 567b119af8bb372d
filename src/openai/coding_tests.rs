//! Encoded bodies: whole ones, and every way in which one may be none.

use std::io::Write;

use http::HeaderValue;

use super::*;

/// The codings, deflate in both of its forms.
const FORMS: [(&str, Coding); 5] = [
    ("gzip", Coding::Gzip),
    ("zlib", Coding::Deflate),
    ("deflate", Coding::Deflate),
    ("br", Coding::Brotli),
    ("zstd", Coding::Zstd),
];

fn encoded(form: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut whole = Vec::new();
    match form {
        "gzip" => flate2::write::GzEncoder::new(&mut whole, level).write_all(plain),
        "zlib" => flate2::write::ZlibEncoder::new(&mut whole, level).write_all(plain),
        "deflate" => flate2::write::DeflateEncoder::new(&mut whole, level).write_all(plain),
        "br" => brotli::CompressorWriter::new(&mut whole, 4096, 5, 22).write_all(plain),
        _ => zstd::stream::copy_encode(plain, &mut whole, 3),
    }
    .unwrap();
    whole
}

fn text() -> Vec<u8> {
    (0..300_u32)
        .flat_map(|number| number.to_string().into_bytes())
        .collect()
}

#[test]
fn every_coding_is_undone() {
    let text = text();
    for plain in [b"".as_slice(), b"x", &text] {
        for (form, coding) in FORMS {
            let decoded = coding.decode(&encoded(form, plain), text.len()).unwrap();
            assert!(decoded == plain, "{form}, {} bytes", plain.len());
        }
    }
}

#[test]
fn several_members_or_frames_are_one_body() {
    for (form, coding) in [("gzip", Coding::Gzip), ("zstd", Coding::Zstd)] {
        let both = [encoded(form, b"one "), encoded(form, b"two")].concat();
        assert_eq!(coding.decode(&both, 100).unwrap(), b"one two", "{form}");
    }
}

#[test]
fn no_beginning_of_a_stream_passes_for_the_whole() {
    let text = text();
    for (form, coding) in FORMS {
        let whole = encoded(form, &text);
        for length in 1..whole.len() {
            let decoded = coding.decode(&whole[..length], text.len());
            assert!(decoded.is_err(), "{form}: {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn nothing_may_come_after_the_end() {
    for (form, coding) in FORMS {
        for tail in [b"x".as_slice(), b"\0", b"{\"model\": \"other\"}"] {
            let tailed = [encoded(form, b"{}").as_slice(), tail].concat();
            assert!(coding.decode(&tailed, 100).is_err(), "{form} and {tail:?}");
        }
    }
}

#[test]
fn a_bomb_is_left_where_the_limit_is() {
    const LIMIT: usize = 1000;
    let mut random = fastrand::Rng::with_seed(7);
    let noise = std::iter::repeat_with(|| random.u8(..)).take(64 * 1024);
    let large: Vec<u8> = std::iter::repeat_n(b' ', 1024 * 1024).chain(noise).collect();
    for (form, coding) in FORMS {
        let mut bomb = encoded(form, &large);
        assert!(bomb.len() < large.len() / 10, "{form}");
        // Nobody who went on to the end could miss that it is not there.
        bomb.truncate(bomb.len() / 2);
        assert!(coding.decode(&bomb, large.len()).is_err(), "{form}");
        assert_eq!(coding.decode(&bomb, LIMIT).unwrap().len(), LIMIT + 1, "{form}");
    }
}

#[test]
fn zstd_has_windows_of_up_to_8_mib() {
    let framed = |window: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window).unwrap();
        encoder.write_all(b"{}").unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(Coding::Zstd.decode(&framed(23), 10).unwrap(), b"{}");
    let failure = Coding::Zstd.decode(&framed(24), 10).unwrap_err();
    let told = Coding::Zstd.broken(&failure);
    assert!(told.message().contains("8 MiB"), "{told}");
}

#[test]
fn what_is_incompressible_fits_encoded_where_it_fits_plain() {
    let mut random = fastrand::Rng::with_seed(7);
    for length in [1, 4096, 256 * 1024] {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        for (form, _) in FORMS {
            let size = encoded(form, &noise).len();
            assert!(
                size <= Coding::most_encoded(length),
                "{form}: {length} became {size}"
            );
        }
    }
}

#[test]
fn one_coding_is_understood_however_it_is_written() {
    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Coding::of(&headers)
    };
    for plain in [&[] as &[_], &[""], &["identity"], &["Identity", "identity, "]] {
        assert_eq!(of(plain).unwrap(), None, "{plain:?}");
    }
    for (values, coding) in [
        (&["gzip"] as &[_], Coding::Gzip),
        (&["X-GZip"], Coding::Gzip),
        (&[" GZIP "], Coding::Gzip),
        (&["deflate"], Coding::Deflate),
        (&["br"], Coding::Brotli),
        (&["identity, zstd"], Coding::Zstd),
    ] {
        assert_eq!(of(values).unwrap(), Some(coding), "{values:?}");
    }
    for values in [
        &["compress"] as &[_],
        &["gzip, br"],
        &["gzip", "gzip"],
        &["gzip;q=1"],
        &["*"],
        &["aws-chunked"],
    ] {
        let refused = of(values).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::UnsupportedMediaType, "{values:?}");
        assert_eq!(refused.field(), Some("content-encoding"));
    }
}
