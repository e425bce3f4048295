use super::keys;

#[test]
fn an_interval_is_blocks_with_single_ports_at_its_ends() {
    let found: Vec<[u8; 4]> = keys((254, 770)).collect();
    let single = |port: u16| [port.to_be_bytes()[0], port.to_be_bytes()[1], 0, 0];
    let mut expected = vec![single(254), single(255), [1, 0, 1, 0], [2, 0, 1, 0]];
    expected.extend((768..=770).map(single));
    assert_eq!(found, expected);
    assert_eq!(keys((0, u16::MAX)).count(), 256);
    assert_eq!(keys((1, u16::MAX - 1)).count(), 255 + 254 + 255);
}
