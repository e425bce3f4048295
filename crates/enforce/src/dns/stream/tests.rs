use super::*;

const KEY: FlowKey = FlowKey {
    endpoint: 7,
    local: bulkhead_enforce_abi::Address([0; 16]),
    remote: bulkhead_enforce_abi::Address([0; 16]),
    local_port: 40_000,
    remote_port: 53,
    protocol: 6,
    lane: 0,
    zero: 0,
};

/// Numbers wrap in the middle.
const SYN: u32 = u32::MAX - 20;

fn mk_stream(messages: &[&[u8]]) -> Vec<u8> {
    let framed = messages.iter().flat_map(|message| {
        (message.len() as u16).to_be_bytes().into_iter().chain(message.iter().copied())
    });
    framed.collect()
}

fn mk_streams() -> Streams {
    let mut streams = Streams::default();
    streams.open(KEY, SYN, 1);
    streams
}

#[test]
fn messages_come_whole_however_the_stream_is_cut() {
    let messages: [&[u8]; 4] = [b"first", b"", b"a longer message", &[7; 300]];
    let bytes = mk_stream(&messages);
    for cut in 1..bytes.len() {
        let mut streams = mk_streams();
        let mut found = Vec::new();
        for (n, segment) in bytes.chunks(cut).enumerate() {
            let number = SYN.wrapping_add(1 + (n * cut) as u32);
            found.extend(streams.push(&KEY, number, segment, 2).unwrap());
        }
        assert_eq!(found, messages, "cut at every {cut} bytes");
    }
}

#[test]
fn repeated_and_turned_around_segments_change_nothing() {
    let bytes = mk_stream(&[b"one message", b"and another"]);
    let at = |from: usize, to: usize| (SYN.wrapping_add(1 + from as u32), &bytes[from..to]);
    let mut streams = mk_streams();
    let mut found = Vec::new();
    let end = bytes.len();
    for (number, segment) in
        [at(6, 15), at(0, 4), at(0, 6), at(20, end), at(6, 15), at(12, end), at(0, end)]
    {
        found.extend(streams.push(&KEY, number, segment, 2).unwrap());
    }
    assert_eq!(found, [b"one message".to_vec(), b"and another".to_vec()]);
}

#[test]
fn a_stream_whose_beginning_was_not_seen_is_not_followed() {
    let mut streams = Streams::default();
    assert_eq!(streams.push(&KEY, 5, &mk_stream(&[b"x"]), 1), Err(Unfollowed));
}

#[test]
fn one_endpoint_cannot_crowd_out_another() {
    let mut streams = mk_streams();
    for port in 0..2_000 {
        streams.open(FlowKey { endpoint: 8, local_port: port, ..KEY }, 0, 2 + u64::from(port));
    }
    assert!(streams.push(&KEY, SYN.wrapping_add(1), b"\0\x01x", 3).is_ok());
}
