//! Both engines must do what a plain ordered map does: random batches, snapshots and cursor walks are compared with that model.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use storage::{Cf, Cursor, Durability, Engine, Reader, WriteBatch, WriteOp};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<Cf, Pairs>;

#[derive(Clone, Debug)]
enum Step {
    Write { ops: Vec<WriteOp>, sync: bool },
    Sync,
    TakeSnapshot,
    Get { cf: Cf, key: Vec<u8> },
    Walk { cf: Cf, lower: Option<Vec<u8>>, upper: Option<Vec<u8>>, moves: Vec<Move> },
}

#[derive(Clone, Debug)]
enum Move {
    Seek(Vec<u8>),
    SeekForPrev(Vec<u8>),
    First,
    Last,
    Next,
    Prev,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xFF)], 1..4),
        prop::collection::vec(any::<u8>(), 1..12),
    ]
}

fn cf() -> impl Strategy<Value = Cf> {
    prop::sample::select(Cf::ALL.to_vec())
}

fn op() -> impl Strategy<Value = WriteOp> {
    prop_oneof![
        6 => (cf(), key(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(cf, key, value)| WriteOp::Put { cf, key: key.into(), value: value.into() }),
        3 => (cf(), key()).prop_map(|(cf, key)| WriteOp::Delete { cf, key: key.into() }),
        1 => (cf(), key(), prop_oneof![key(), Just(Vec::new())])
            .prop_map(|(cf, start, end)| WriteOp::DeleteRange { cf, start: start.into(), end: end.into() }),
    ]
}

fn cursor_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => key().prop_map(Move::Seek),
        2 => key().prop_map(Move::SeekForPrev),
        1 => Just(Move::First),
        1 => Just(Move::Last),
        5 => Just(Move::Next),
        5 => Just(Move::Prev),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (prop::collection::vec(op(), 0..8), any::<bool>()).prop_map(|(ops, sync)| Step::Write { ops, sync }),
        1 => Just(Step::Sync),
        1 => Just(Step::TakeSnapshot),
        3 => (cf(), key()).prop_map(|(cf, key)| Step::Get { cf, key }),
        4 => (cf(), prop::option::of(key()), prop::option::of(key()), prop::collection::vec(cursor_move(), 1..16))
            .prop_map(|(cf, lower, upper, moves)| Step::Walk { cf, lower, upper, moves }),
    ]
}

fn apply(model: &mut Model, op: &WriteOp) {
    let pairs = model.entry(op.cf()).or_default();
    match op {
        WriteOp::Put { key, value, .. } => {
            pairs.insert(key.to_vec(), value.to_vec());
        }
        WriteOp::Delete { key, .. } => {
            pairs.remove(key.as_ref());
        }
        WriteOp::DeleteRange { start, end, .. } => {
            pairs.retain(|key, _| {
                key.as_slice() < start.as_ref() || (!end.is_empty() && key.as_slice() >= end.as_ref())
            });
        }
    }
}

