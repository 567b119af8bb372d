use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Payload {
    Payload::Json(text.into())
}

fn decode(pieces: &[&[u8]]) -> Result<Vec<Payload>, TooLarge> {
    let (mut decoder, mut payloads) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut payloads)?;
    }
    decoder.finish(&mut payloads)?;
    Ok(payloads)
}

#[test]
fn every_line_end_ends_a_line() {
    for end in ["\n", "\r", "\r\n"] {
        let body = format!("data: {{\"a\":1}}{end}{end}data: [DONE]{end}{end}");
        assert_eq!(
            decode(&[body.as_bytes()]),
            Ok(vec![json("{\"a\":1}"), Payload::Done]),
            "{end:?}"
        );
    }
}

#[test]
fn what_the_standard_allows_is_understood() {
    let body = "\u{feff}: a comment\nevent: delta\nid: 7\nretry: 10\ndata:{\"a\":\ndata: 1}\n\n\ndata\n\ndata:\n\nother: x\n\ndata:  [DONE] \n\n";
    assert_eq!(
        decode(&[body.as_bytes()]),
        Ok(vec![json("{\"a\":\n1}"), Payload::Done])
    );
}

#[test]
fn tab_lines_are_understood_and_those_of_other_names_ignored() {
    let body = "message\t{\"a\":1}\t\nping\t{}\t\nmessage\t{\"a\":2}\nmessage\t[DONE]\t\n";
    assert_eq!(
        decode(&[body.as_bytes()]),
        Ok(vec![json("{\"a\":1}"), json("{\"a\":2}"), Payload::Done])
    );
}

#[test]
fn whole_json_needs_no_blank_line_after_it() {
    let body = "data: {\"a\":\"}\"}\ndata: {\"b\":\ndata: [2]}\ndata: [DONE]";
    assert_eq!(
        decode(&[body.as_bytes()]),
        Ok(vec![json("{\"a\":\"}\"}"), json("{\"b\":\n[2]}"), Payload::Done])
    );
}

#[test]
fn an_event_cut_in_its_middle_is_no_event() {
    assert_eq!(
        decode(&[b"data: {\"a\":1}\n\ndata: {\"b\":"]),
        Ok(vec![json("{\"a\":1}")])
    );
}

#[test]
fn a_broken_event_is_passed_on_to_be_refused() {
    assert_eq!(decode(&[b"data: {nonsense\n\n"]), Ok(vec![json("{nonsense")]));
}

#[test]
fn one_event_is_bounded_in_one_line_and_in_many() {
    let line = [b"data: ".as_slice(), &vec![b'x'; MAX_EVENT]].concat();
    assert_eq!(decode(&[&line]), Err(TooLarge));
    let many = "data: {\n".repeat(MAX_EVENT / 2 + 1);
    assert_eq!(decode(&[many.as_bytes()]), Err(TooLarge));
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_events_are_the_same(
        lines in proptest::collection::vec(prop_oneof![
            Just("data: {\"text\":\"grüß 🦀\"}".to_owned()),
            Just("data: {\"a\":".to_owned()),
            Just("data:1}".to_owned()),
            Just("data: [DONE]".to_owned()),
            Just("message\t{\"t\":\"…\"}\t".to_owned()),
            Just(": comment".to_owned()),
            Just("event: x".to_owned()),
            Just(String::new()),
            "[ -~\\t]{0,12}",
        ], 0..12),
        ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n")], 12),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let body: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
        let body = body.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        let single: Vec<&[u8]> = body.chunks(1).collect();
        let whole = decode(&[body]);
        prop_assert_eq!(&decode(&pieces), &whole);
        prop_assert_eq!(&decode(&single), &whole);
    }

    #[test]
    fn no_bytes_can_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let whole = decode(&[&bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single), whole);
    }
}
