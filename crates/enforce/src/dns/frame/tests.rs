use bulkhead_enforce_abi::FlowKey;

use super::*;

/// An Ethernet frame with one packet; its checksums are right.
fn mk_frame(is_ipv4: bool, protocol: u8, payload: &[u8]) -> (Heard, Vec<u8>) {
    let l4_header = if protocol == TCP { 20 } else { 8 };
    let l4 = 14 + if is_ipv4 { 20 } else { 40 };
    let mut frame = vec![0; l4 + l4_header];
    frame.extend_from_slice(payload);
    let head = Heard {
        key: FlowKey { protocol, ..FlowKey::default() },
        length: frame.len() as u32,
        l3: 14,
        l4: l4 as u16,
        payload: (l4 + l4_header) as u16,
        is_ipv4: is_ipv4.into(),
        ..Heard::default()
    };
    let addresses = if is_ipv4 { 26..34 } else { 22..54 };
    for (n, octet) in frame[addresses].iter_mut().enumerate() {
        *octet = 0xa0 + n as u8;
    }
    frame[l4 + 4..l4 + 8].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
    frame[l4 + 13 - if protocol == UDP { 6 } else { 0 }] = 0;
    if protocol == TCP {
        frame[l4 + 13] = 0x19;
    }
    resize(&head, &mut frame, 0, true).unwrap();
    (head, frame)
}

fn kinds() -> impl Iterator<Item = (bool, u8)> {
    [(true, TCP), (true, UDP), (false, TCP), (false, UDP)].into_iter()
}

#[test]
fn a_sound_frame_goes_on_as_it_is_without_its_padding() {
    for (is_ipv4, protocol) in kinds() {
        let (head, frame) = mk_frame(is_ipv4, protocol, b"an odd load");
        let mut padded = frame.clone();
        padded.extend([0; 7]);
        let [part] = &parts(&head, &padded)[..] else { panic!() };
        assert_eq!((&part.frame, part.is_sound), (&frame, true));
        assert_eq!(&part.frame[part.payload.clone()], b"an odd load");
    }
}

#[test]
fn a_checksum_that_was_left_open_is_completed() {
    for (is_ipv4, protocol) in kinds() {
        let (head, frame) = mk_frame(is_ipv4, protocol, b"some load");
        let mut open = frame.clone();
        let left = fold(pseudo(&head, &frame).unwrap());
        put(&mut open, checksum_at(&head).unwrap(), left).unwrap();
        assert_eq!(parts(&head, &open)[0].frame, frame);
    }
}

#[test]
fn what_is_damaged_stays_damaged_and_teaches_nothing() {
    for (is_ipv4, protocol) in kinds() {
        let (head, mut frame) = mk_frame(is_ipv4, protocol, b"some load");
        *frame.last_mut().unwrap() ^= 0x40;
        let [part] = &parts(&head, &frame)[..] else { panic!() };
        assert_eq!((&part.frame, part.is_sound), (&frame, false));
    }
}

#[test]
fn a_super_segment_becomes_segments_that_say_the_same() {
    for is_ipv4 in [true, false] {
        let load: Vec<u8> = (0..4_000u32).map(|n| (n % 251) as u8).collect();
        let (mut head, frame) = mk_frame(is_ipv4, TCP, &load);
        head.gso_size = 1_448;
        let parts = parts(&head, &frame);
        assert_eq!(parts.len(), 3);
        let mut said = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            assert_eq!(part.number, 0xffff_fff0u32.wrapping_add(said.len() as u32));
            said.extend_from_slice(&part.frame[part.payload.clone()]);
            let is_last = n == 2;
            assert_eq!(part.frame[usize::from(head.l4) + 13], if is_last { 0x19 } else { 0x10 });
            let single = Heard { gso_size: 0, ..head };
            let again = super::parts(&single, &part.frame);
            assert!(again[0].is_sound && again[0].frame == part.frame, "part {n}");
            if is_ipv4 {
                assert_eq!(fold(sum(&part.frame[14..34])), 0xffff, "part {n}");
            }
        }
        assert_eq!(said, load);
    }
}

/// The packet of a frame.
fn mk_packet(is_ipv4: bool, protocol: u8, payload: &[u8]) -> (Heard, Vec<u8>) {
    let (head, frame) = mk_frame(is_ipv4, protocol, payload);
    let (l3, l4, at) = (0, head.l4 - 14, head.payload - 14);
    (Heard { l3, l4, payload: at, length: head.length - 14, ..head }, frame[14..].to_vec())
}

#[test]
fn a_large_datagram_becomes_fragments_that_say_the_same() {
    let load: Vec<u8> = (0..4_001u32).map(|n| (n % 251) as u8).collect();
    for (is_ipv4, header) in [(true, 20), (false, 48)] {
        let (head, packet) = mk_packet(is_ipv4, UDP, &load);
        let l4 = usize::from(head.l4);
        let pieces = pieces(&head, &packet, 1_280);
        let mut said = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= 1_280 && piece.len() > header, "{} bytes", piece.len());
            let (at, has_more) = if is_ipv4 {
                assert_eq!(fold(sum(&piece[..20])), 0xffff, "piece {n}");
                assert_eq!(usize::from(u16_at(piece, 2).unwrap()), piece.len());
                let field = u16_at(piece, 6).unwrap();
                (field << 3, field & 0x2000 != 0)
            } else {
                assert_eq!(usize::from(u16_at(piece, 4).unwrap()), piece.len() - 40);
                assert_eq!((piece[6], piece[40]), (IPV6_FRAGMENT, packet[6]));
                let field = u16_at(piece, 42).unwrap();
                (field & !7, field & 1 != 0)
            };
            assert_eq!(usize::from(at), said.len(), "piece {n}");
            assert_eq!(has_more, n + 1 < pieces.len(), "piece {n}");
            let number = if is_ipv4 { 4..6 } else { 44..48 };
            assert_eq!(piece[number.clone()], pieces[0][number.clone()]);
            assert!(piece[number].iter().any(|byte| *byte != 0));
            said.extend_from_slice(&piece[header..]);
        }
        assert_eq!(said, packet[l4..]);
    }
}

#[test]
fn a_large_segment_becomes_segments() {
    let load = [7; 4_000];
    for is_ipv4 in [true, false] {
        let (head, packet) = mk_packet(is_ipv4, TCP, &load);
        let pieces = pieces(&head, &packet, 1_280);
        assert!(pieces.iter().all(|piece| piece.len() <= 1_280));
        let said: usize = pieces.iter().map(|piece| piece.len() - usize::from(head.payload)).sum();
        assert_eq!(said, load.len());
    }
}

#[test]
fn offsets_that_make_no_sense_send_nothing() {
    let (head, frame) = mk_frame(true, UDP, b"load");
    for length in 0..frame.len() {
        let _ = parts(&head, &frame[..length]);
    }
    assert_eq!(parts(&Heard { payload: 9_999, ..head }, &frame), []);
    assert_eq!(parts(&Heard { l4: 3, ..head }, &frame), []);
}