/// The model's pairs within the bounds, in order.
fn bounded(model: &Model, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let inside = |key: &[u8]| lower.is_none_or(|lower| key >= lower) && upper.is_none_or(|upper| key < upper);
    let pairs = model.get(&cf).into_iter().flatten();
    pairs.filter(|(key, _)| inside(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Walks a cursor and the model side by side.
fn walk(reader: &impl Reader, model: &Model, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>, moves: &[Move]) {
    let pairs = bounded(model, cf, lower, upper);
    let mut cursor = reader.cursor(cf, lower, upper).expect("a cursor");
    assert!(!cursor.valid(), "a new cursor stands nowhere");
    let mut at: Option<usize> = None;
    for step in moves {
        match step {
            Move::Seek(key) => {
                cursor.seek(key);
                at = pairs.iter().position(|(other, _)| other >= key);
            }
            Move::SeekForPrev(key) => {
                cursor.seek_for_prev(key);
                at = pairs.iter().rposition(|(other, _)| other <= key);
            }
            Move::First => {
                cursor.seek_to_first();
                at = (!pairs.is_empty()).then_some(0);
            }
            Move::Last => {
                cursor.seek_to_last();
                at = pairs.len().checked_sub(1);
            }
            Move::Next => {
                cursor.next();
                at = at.map(|index| index + 1).filter(|index| *index < pairs.len());
            }
            Move::Prev => {
                cursor.prev();
                at = at.and_then(|index| index.checked_sub(1));
            }
        }
        let expected = at.map(|index| (pairs[index].0.as_slice(), pairs[index].1.as_slice()));
        let found = cursor.valid().then(|| (cursor.key(), cursor.value()));
        assert_eq!(found, expected, "after {step:?} in {lower:?}..{upper:?} of {cf}");
        assert_eq!(cursor.status(), Ok(()));
    }
}

fn check_all(reader: &impl Reader, model: &Model) {
    for cf in Cf::ALL {
        let forward: Vec<Move> = std::iter::once(Move::First).chain((0..200).map(|_| Move::Next)).collect();
        let backward: Vec<Move> = std::iter::once(Move::Last).chain((0..200).map(|_| Move::Prev)).collect();
        walk(reader, model, cf, None, None, &forward);
        walk(reader, model, cf, None, None, &backward);
    }
}

fn run<E: Engine>(engine: &E, steps: &[Step]) {
    let mut model = Model::new();
    let mut snapshots: Vec<(E::Snapshot, Model)> = Vec::new();
    for step in steps {
        match step {
            Step::Write { ops, sync } => {
                ops.iter().for_each(|op| apply(&mut model, op));
                let durability = if *sync { Durability::Sync } else { Durability::Buffered };
                engine.write(ops.iter().cloned().collect::<WriteBatch>(), durability).expect("the write succeeds");
            }
            Step::Sync => engine.sync().expect("the sync succeeds"),
            Step::TakeSnapshot => snapshots.push((engine.snapshot(), model.clone())),
            Step::Get { cf, key } => {
                let expected = model.get(cf).and_then(|pairs| pairs.get(key)).map(|value| Bytes::from(value.clone()));
                assert_eq!(engine.get(*cf, key), Ok(expected.clone()));
                assert_eq!(engine.snapshot().get(*cf, key), Ok(expected));
            }
            Step::Walk { cf, lower, upper, moves } => {
                walk(engine, &model, *cf, lower.as_deref(), upper.as_deref(), moves);
                if let Some((snapshot, then)) = snapshots.last() {
                    walk(snapshot, then, *cf, lower.as_deref(), upper.as_deref(), moves);
                }
            }
        }
    }
    check_all(engine, &model);
    for (snapshot, then) in &snapshots {
        check_all(snapshot, then);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_mem_engine_is_an_ordered_map(steps in prop::collection::vec(step(), 1..60)) {
        run(&*support::mem_engine(), &steps);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rocks_engine_is_an_ordered_map(steps in prop::collection::vec(step(), 1..60)) {
        run(&*support::rocks_engine(), &steps);
    }
}

support::over_both_engines!(
    a_batch_is_applied_in_order,
    cursors_of_a_live_engine_do_not_see_later_writes,
    an_empty_batch_is_fine,
);

fn a_batch_is_applied_in_order(engine: &impl Engine) {
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raw, "a", "1");
    batch.put(Cf::Raw, "b", "1");
    batch.delete_range(Cf::Raw, "a", "");
    batch.put(Cf::Raw, "b", "2");
    batch.put(Cf::Raw, "c", "3");
    batch.delete(Cf::Raw, "c");
    engine.write(batch, Durability::Sync).unwrap();
    assert_eq!(engine.get(Cf::Raw, b"a"), Ok(None));
    assert_eq!(engine.get(Cf::Raw, b"b"), Ok(Some(Bytes::from("2"))));
    assert_eq!(engine.get(Cf::Raw, b"c"), Ok(None));
}

fn cursors_of_a_live_engine_do_not_see_later_writes(engine: &impl Engine) {
    let put = |key: &'static str| {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key, "v");
        engine.write(batch, Durability::Buffered).unwrap();
    };
    put("a");
    let mut cursor = engine.cursor(Cf::Default, None, None).unwrap();
    put("b");
    cursor.seek_to_last();
    assert_eq!(cursor.key(), b"a");
}

fn an_empty_batch_is_fine(engine: &impl Engine) {
    engine.write(WriteBatch::new(), Durability::Buffered).unwrap();
    engine.write(WriteBatch::new(), Durability::Sync).unwrap();
}
