//! Encoded bodies: whole ones, and every way in which one may be none.

use std::{cell::Cell, io::Write};

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

fn unlooked(coding: Coding, encoded: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    coding.decode(encoded, limit, &|| Ok(()))
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
            let decoded = unlooked(coding, &encoded(form, plain), text.len()).unwrap();
            assert!(decoded == plain, "{form}, {} bytes", plain.len());
        }
    }
}

#[test]
fn several_members_or_frames_are_one_body() {
    for (form, coding) in [("gzip", Coding::Gzip), ("zstd", Coding::Zstd)] {
        let both = [encoded(form, b"one "), encoded(form, b"two")].concat();
        assert_eq!(unlooked(coding, &both, 100).unwrap(), b"one two", "{form}");
    }
}

#[test]
fn no_beginning_of_a_stream_passes_for_the_whole() {
    let text = text();
    for (form, coding) in FORMS {
        let whole = encoded(form, &text);
        for length in 1..whole.len() {
            let decoded = unlooked(coding, &whole[..length], text.len());
            assert!(decoded.is_err(), "{form}: {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn nothing_may_come_after_the_end() {
    for (form, coding) in FORMS {
        for tail in [b"x".as_slice(), b"\0", b"{\"model\": \"other\"}"] {
            let tailed = [encoded(form, b"{}").as_slice(), tail].concat();
            assert!(unlooked(coding, &tailed, 100).is_err(), "{form} and {tail:?}");
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
        assert!(unlooked(coding, &bomb, large.len()).is_err(), "{form}");
        assert_eq!(unlooked(coding, &bomb, LIMIT).unwrap().len(), LIMIT + 1, "{form}");
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
    assert_eq!(unlooked(Coding::Zstd, &framed(23), 10).unwrap(), b"{}");
    let failure = unlooked(Coding::Zstd, &framed(24), 10).unwrap_err();
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

/// Decodes, and counts the looks.
fn looked(coding: Coding, encoded: &[u8], limit: usize) -> (io::Result<Vec<u8>>, usize) {
    let looks = Cell::new(0);
    let look = || {
        looks.set(looks.get() + 1);
        Ok(())
    };
    let decoded = coding.decode(encoded, limit, &look);
    (decoded, looks.get())
}

#[test]
fn a_member_of_nothing_costs_a_look_and_no_state_of_its_own() {
    const MANY: usize = 20_000;
    for nothing in [
        encoded("gzip", b""),
        vec![
            31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    ] {
        let body = [nothing.repeat(MANY), encoded("gzip", b"{}")].concat();
        let (decoded, looks) = looked(Coding::Gzip, &body, 100);
        assert_eq!(decoded.unwrap(), b"{}");
        assert!(looks <= MANY + 10, "{looks}");
    }
}

#[test]
fn looks_come_with_the_bytes_that_are_taken_or_given() {
    let large = vec![b' '; 4 * 1024 * 1024];
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(1024 * 1024)
        .collect();
    // Stored blocks of nothing: much to take, nothing to give.
    let nothing = [[0, 0, 0, 255, 255].repeat(200_000), vec![1, 0, 0, 255, 255]].concat();
    let mut cases = vec![("deflate", Coding::Deflate, nothing)];
    for (form, coding) in FORMS {
        cases.push((form, coding, encoded(form, &large)));
        cases.push((form, coding, encoded(form, &noise)));
    }
    for (form, coding, body) in cases {
        let (decoded, looks) = looked(coding, &body, large.len());
        let given = decoded.unwrap().len();
        let fewest = (body.len() / INPUT_PIECE).max(given / OUTPUT_PIECE);
        assert!(looks >= fewest, "{form}: {looks} of {fewest}");
        // A decoder may give less at once than it could, zstd's blocks of 128 KiB apart from the pieces.
        let most = 4 * (body.len() / INPUT_PIECE + given / (OUTPUT_PIECE / 2)) + 10;
        assert!(looks <= most, "{form}: {looks} of {most}");
    }
}

#[test]
fn decoding_ends_where_nobody_waits_for_it() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(256 * 1024)
        .collect();
    for (form, coding) in FORMS {
        let mut broken = encoded(form, &noise);
        broken.truncate(broken.len() - 1);
        let left = Cell::new(3);
        let look = || {
            left.set(left.get() - 1);
            if left.get() == 0 { Err(GivenUp) } else { Ok(()) }
        };
        // What is wrong behind that is never seen.
        let failure = coding.decode(&broken, noise.len(), &look).unwrap_err();
        assert!(failure.to_string().contains("nobody waits"), "{form}: {failure}");
        assert_eq!(left.get(), 0, "{form}");
    }
}

#[test]
fn heads_of_gzip_may_hold_more() {
    let plain = encoded("gzip", b"{}");
    let (head, rest) = plain.split_at(10);
    let with = |flags: u8, more: &[u8]| {
        let mut whole = head.to_vec();
        whole[3] = flags;
        whole.extend_from_slice(more);
        whole
    };
    let summed = |mut head: Vec<u8>| {
        let mut sum = Crc::new();
        sum.update(&head);
        head.extend_from_slice(&sum.sum().to_le_bytes()[..2]);
        head
    };
    let everything = with(4 | 8 | 16 | 2 | 1, b"\x03\x00abcname\0comment\0");
    for head in [
        with(1, b""),
        with(4, b"\x00\x00"),
        with(4, b"\x03\x00abc"),
        with(8, b"name\0"),
        with(16, b"\0"),
        summed(with(2, b"")),
        summed(everything.clone()),
    ] {
        let body = [head.as_slice(), rest].concat();
        assert_eq!(unlooked(Coding::Gzip, &body, 10).unwrap(), b"{}", "{head:?}");
        for length in 0..body.len() {
            assert!(
                unlooked(Coding::Gzip, &body[..length], 10).is_err(),
                "{head:?}: {length}"
            );
        }
    }
    for head in [
        with(32, b""),
        with(4, b"\xff\xff"),
        with(2, b"\0\0"),
        [everything, b"\0\0".to_vec()].concat(),
    ] {
        assert!(
            unlooked(Coding::Gzip, &[head.as_slice(), rest].concat(), 10).is_err(),
            "{head:?}"
        );
    }
    // What a member should have come to.
    for index in 1..=8 {
        let mut turned = plain.clone();
        let last = turned.len() - index;
        turned[last] ^= 1;
        assert!(unlooked(Coding::Gzip, &turned, 10).is_err(), "{index}");
    }
}
