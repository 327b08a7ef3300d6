//! However the network cuts a provider's bytes, the same events come out.

use finn::metering::Meter;
use finn::providers::{anthropic, openai};
use finn::transcript::Transcript;
use proptest::prelude::*;
use types::sse::Reader;

use crate::fake_provider::{Step, anthropic_answer, openai_answer};

const TEXTS: [&str; 5] = ["Grüße, ", "世界", " \"quoted\"\n", "{\"data\": ", "🦀}"];

fn bytes(steps: &[Step]) -> Vec<u8> {
    let chunks = steps.iter().map(|step| match step {
        Step::Bytes(bytes) => bytes.as_slice(),
        Step::Gate | Step::Stall | Step::Cut => &[],
    });
    chunks.flatten().copied().collect()
}

fn events(pieces: &[&[u8]], mut read: impl FnMut(&str, &mut Transcript)) -> String {
    let mut transcript = Transcript::new("m", Meter::new(3, 1000));
    let mut reader = Reader::new();
    for piece in pieces {
        reader.feed(piece, |frame| read(frame.data, &mut transcript)).unwrap();
    }
    String::from_utf8(transcript.take().to_vec()).unwrap()
}

fn cut<'b>(bytes: &'b [u8], at: &[usize]) -> Vec<&'b [u8]> {
    let mut borders: Vec<usize> = at.iter().map(|border| border % (bytes.len() + 1)).collect();
    borders.extend([0, bytes.len()]);
    borders.sort_unstable();
    borders.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn openai_events(pieces: &[&[u8]]) -> String {
    let mut stream = openai::Stream::default();
    events(pieces, |data, transcript| match data {
        "[DONE]" => stream.done(transcript),
        data => stream.event(data, transcript),
    })
}

fn anthropic_events(pieces: &[&[u8]]) -> String {
    let mut stream = anthropic::Stream::default();
    events(pieces, |data, transcript| stream.event(data, transcript))
}

proptest! {
    #[test]
    fn every_cutting_reads_the_same(at in proptest::collection::vec(any::<usize>(), 0..40)) {
        let openai = bytes(&openai_answer(&TEXTS));
        let whole = openai_events(&[&openai]);
        prop_assert!(whole.contains("世界") && whole.contains("\"done\""));
        prop_assert_eq!(openai_events(&cut(&openai, &at)), whole);
        let anthropic = bytes(&anthropic_answer(&TEXTS));
        let whole = anthropic_events(&[&anthropic]);
        prop_assert!(whole.contains("🦀") && whole.contains("\"done\""));
        prop_assert_eq!(anthropic_events(&cut(&anthropic, &at)), whole);
    }

    #[test]
    fn no_garbage_breaks_a_reader(garbage in ".{0,200}") {
        for read in [openai_events, anthropic_events] {
            let text = format!("data: {garbage}\n\ndata: {{\"type\":\"x\",\"choices\":{garbage}}}\n\n");
            let events = read(&[text.as_bytes()]);
            prop_assert!(events.is_empty() || events.contains("\"type\":\"done\""));
        }
    }
}
