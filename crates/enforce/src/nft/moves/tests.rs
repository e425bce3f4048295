use std::collections::BTreeMap;

use super::moved;

#[test]
fn only_what_is_not_the_same_has_moved() {
    let old = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c'), (5, 'e')]);
    let new = BTreeMap::from([(0, 'z'), (1, 'a'), (2, 'x'), (4, 'd'), (5, 'e')]);
    let expected = [
        (0, None, Some('z')),
        (2, Some('b'), Some('x')),
        (3, Some('c'), None),
        (4, None, Some('d')),
    ];
    assert_eq!(moved(&old, &new), expected);
    assert_eq!(moved(&old, &old), []);
    assert_eq!(moved(&BTreeMap::new(), &new).len(), 5);
}
