//! Batches count their bytes and can be rolled back; a region reader knows its range.

use bytes::Bytes;
use proto::kvrpcpb::Context;
use storage::{Cf, Error, MemEngine, Modify, RegionReader, WriteBatch, WriteOp};

#[test]
fn a_batch_counts_keys_and_values() {
    let mut batch = WriteBatch::new();
    assert!(batch.is_empty());
    batch.put(Cf::Raw, "key", "value");
    batch.delete(Cf::Lock, "key");
    batch.delete_range(Cf::Write, "a", "bc");
    assert_eq!((batch.len(), batch.size_bytes()), (3, 8 + 3 + 3));
    let mut more = WriteBatch::with_capacity(1);
    more.put(Cf::Default, "k", "");
    batch.append(more);
    assert_eq!((batch.len(), batch.size_bytes()), (4, 15));
    batch.clear();
    assert_eq!((batch.len(), batch.size_bytes()), (0, 0));
}

#[test]
fn rolling_back_drops_what_came_after() {
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raw, "a", "1");
    let savepoint = batch.savepoint();
    batch.put(Cf::Raw, "b", "22");
    batch.delete(Cf::Raw, "c");
    batch.rollback_to(savepoint);
    assert_eq!(batch.ops(), [WriteOp::Put { cf: Cf::Raw, key: "a".into(), value: "1".into() }]);
    assert_eq!(batch.size_bytes(), 2);
    batch.rollback_to(7);
    assert_eq!(batch.len(), 1, "a savepoint behind the end drops nothing");
    batch.rollback_to(0);
    assert_eq!((batch.len(), batch.size_bytes()), (0, 0));
}

#[test]
fn modifies_become_operations() {
    let modifies = vec![
        Modify::Put { cf: Cf::Raw, key: "a".into(), value: "1".into() },
        Modify::Delete { cf: Cf::Raw, key: "b".into() },
        Modify::DeleteRange { cf: Cf::Lock, start: "c".into(), end: Bytes::new() },
    ];
    let keys: Vec<Bytes> = modifies.iter().map(|modify| modify.key().clone()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let batch: WriteBatch = modifies.into_iter().collect();
    let expected = [
        WriteOp::Put { cf: Cf::Raw, key: "a".into(), value: "1".into() },
        WriteOp::Delete { cf: Cf::Raw, key: "b".into() },
        WriteOp::DeleteRange { cf: Cf::Lock, start: "c".into(), end: Bytes::new() },
    ];
    assert_eq!(batch.into_ops(), expected);
}

#[test]
fn column_families_have_names() {
    for cf in Cf::ALL {
        assert_eq!(Cf::from_name(cf.name()), Some(cf));
    }
    assert_eq!(Cf::from_name(""), None);
    assert!(!Cf::DATA.contains(&Cf::Raft));
}

fn region(start: &'static str, end: &'static str) -> RegionReader<MemEngine> {
    RegionReader { reader: MemEngine::new(), start_key: start.into(), end_key: end.into() }
}

#[test]
fn ranges_are_cut_to_the_region() {
    type Range = (&'static str, &'static str);
    let table: [(Range, Range, Option<Range>); 11] = [
        (("", ""), ("", ""), Some(("", ""))),
        (("", ""), ("a", "b"), Some(("a", "b"))),
        (("b", "d"), ("", ""), Some(("b", "d"))),
        (("b", "d"), ("a", "c"), Some(("b", "c"))),
        (("b", "d"), ("c", "e"), Some(("c", "d"))),
        (("b", "d"), ("c", ""), Some(("c", "d"))),
        (("b", ""), ("a", ""), Some(("b", ""))),
        (("b", "d"), ("a", "b"), None),
        (("b", "d"), ("d", "e"), None),
        (("b", "d"), ("e", ""), None),
        (("b", "d"), ("c", "c"), None),
    ];
    for ((start, end), (lower, upper), expected) in table {
        let region = region(start, end);
        let found = region.clamp(lower.as_bytes(), upper.as_bytes());
        let expected = expected.map(|(lower, upper)| (lower.as_bytes(), upper.as_bytes()));
        assert_eq!(found, expected, "[{lower}, {upper}) in [{start}, {end})");
    }
}

#[test]
fn a_key_outside_is_named_with_the_region() {
    let region = region("b", "d");
    let ctx = Context { region_id: 7, ..Context::default() };
    assert_eq!(region.check_key(&ctx, b"b"), Ok(()));
    assert_eq!(region.check_key(&ctx, b"czz"), Ok(()));
    for key in ["a", "d", "e"] {
        let Err(Error::Region(error)) = region.check_key(&ctx, key.as_bytes()) else {
            panic!("{key} is not in the region")
        };
        let details = error.key_not_in_region.expect("the details for the client's cache");
        assert_eq!((details.region_id, details.key.as_ref()), (7, key.as_bytes()));
        assert_eq!((details.start_key.as_ref(), details.end_key.as_ref()), (b"b".as_slice(), b"d".as_slice()));
    }
}
